"""Scores what a monitor showed against the phases that a person expected.

A phase names a state (or a fact) and the phase after which it must be reached. It is met by the
first that was shown, from what the phase before it was met by on, of a fitting session in that
state. It is missed where that came too late, where the state did not last, or where a forbidden
one followed in its window: up to its duration, else up to the next phase. What hangs on a missed
phase goes on from where that one hung.

Some phases cannot be judged, for the recording holds nothing by which any program could tell:
those of a session whose file was not kept, of a subagent that no recorded event names, and facts
that have no place in a presence (task lists). They are counted apart, and only where they were not
met.

A flip is a state in which a session was shown though no phase expects it. A turn which the
expectations leave out is none: it is begun by a person's prompt and ended by its own end. Nor is
the end of a session, or a new begin after it, or what the evidence of the same instant took back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from htmlgraph_nb.core.model import PresenceStatus
from tests.benchmarks.playback import Seen
from tests.benchmarks.recordings import Recording

GONE, READY, WORKING, WAITING = "gone", "ready", "working", "waiting"
_FORBIDDEN = re.compile(r"no state_transition to (\w+)( for child)?")
_GONE_KINDS = ("process_exited", "transcript_removed")
_CHILD_KINDS = ("transcript_new", "parent_linked")
_TURN_ENDS = ("stop", "interrupt", "error")


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
    """How one phase came out.

    Attributes:
        since, place: when, and by the how manieth that was shown, its anchor was met.
        met, at: what met it, and when; ``index`` is its place in what was shown.
        why: what was missed; "": nothing.
        judged: whether the recording holds what it takes to tell.
    """

    phase: str
    wanted: str
    since: datetime
    place: int
    met: Seen | None = None
    at: datetime | None = None
    index: int = -1
    why: str = ""
    judged: bool = True


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

    @property
    def n_judged(self) -> int:
        """How many phases can be judged."""
        return sum(result.judged for result in self.results)


def read_phases(path: Path) -> list[dict[str, Any]]:
    """Return the phases of a file of expectations."""
    records = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [record for record in records if "phase" in record]


class Scorer:
    """Scores the phases of one recording.

    Args:
        seen: everything that was shown, in order; end: of the recording.
    """

    def __init__(self, recording: Recording, seen: list[Seen], end: datetime) -> None:
        self._recording = recording
        self._seen = seen
        self._end = end
        start = Result("start", "", recording.events[0]["at"], -1)
        self._results = {"start": start}

    def score(self, phases: Iterable[dict[str, Any]]) -> Score:
        """Return how the phases came out."""
        known = list(phases)
        results = [self._reach(phase) for phase in known]
        for place, (result, phase) in enumerate(zip(results, known, strict=True)):
            if result.why:
                result.judged = self._can_be_judged(phase)
            else:
                self._check_window(result, phase, results[place + 1 :])
        agents = {result.met.agent_id for result in results if result.met}
        return Score(results, self._flips(results, agents), len(agents))

    def _reach(self, phase: dict[str, Any]) -> Result:
        anchor = self._results.get(phase["relative_to"], self._results["start"])
        since = anchor.at or anchor.since
        place = anchor.index if anchor.met else anchor.place
        wanted = phase.get("expected_state") or phase["kind"]
        result = self._results[phase["phase"]] = Result(phase["phase"], wanted, since, place)
        found = next(self._fitting(phase, anchor, place), None)
        if found is None:
            result.why = f"never {wanted} after {phase['relative_to']}"
            return result
        result.index, result.met = found
        result.index = max(result.index, place)
        result.at = max(result.met.at, since)
        limit = phase.get("max_delay_ms")
        delay_ms = (result.at - since).total_seconds() * 1000
        if limit and delay_ms > limit:
            result.why = f"{wanted} only after {delay_ms:,.0f} ms, expected within {limit:,} ms"
        return result

    def _fitting(
        self, phase: dict[str, Any], anchor: Result, place: int
    ) -> Iterator[tuple[int, Seen]]:
        """Yield what fits a phase, what stood at its anchor first."""
        pin = phase.get("same_session_as")
        pinned = self._results[pin].met if pin in self._results else None
        if pin and pinned is None:
            return
        used = {result.met.name for result in self._results.values() if result.met}
        standing = {one.agent_id: (i, one) for i, one in enumerate(self._seen[: place + 1])}
        later = enumerate(self._seen[place + 1 :], place + 1)
        for i, one in (*standing.values(), *later):
            if not _fits(phase, one):
                continue
            if pinned is not None:
                fits = one.agent_id == pinned.agent_id
            elif phase.get("new_session"):
                fits = one.name not in used
            else:
                # Only the session that the anchor is about can have come to it before.
                fits = i > place or anchor.met is None or _is_kin(one, anchor.met)
            if fits:
                yield i, one

    def _can_be_judged(self, phase: dict[str, Any]) -> bool:
        """Return whether the recording holds what it takes to tell a phase that was missed."""
        pin = phase.get("same_session_as")
        if pin in self._results and not self._results[pin].judged:
            return False
        kind = phase.get("kind")
        sessions = self._recording.sessions.values()
        if kind in _CHILD_KINDS:
            return any(session.parent is not None for session in sessions)
        if kind is not None:
            return kind in (*_GONE_KINDS, "pid_discovered")
        lost = any(one.size and one.content is None and one.parent is None for one in sessions)
        return not (phase.get("new_session") and lost)

    def _check_window(self, result: Result, phase: dict[str, Any], later: list[Result]) -> None:
        assert result.met is not None
        assert result.at is not None
        lasting = phase.get("duration_at_least_ms")
        ends = (one.index for one in later if one.met is not None)
        end = len(self._seen) if lasting else next(ends, len(self._seen))
        inside = self._seen[result.index + 1 : end]
        if lasting:
            until = result.at + timedelta(milliseconds=lasting)
            inside = [one for one in inside if one.at < until]
        own = [one for one in inside if one.agent_id == result.met.agent_id]
        if lasting and phase.get("expected_state"):
            broken = [one for one in own if result.wanted not in states_of(one)]
            if broken:
                result.why = f"{said(broken[0])} before {lasting:,} ms had passed"
                return
        for text in phase.get("invariants", ()):
            told = _FORBIDDEN.match(text)
            forbidden = told[1] if told else GONE if "transcript_removed" in text else ""
            children = [one for one in inside if one.presence.parent_agent_id is not None]
            for one in children if told and told[2] else own:
                if forbidden in states_of(one):
                    result.why = f"{said(one)}, against “{text}”"
                    return

    def _flips(self, results: list[Result], agents: set[str]) -> list[Seen]:
        """Return what was shown of the sessions in question that nothing explains."""
        wanted = {id(result.met) for result in results}
        shown: dict[str, tuple[str, ...]] = {}
        prompted: set[str] = set()
        found = []
        lasting = {(one.agent_id, one.at): one for one in self._seen}
        for one in self._seen:
            if lasting[one.agent_id, one.at] is not one and id(one) not in wanted:
                continue
            states, before = states_of(one), shown.get(one.agent_id)
            shown[one.agent_id] = states
            if one.agent_id not in agents or one.presence.parent_agent_id is not None:
                continue
            if before in (None, states, (GONE,)) or states == (GONE,):
                continue
            if id(one) in wanted:
                prompted.discard(one.agent_id)
            elif states == (WORKING,) and one.cause == "prompt":
                prompted.add(one.agent_id)
            elif READY in states and one.cause in _TURN_ENDS and one.agent_id in prompted:
                prompted.discard(one.agent_id)
            else:
                found.append(one)
        return found


def _is_kin(one: Seen, other: Seen) -> bool:
    return one.agent_id in (other.agent_id, other.presence.parent_agent_id)


def _fits(phase: dict[str, Any], one: Seen) -> bool:
    kind, is_child = phase.get("kind"), one.presence.parent_agent_id is not None
    if kind is None:
        return phase["expected_state"] in states_of(one) and not is_child
    if kind == "pid_discovered":
        return GONE not in states_of(one)
    if kind in _GONE_KINDS:
        return GONE in states_of(one)
    return is_child if kind in _CHILD_KINDS else False


def said(one: Seen) -> str:
    """Return what was shown, why and when."""
    return f"{states_of(one)[0]} ({one.presence.reason}) at {one.at:%H:%M:%S.%f}"[:-3]
