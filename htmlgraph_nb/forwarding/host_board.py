"""The hosts that forward their events to a server, and which of them are lost. Pure.

A host is lost once nothing came from it for a time. Its agents are then unreachable, until it is
connected again and has sent what it stored meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from ..core.timestamps import to_rfc3339
from ..core.validation import (
    is_mapping,
    parse_time,
    unknown_field,
    validate_count,
    validate_string,
)
from ..errors import CapacityError, InvalidEvent

MAX_HOSTS_KNOWN = 1_000
"""Most hosts; of more, those that were lost first are dropped."""
CAUGHT_UP_EVENTS = 50
"""A host that has fewer events to send is up to date."""
_PAUSE = timedelta(seconds=5)
"""Time between two checks from which this server, and not its hosts, must have been paused."""


@dataclass(frozen=True, slots=True)
class HostReport:
    """What the server of a host says about itself.

    Attributes:
        id: id of the host.
        label: its name, for people.
        user: name of the account; None: unknown.
        version: of its server.
        epoch: id of its database.
        seq: newest seq of its database.
        pending: number of events that it has not sent yet.
        lag_ms: milliseconds since it had sent all.
        clock: its time, UTC.
    """

    id: str
    label: str
    user: str | None = None
    version: str | None = None
    epoch: str | None = None
    seq: int = 0
    pending: int = 0
    lag_ms: int = 0
    clock: datetime | None = None

    @classmethod
    def from_dict(cls, data: object) -> HostReport:
        """Return the report in a message; unknown fields are rejected.

        Raises:
            InvalidEvent: a field is missing or invalid.
        """
        if not is_mapping(data):
            raise InvalidEvent("host: expected an object")
        names = [each.name for each in fields(cls)]
        values: dict[str, Any] = {}
        for name, value in data.items():
            if name == "type" or value is None:
                continue
            if name not in names:
                raise unknown_field(str(name), dict.fromkeys(names), "update this server")
            check = _CHECKS.get(str(name), validate_string)
            values[str(name)] = check(value, str(name))
        for name in ("id", "label"):
            if name not in values:
                raise InvalidEvent(f"{name}: missing, expected a string", name)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object, without fields that are None."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.clock is not None:
            values["clock"] = to_rfc3339(self.clock)
        return {name: value for name, value in values.items() if value is not None}


_CHECKS: dict[str, Any] = {
    **dict.fromkeys(("seq", "pending", "lag_ms"), validate_count),
    "clock": parse_time,
}


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host as this server knows it.

    Attributes:
        report: its last report.
        seen_at: when something came from it last, UTC.
        ahead_s: seconds by which its clock is ahead; None: unknown.
        n_connections: open connections of it here.
        is_lost: whether its agents were marked as unreachable; None: not decided here yet.
    """

    report: HostReport
    seen_at: datetime
    ahead_s: float | None = None
    n_connections: int = 0
    is_lost: bool | None = None

    def to_json(self) -> str:
        """Return the host as it is stored."""
        record = {"seen_at": to_rfc3339(self.seen_at), "ahead_s": self.ahead_s}
        return json.dumps({**record, "report": self.report.to_dict()}, separators=(",", ":"))


def stored_host(text: object) -> KnownHost | None:
    """Return the host in a result of ``to_json``; None for any other text."""
    try:
        record = json.loads(str(text))
        report = HostReport.from_dict(record["report"])
        return KnownHost(report, parse_time(record["seen_at"], "seen_at"), record.get("ahead_s"))
    except (ValueError, TypeError, KeyError, AttributeError, InvalidEvent):
        return None


class HostBoard:
    """All hosts, by id.

    Args:
        timeout_s: seconds without a message after which a host is lost.
        now: the time, UTC: no host is lost before the timeout has passed from here.
    """

    def __init__(self, timeout_s: float, now: datetime) -> None:
        self.hosts: dict[str, KnownHost] = {}
        self._timeout = timedelta(seconds=timeout_s)
        self._checked_at = self._patient_from = now
        # Hosts whose stored record is older.
        self.changed: set[str] = set()

    def connect(self, report: HostReport, now: datetime) -> None:
        """Take the first report of a connection.

        Raises:
            CapacityError: there are too many connected hosts.
        """
        host = self.hosts.get(report.id)
        if host is None and len(self.hosts) >= MAX_HOSTS_KNOWN:
            self._drop_one()
        n = 1 if host is None else host.n_connections + 1
        is_lost = None if host is None else host.is_lost
        self.hosts[report.id] = KnownHost(report, now, None, n, is_lost)
        self.report(report, now)

    def _drop_one(self) -> None:
        gone = [each for each in self.hosts.values() if not each.n_connections]
        if not gone:
            raise CapacityError(
                f"hosts: at most {MAX_HOSTS_KNOWN} can forward to this server", "too_many_hosts"
            )
        del self.hosts[min(gone, key=lambda each: each.seen_at).report.id]

    def report(self, report: HostReport, now: datetime) -> None:
        """Take a further report of a connected host."""
        host = self.hosts[report.id]
        ahead_s = None if report.clock is None else round((report.clock - now).total_seconds(), 3)
        self.hosts[report.id] = replace(host, report=report, seen_at=now, ahead_s=ahead_s)
        self.changed.add(report.id)

    def contact(self, host_id: str, now: datetime) -> None:
        """Note that events of a host came."""
        if (host := self.hosts.get(host_id)) is not None:
            self.hosts[host_id] = replace(host, seen_at=now)

    def disconnect(self, host_id: str) -> None:
        """Note that a connection of a host has ended."""
        if (host := self.hosts.get(host_id)) is not None:
            n = max(0, host.n_connections - 1)
            self.hosts[host_id] = replace(host, n_connections=n)
            self.changed.add(host_id)

    def absorb(self, stored: Iterable[KnownHost]) -> None:
        """Take the stored hosts, of which other servers may know more."""
        for host in stored:
            known = self.hosts.get(host.report.id)
            if known is None and len(self.hosts) < MAX_HOSTS_KNOWN:
                self.hosts[host.report.id] = host
            elif known is not None and not known.n_connections and host.seen_at > known.seen_at:
                self.hosts[host.report.id] = replace(host, is_lost=known.is_lost)

    def check(self, now: datetime) -> tuple[list[KnownHost], list[KnownHost]]:
        """Return the hosts that are lost now, and those that have returned and are up to date."""
        if now - self._checked_at > _PAUSE or now < self._checked_at:
            # Nothing could arrive meanwhile.
            self._patient_from = now
        self._checked_at = now
        lost, returned = [], []
        for name, host in self.hosts.items():
            seen = max(host.seen_at, self._patient_from)
            if now - seen > self._timeout:
                if host.is_lost is not True:
                    lost.append(host)
                    self.hosts[name] = replace(host, is_lost=True)
            elif host.is_lost is not False and self._is_current(host):
                returned.append(host)
                self.hosts[name] = replace(host, is_lost=False)
        return lost, returned

    def _is_current(self, host: KnownHost) -> bool:
        return host.n_connections > 0 and host.report.pending < CAUGHT_UP_EVENTS

    def undecided(self, host_id: str) -> None:
        """Have ``check`` return a host again, whose events could not be stored."""
        if (host := self.hosts.get(host_id)) is not None:
            self.hosts[host_id] = replace(host, is_lost=None)

    def rows(self, now: datetime) -> list[dict[str, Any]]:
        """Return the hosts as JSON objects, those that are connected first, by label."""
        ordered = sorted(
            self.hosts.values(), key=lambda each: (not each.n_connections, each.report.label)
        )
        return [_row(host, now) for host in ordered]


def _row(host: KnownHost, now: datetime) -> dict[str, Any]:
    report, connected = host.report, host.n_connections > 0
    lag_s = report.lag_ms / 1_000 if report.pending else 0.0
    if not connected:
        lag_s = max(0.0, (now - host.seen_at).total_seconds())
    return {
        "id": report.id,
        "label": report.label,
        "user": report.user,
        "version": report.version,
        "connected": connected,
        "lost": host.is_lost is True,
        "last_heartbeat": to_rfc3339(host.seen_at),
        "lag_events": report.pending,
        "lag_s": round(lag_s, 3),
        "clock_ahead_s": host.ahead_s,
    }


def agents_to_mark(
    agents: Iterable[str], details: Mapping[str, tuple[bool, bool]], *, lost: bool
) -> list[str]:
    """Return the agents of a host to mark as lost or as seen.

    Args:
        agents: the agents of the host.
        details: agent → whether it is offline, and whether it is unreachable.
    """
    known = [(name, *details[name]) for name in agents if name in details]
    if lost:
        return [name for name, is_offline, _ in known if not is_offline]
    return [name for name, _, is_unreachable in known if is_unreachable]
