"""The service tier of requests in Codex's session files; see ``session``.

``thread_settings_applied`` contains the settings of the session from then on, without a tier if it
is the standard one (ThreadSettingsSnapshot in codex-rs/protocol/src/protocol.rs of openai/codex;
``turn_context`` has no tier). A turn keeps the tier that it started with, see
``settings_update_during_active_turn_applies_to_next_turn_only`` in
codex-rs/core/tests/suite/model_switching.rs. Codex's fast mode is the tier ``priority``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import mapping
from ..request_terms import service_tier_of
from .lines import Record

_TURN_ENDS = ("task_complete", "turn_aborted")


@dataclass(slots=True)
class ServiceTier:
    """The tier of the requests of one session."""

    _current: str | None = None
    _next: str | None = None
    _in_turn: bool = False
    _has_completion: bool = False

    def read(self, kind: object, payload: Record) -> None:
        """Read a line of any kind, before its events."""
        event = payload.get("type") if kind == "event_msg" else None
        if event == "thread_settings_applied":
            settings = mapping(payload.get("thread_settings")) or payload
            self._next = service_tier_of(settings.get("service_tier"))
            # Settings for a turn are written around its start.
            if not (self._in_turn and self._has_completion):
                self._current = self._next
        elif kind == "turn_context" and "service_tier" in payload:
            self._current = self._next = service_tier_of(payload.get("service_tier"))
        elif event == "task_started" or event in _TURN_ENDS:
            self._current, self._has_completion = self._next, False
            self._in_turn = event == "task_started"

    def of_completion(self) -> str | None:
        """Return the tier of a completion; None: standard."""
        self._has_completion = True
        return self._current
