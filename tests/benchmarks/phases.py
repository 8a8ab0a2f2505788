"""Scores what a monitor showed against the phases that a person expected.

A phase names a state (or a fact) and the phase after which it must be reached; see the README of
the recordings. It is met at the first moment, from that of the phase before it on, at which a fitting
session is in that state. It fails where that moment comes too late, where the state does not last,
or where a forbidden one follows in its window. After a failed phase, those that hang on it go on
from where that one hung.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from htmlgraph_nb.model import PresenceStatus

from .recordings import Seen

GONE, READY, WORKING, WAITING = "gone", "ready", "working", "waiting"
_FORBIDDEN = re.compile(r"no state_transition to (\w+)( for child)?")
_GONE_KINDS = ("process_exited", "transcript_removed")


def states_of(one: Seen) -> tuple[str, ...]:
    """Return the states, in the words of the expectations, that a presence agrees with.

    A turn that ended with a question is both: ready, and waiting for the answer.
    """
    presence = one.presence
    if presence.status is PresenceStatus.OFFLINE:
        return (GONE,)
    if presence.status is PresenceStatus.IDLE:
        return (READY, WAITING) if presence.detail == "waiting_input" else (READY,)
    return (WAITING,) if presence.attention else (WORKING,)


@dataclass
class Result:
    """How one phase came out; ``why`` says what was missed, "" if nothing was."""

    phase: str
    wanted: str
    anchor: datetime
    met: Seen | None = None
    at: datetime | None = None
    why: str = ""


@dataclass
class Score:
    """All phases of one recording; ``flips`` are states that nobody expected."""

    results: list[Result]
    flips: list[Seen] = field(default_factory=list)
    n_sessions: int = 0

    @property
    def n_met(self) -> int:
        """How many phases came out as expected."""
        return sum(not result.why for result in self.results)


def read_phases(path: Path) -> list[dict[str, Any]]:
    """Return the phases of a file of expectations."""
    records = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [record for record in records if "phase" in record]


class Scorer:
    """Scores the phases of one recording.

    Args:
        seen: every change of what was shown, in order; start, end: of the recording.
    """

    def __init__(self, seen: list[Seen], start: datetime, end: datetime) -> None:
        self._seen = seen
        self._end = end
        self._anchors: dict[str, datetime] = {"start": start}
        self._met: dict[str, Seen] = {}

    def score(self, phases: Iterable[dict[str, Any]]) -> Score:
        """Return how the phases came out."""
        results = []
        windows: list[tuple[Result, dict[str, Any]]] = []
        for phase in phases:
            result = self._reach(phase)
            results.append(result)
            windows.append((result, phase))
            self._anchors[phase["phase"]] = result.at or result.anchor
            if result.met is not None:
                self._met[phase["phase"]] = result.met
        for place, (result, phase) in enumerate(windows):
            if not result.why:
                later = (r.at for r, _ in windows[place + 1 :] if r.at is not None)
                self._check_window(result, phase, next(later, self._end))
        return Score(results, self._flips(results), len({r.met.agent_id for r in results if r.met}))

    def _reach(self, phase: dict[str, Any]) -> Result:
        wanted = phase.get("expected_state") or phase["kind"]
        anchor = self._anchors[phase["relative_to"]]
        result = Result(phase["phase"], wanted, anchor)
        found = next(self._fitting(phase, anchor), None)
        if found is None:
            result.why = f"never {wanted} after {phase['relative_to']}"
            return result
        result.met, result.at = found, max(found.at, anchor)
        limit = phase.get("max_delay_ms")
        delay_ms = (result.at - anchor).total_seconds() * 1000
        if limit and delay_ms > limit:
            result.why = f"{wanted} only after {delay_ms:,.0f} ms, expected within {limit:,} ms"
        return result

    def _fitting(self, phase: dict[str, Any], anchor: datetime) -> Iterator[Seen]:
        """Yield what fits a phase, what stood at its anchor first."""
        pinned = self._met.get(phase.get("same_session_as", ""))
        if phase.get("same_session_as") and pinned is None:
            return
        used = {met.name for met in self._met.values()}
        before = self._met.get(phase["relative_to"])
        for one in (*self._standing(anchor), *(one for one in self._seen if one.at > anchor)):
            if pinned is not None and one.agent_id != pinned.agent_id:
                continue
            if phase.get("new_session"):
                if one.name in used:
                    continue
            elif pinned is None and one.at <= anchor and before is not None:
                # Only the session that the anchor is about can have come to it before.
                if one.agent_id != before.agent_id and phase.get("kind") not in _GONE_KINDS:
                    continue
            if _fits(phase, one):
                yield one

    def _standing(self, at: datetime) -> list[Seen]:
        """Return what was shown of each agent at a moment."""
        return list({one.agent_id: one for one in self._seen if one.at <= at}.values())

    def _check_window(self, result: Result, phase: dict[str, Any], until: datetime) -> None:
        assert result.met is not None and result.at is not None
        lasting = phase.get("duration_at_least_ms")
        if lasting:
            until = min(result.at + timedelta(milliseconds=lasting), self._end)
        inside = [one for one in self._seen if result.at < one.at < until]
        own = [one for one in inside if one.agent_id == result.met.agent_id]
        if lasting and phase.get("expected_state"):
            broken = [one for one in own if result.wanted not in states_of(one)]
            if broken:
                result.why = f"{_said(broken[0])} before {lasting:,} ms had passed"
                return
        for text in phase.get("invariants", ()):
            told = _FORBIDDEN.match(text)
            forbidden = told[1] if told else GONE if "transcript_removed" in text else ""
            children = [one for one in inside if one.presence.parent_agent_id is not None]
            for one in children if told and told[2] else own:
                if forbidden in states_of(one):
                    result.why = f"{_said(one)}, against “{text}”"
                    return

    def _flips(self, results: list[Result]) -> list[Seen]:
        """Return what was shown of the sessions in question that no phase expected."""
        wanted = {id(result.met) for result in results}
        agents = {result.met.agent_id for result in results if result.met}
        shown: dict[str, tuple[str, ...]] = {}
        found = []
        for one in self._seen:
            states, before = states_of(one), shown.get(one.agent_id)
            shown[one.agent_id] = states
            if one.agent_id not in agents or one.presence.parent_agent_id is not None:
                continue
            if before is None or before == (GONE,) or states == (GONE,):
                # It began, or its process ended: both are told by the recording itself.
                continue
            if states != before and id(one) not in wanted:
                found.append(one)
        return found


def _fits(phase: dict[str, Any], one: Seen) -> bool:
    kind, is_child = phase.get("kind"), one.presence.parent_agent_id is not None
    if kind is None:
        return phase["expected_state"] in states_of(one) and not is_child
    if kind == "pid_discovered":
        return GONE not in states_of(one)
    if kind in _GONE_KINDS:
        return GONE in states_of(one)
    if kind in ("transcript_new", "parent_linked"):
        return is_child
    # A fact that has no place in what is shown of an agent.
    return False


def _said(one: Seen) -> str:
    return f"{states_of(one)[0]} ({one.presence.reason}) at {one.at:%H:%M:%S.%f}"[:-3]
