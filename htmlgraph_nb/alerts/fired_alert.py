"""FiredAlert, its delivery to a channel, and the outbox between them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from ..core.timestamps import to_micros, to_rfc3339
from ..core.validation import parse_time

MAX_AGENT_IDS = 20
"""Most agents of a group that an alert names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FiredAlert:
    """One alert: a rule whose condition holds, or held, for a subject.

    Attributes:
        alert_id: hash of rule, subject and ``since``: the same after a restart of the server.
        rule: name of the rule; ``kind``: its kind.
        severity: "info", "warning" or "critical".
        state: "firing" or "resolved".
        subject: id of an agent, ``project:NAME``, ``branch:NAME``, ``host:NAME``, ``all``,
            ``account:NAME:WINDOW``, or ``group:RULE:TIME`` for many agents at once.
        since: since when the condition holds, UTC.
        fired_at: when the alert fired, UTC.
        message: one sentence made of fixed texts, names and numbers.
        label: title of the agent, else its id; or the name of another subject.
        agent_id, agent_kind, project, branch, host: of the agent; None if it is about no single
            agent.
        resolved_at: when the condition ended, UTC; None while it holds.
        acknowledged_at, acknowledged_by: when it was acknowledged, and the name of the person;
            None: not yet.
        value, threshold: what was measured, and the limit of the rule; None: the kind has none.
        count: number of agents of a group; 1 for others.
        agent_ids: ids of the first MAX_AGENT_IDS agents of a group.
        channels: names of the channels that the rule names; empty: all.
        silenced: no message was sent, because alerts were muted or it was a quiet hour.
        repeat: the message may have been sent before, because the server restarted meanwhile.
        url_path: path and fragment of the page that shows the subject.
    """

    alert_id: str
    rule: str
    kind: str
    severity: str
    state: str
    subject: str
    since: datetime
    fired_at: datetime
    message: str
    label: str
    agent_id: str | None = None
    agent_kind: str | None = None
    project: str | None = None
    branch: str | None = None
    host: str | None = None
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    value: float | None = None
    threshold: float | None = None
    count: int = 1
    agent_ids: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    silenced: bool = False
    repeat: bool = False
    url_path: str = "/"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON object; times are RFC 3339 strings."""
        values: dict[str, Any] = {name: getattr(self, name) for name in ALERT_FIELDS}
        for name in ALERT_TIMES:
            if values[name] is not None:
                values[name] = to_rfc3339(values[name])
        for name in _LISTS:
            values[name] = list(values[name])
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FiredAlert:
        """Return the alert of a JSON object of ``to_dict``; unknown fields are ignored.

        Raises:
            InvalidEvent: a time is invalid.
            TypeError: a required field is missing.
        """
        values = {name: data[name] for name in ALERT_FIELDS if data.get(name) is not None}
        for name in ALERT_TIMES:
            if name in values:
                values[name] = parse_time(values[name], name)
        for name in _LISTS:
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


ALERT_FIELDS = tuple(f.name for f in fields(FiredAlert))
ALERT_TIMES = ("since", "fired_at", "resolved_at", "acknowledged_at")
"""Fields of an alert that are times."""
_LISTS = ("agent_ids", "channels")


def alert_id_of(rule: str, subject: str, since: datetime) -> str:
    """Return the id of the alert of a rule about a subject that began at a time."""
    text = f"{rule}\0{subject}\0{to_micros(since)}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def agent_path(agent_id: str) -> str:
    """Return path and fragment of the page that shows an agent."""
    return f"/#agent={quote(agent_id, safe='')}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """The message of one alert to one channel.

    Attributes:
        delivery_id: number of the delivery.
        alert: the alert, in the state that the message is about.
        channel: name of the channel.
        attempts: number of attempts that have failed.
        next_at: when the next attempt is due, UTC.
    """

    delivery_id: int
    alert: FiredAlert
    channel: str
    attempts: int
    next_at: datetime


class Outbox(Protocol):
    """The stored deliveries; the methods can be called from any thread and may wait for the disk.

    They raise StoreError if the database cannot be read or written.
    """

    def pending(self, channel: str, now: datetime, limit: int) -> Sequence[Delivery]:
        """Return pending deliveries that are due, those due first first."""

    def sent(self, delivery_id: int) -> None:
        """Note that a message was sent."""

    def failed(self, delivery_id: int, error: str, next_at: datetime | None) -> None:
        """Note a failed attempt.

        Args:
            error: what went wrong, without secrets.
            next_at: when to try again, UTC; None: never, the delivery is dropped.
        """
