"""Scores what a monitor showed against the phases that a person expected.

A phase names a state (or a fact) and its anchor, the phase after which it must be reached. It is
met by the first entry that was shown at or after the anchor's entry, for a fitting session in that
state. It is missed if that was too late, if the state did not last, or if a forbidden state
followed in its window: its duration if it has one, else the time until the next phase. A phase
whose anchor was missed starts where the anchor started.

Some phases cannot be judged because no program could know the fact from the recording: phases of a
session whose file was not kept, of a subagent that no recorded event names, and facts that a
presence does not contain (task lists). They are counted separately, and only if they were not met.

A flip is a state that was shown for a session though no phase expects it. Not counted are a turn
that the expectations omit, or only its end (it starts with a person's prompt and ends by its own
end), the end of a session, a start after that end, and states replaced by other evidence of the
same timestamp.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..core.model import PresenceStatus
from .playback import PlayedRecording, Seen

_ENDED, _READY, _WORKING, _WAITING = "gone", "ready", "working", "waiting"
_FORBIDDEN = re.compile(r"no state_transition to (\w+)( for child)?")
_END_KINDS = ("process_exited", "transcript_removed")
_CHILD_KINDS = ("transcript_new", "parent_linked")
_TURN_ENDS = ("stop", "interrupt", "error")


def states_of(entry: Seen) -> tuple[str, ...]:
    """Return the states that a presence fits, as named in the expectations.

    After a turn that ended with a question an agent is both ready and waiting.
    """
    presence = entry.presence
    if presence.status is PresenceStatus.OFFLINE:
        return (_ENDED,)
    if presence.status is PresenceStatus.IDLE:
        return (_READY, _WAITING) if presence.detail == "waiting_input" else (_READY,)
    return (_WAITING,) if presence.attention else (_WORKING,)


@dataclass
class Result:
    """Result of one phase.

    Attributes:
        phase: name of the phase.
        wanted: expected state or fact.
        since: when its anchor was met.
        anchor_index: index of the entry that met its anchor, in what was shown.
        met: the entry that met it; None if none did.
        at: when it was met.
        index: index of that entry.
        why: why it was missed; "" if it was met.
        judged: whether the recording contains enough to judge it.
    """

    phase: str
    wanted: str
    since: datetime
    anchor_index: int
    met: Seen | None = None
    at: datetime | None = None
    index: int = -1
    why: str = ""
    judged: bool = True


@dataclass
class Score:
    """Results of all phases of one recording; ``flips`` are unexpected states."""

    results: list[Result]
    flips: list[Seen] = field(default_factory=list)
    n_sessions: int = 0

    @property
    def n_met(self) -> int:
        """Number of phases that were met."""
        return sum(not result.why for result in self.results)

    @property
    def n_judged(self) -> int:
        """Number of phases that can be judged."""
        return sum(result.judged for result in self.results)


def read_phases(path: Path) -> list[dict[str, Any]]:
    """Return the phases in a file of expectations."""
    records = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [record for record in records if "phase" in record]


class Scorer:
    """Scores the phases of one recording.

    Args:
        recording: the recording.
        seen: everything that was shown, in order.
        end: end of the recording.
    """

    def __init__(self, recording: PlayedRecording, seen: list[Seen], end: datetime) -> None:
        self._recording = recording
        self._seen = seen
        self._end = end
        start = Result("start", "", recording.events[0]["at"], -1)
        self._results = {"start": start}

    def score(self, phases: Iterable[dict[str, Any]]) -> Score:
        """Return the results of the phases."""
        expected = list(phases)
        results = [self._reach(phase) for phase in expected]
        for index, (result, phase) in enumerate(zip(results, expected, strict=True)):
            if result.why:
                result.judged = self._can_be_judged(phase)
            else:
                self._check_window(result, phase, results[index + 1 :])
        agents = {result.met.agent_id for result in results if result.met}
        return Score(results, self._flips(results, agents), len(agents))

    def _reach(self, phase: dict[str, Any]) -> Result:
        anchor = self._results.get(phase["relative_to"], self._results["start"])
        since = anchor.at or anchor.since
        anchor_index = anchor.index if anchor.met else anchor.anchor_index
        wanted = phase.get("expected_state") or phase["kind"]
        result = Result(phase["phase"], wanted, since, anchor_index)
        self._results[phase["phase"]] = result
        first = next(self._fitting(phase, anchor, anchor_index), None)
        if first is None:
            result.why = f"never {wanted} after {phase['relative_to']}"
            return result
        result.index, result.met = first
        result.index = max(result.index, anchor_index)
        result.at = max(result.met.at, since)
        limit = phase.get("max_delay_ms")
        delay_ms = (result.at - since).total_seconds() * 1000
        if limit and delay_ms > limit:
            result.why = f"{wanted} only after {delay_ms:,.0f} ms, expected within {limit:,} ms"
        return result

    def _fitting(
        self, phase: dict[str, Any], anchor: Result, anchor_index: int
    ) -> Iterator[tuple[int, Seen]]:
        """Yield the entries that fit a phase, those current at its anchor first."""
        pin = phase.get("same_session_as")
        pinned = self._results[pin].met if pin in self._results else None
        if pin and pinned is None:
            return
        used = {result.met.name for result in self._results.values() if result.met}
        until = anchor_index + 1
        current = {entry.agent_id: (i, entry) for i, entry in enumerate(self._seen[:until])}
        later = enumerate(self._seen[until:], until)
        for i, entry in (*current.values(), *later):
            is_of_child = pinned is not None and pinned.presence.parent_agent_id is not None
            if not _fits(phase, entry, is_of_child):
                continue
            if pinned is not None:
                fits = entry.agent_id == pinned.agent_id
            elif phase.get("new_session"):
                fits = entry.name not in used
            else:
                # Only the session of the anchor can have reached the state before it.
                fits = i > anchor_index or anchor.met is None or _is_related(entry, anchor.met)
            if fits:
                yield i, entry

    def _can_be_judged(self, phase: dict[str, Any]) -> bool:
        """Return whether the recording contains enough to judge a missed phase."""
        pin = phase.get("same_session_as")
        if pin in self._results and not self._results[pin].judged:
            return False
        kind = phase.get("kind")
        sessions = self._recording.sessions.values()
        if kind in _CHILD_KINDS:
            return any(session.parent is not None for session in sessions)
        if kind is not None:
            return kind in (*_END_KINDS, "pid_discovered")
        lost = any(
            session.size and session.content is None and session.parent is None
            for session in sessions
        )
        return not (phase.get("new_session") and lost)

    def _check_window(self, result: Result, phase: dict[str, Any], later: list[Result]) -> None:
        assert result.met is not None
        assert result.at is not None
        lasting = phase.get("duration_at_least_ms")
        ends = (other.index for other in later if other.met is not None)
        end = len(self._seen) if lasting else next(ends, len(self._seen))
        inside = self._seen[result.index + 1 : end]
        if lasting:
            until = result.at + timedelta(milliseconds=lasting)
            inside = [entry for entry in inside if entry.at < until]
        own = [entry for entry in inside if entry.agent_id == result.met.agent_id]
        if lasting and phase.get("expected_state"):
            broken = [entry for entry in own if result.wanted not in states_of(entry)]
            if broken:
                result.why = f"{describe(broken[0])} before {lasting:,} ms had passed"
                return
        for text in phase.get("invariants", ()):
            rule = _FORBIDDEN.match(text)
            forbidden = rule[1] if rule else _ENDED if "transcript_removed" in text else ""
            children = [entry for entry in inside if entry.presence.parent_agent_id is not None]
            for entry in children if rule and rule[2] else own:
                if forbidden in states_of(entry):
                    result.why = f"{describe(entry)}, against “{text}”"
                    return

    def _flips(self, results: list[Result], agents: set[str]) -> list[Seen]:
        """Return the unexpected states of these agents."""
        expected = {id(result.met) for result in results}
        shown: dict[str, tuple[str, ...]] = {}
        prompted: set[str] = set()
        flips = []
        last_at = {(entry.agent_id, entry.at): entry for entry in self._seen}
        for entry in self._seen:
            if last_at[entry.agent_id, entry.at] is not entry and id(entry) not in expected:
                continue
            states, before = states_of(entry), shown.get(entry.agent_id)
            shown[entry.agent_id] = states
            if entry.agent_id not in agents or entry.presence.parent_agent_id is not None:
                continue
            if before in (None, states, (_ENDED,)) or states == (_ENDED,):
                continue
            if states == (_WORKING,) and entry.cause == "prompt":
                prompted.add(entry.agent_id)
                continue
            is_end = _READY in states and entry.cause in _TURN_ENDS and entry.agent_id in prompted
            if is_end or id(entry) in expected:
                prompted.discard(entry.agent_id)
            else:
                flips.append(entry)
        return flips


def _is_related(entry: Seen, other: Seen) -> bool:
    return entry.agent_id in (other.agent_id, other.presence.parent_agent_id)


def _fits(phase: dict[str, Any], entry: Seen, is_of_child: bool = False) -> bool:
    """Return whether an entry is what a phase expects.

    Args:
        is_of_child: whether the phase is about a subagent, which is ready when it has ended.
    """
    if not entry.name.startswith(phase.get("session_id_prefix", "")):
        return False
    kind, is_child = phase.get("kind"), entry.presence.parent_agent_id is not None
    if kind is None:
        states = states_of(entry)
        if is_of_child:
            states = (_READY,) if _ENDED in states else states
        return phase["expected_state"] in states and is_child == is_of_child
    if kind == "pid_discovered":
        return _ENDED not in states_of(entry)
    if kind in _END_KINDS:
        return _ENDED in states_of(entry)
    return is_child if kind in _CHILD_KINDS else False


def describe(entry: Seen) -> str:
    """Return the state, its reason and the time of an entry."""
    return f"{states_of(entry)[0]} ({entry.presence.reason}) at {entry.at:%H:%M:%S.%f}"[:-3]
