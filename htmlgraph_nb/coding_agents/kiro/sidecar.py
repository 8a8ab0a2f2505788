"""The file ``<session>.json`` beside a session file of Kiro CLI 2; see ``session``. Pure.

Kiro CLI rewrites it after each turn. Its token counts are 0, and its costs are credits, which are
no currency.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..fields import (
    amount,
    count,
    identifier,
    label,
    mapping,
    mappings,
    string,
    timestamp,
    timestamp_of_seconds,
    whole_path,
)

_MAX_TURNS = 20_000


@dataclass(frozen=True, slots=True)
class TurnReport:
    """How a turn ended.

    Attributes:
        at: when; None: unknown.
        is_broken: whether the user interrupted it.
        failure: text of the error with which it ended; None: it did not fail.
    """

    at: datetime | None = None
    is_broken: bool = False
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the file says about a session.

    Attributes:
        parent: id of the session that it continues, or whose subagent it is; None: none.
        is_child: whether it is the session of a subagent.
        context_tokens: the percentage of the context window that is used, in tokens.
        turns: id of a message → its turn, for all messages of the turns that have ended.
        last: id of the last message of a turn → its turn.
    """

    created_at: datetime | None = None
    cwd: str | None = None
    title: str | None = None
    parent: str | None = None
    is_child: bool = False
    model: str | None = None
    context_tokens: int | None = None
    context_window: int | None = None
    turns: Mapping[str, TurnReport] = field(default_factory=dict)
    last: Mapping[str, TurnReport] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes) -> Sidecar | None:
        """Return what the bytes of the file say; None: they are no JSON object."""
        try:
            record = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(record, dict):
            return None
        state = mapping(record.get("session_state"))
        model = mapping(state.get("rts_model_state"))
        info = mapping(model.get("model_info"))
        window = count(info.get("context_window_tokens")) or None
        percent = amount(model.get("context_usage_percentage"))
        used = None if window is None or percent is None else round(percent / 100 * window)
        parent = identifier(record.get("parent_session_id"))
        reason = record.get("session_created_reason", "subagent")
        turns, last = _turns(mapping(state.get("conversation_metadata")))
        return cls(
            timestamp(record.get("created_at")),
            whole_path(record.get("cwd")),
            label(record.get("title")),
            parent,
            # Sessions without a parent have this reason, too.
            parent is not None and reason == "subagent",
            string(info.get("model_id")),
            used or None,
            window,
            turns,
            last,
        )


def _turns(metadata: Mapping[str, Any]) -> tuple[dict[str, TurnReport], dict[str, TurnReport]]:
    turns: dict[str, TurnReport] = {}
    last: dict[str, TurnReport] = {}
    for turn in mappings(metadata.get("user_turn_metadatas"))[-_MAX_TURNS:]:
        names = turn.get("message_ids")
        messages = [name for name in names if isinstance(name, str)] if type(names) is list else []
        report = _report(turn)
        turns.update(dict.fromkeys(messages, report))
        if messages:
            last[messages[-1]] = report
    return turns, last


def _report(turn: Mapping[str, Any]) -> TurnReport:
    ended = turn.get("end_timestamp")
    at = timestamp(ended) if isinstance(ended, str) else timestamp_of_seconds(ended)
    failure = mapping(turn.get("result")).get("Err")
    reason = str(turn.get("end_reason") or "").lower()
    is_broken = "cancel" in reason or "interrupt" in reason
    text = failure if isinstance(failure, str) or failure is None else json.dumps(failure)
    return TurnReport(at, is_broken, None if is_broken else text)
