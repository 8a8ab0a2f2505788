"""Status accuracy on recorded sessions: every expected phase is shown, and no other status."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.agent_check.phases import Scorer
from htmlgraph_nb.agent_check.playback import Seen
from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus
from htmlgraph_nb.core.roster import Roster
from tests.benchmarks import status_accuracy
from tests.benchmarks.recordings import Recording

FOLDERS = sorted(path.parent for path in status_accuracy.OWN.rglob("expected.jsonl"))
IDS = [f"{path.parent.name}-{path.name}" for path in FOLDERS]


def last_presences(events: list[Event], end: datetime) -> dict[str, AgentPresence]:
    """Return the presence of each agent after all events, in this order."""
    roster = Roster()
    for seq, event in enumerate(events, 1):
        roster.apply(event, seq, end)
    roster.commit()
    return {agent_id: state.presence for agent_id, state in roster.agents.items()}


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_recording_meets_all_phases(folder: Path) -> None:
    """All phases are reached in order and in time, without flips."""
    score = status_accuracy.run(folder).score
    assert [(result.phase, result.why) for result in score.results if result.why] == []
    assert score.flips == []
    assert score.n_judged == len(score.results)


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_recording_interleaving_does_not_matter(folder: Path) -> None:
    """Events of session file, hooks and process give the same result in any interleaving."""
    replay = status_accuracy.run(folder).replay
    fed = [event for _, event in replay.fed]
    expected = last_presences(fed, replay.end)
    by_source: dict[str, list[Event]] = defaultdict(list)
    for event in fed:
        by_source[event.source or ""].append(event)
    for seed in range(5):
        order = [source for source, events in by_source.items() for _ in events]
        random.Random(seed).shuffle(order)
        queues = {source: iter(events) for source, events in by_source.items()}
        actual = last_presences([next(queues[source]) for source in order], replay.end)
        for agent_id, presence in expected.items():
            assert actual[agent_id].status is presence.status
            assert actual[agent_id].detail == presence.detail
            assert actual[agent_id].attention == presence.attention


def test_totals_name_each_agent_and_all() -> None:
    """The sums are those of the recordings, and good if all phases are met."""
    outcomes = [status_accuracy.run(FOLDERS[0])]
    sums = status_accuracy.totals(outcomes)
    assert list(sums) == [outcomes[0].agent, "all"]
    assert sums["all"].phases == len(outcomes[0].score.results)
    assert sums["all"].good


def seen(at: datetime, status: PresenceStatus, cause: str, detail: str = "done") -> Seen:
    """Return an entry of what was shown for one agent."""
    return Seen(at, "s", AgentPresence("a", status, detail=detail), cause)


def recording(start: datetime) -> Recording:
    """Return a recording without sessions."""
    return Recording(Path("x/y"), [{"at": start, "seq": 1, "kind": "transcript_new"}])


ACTIVE, IDLE = PresenceStatus.ACTIVE, PresenceStatus.IDLE
T0 = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
PHASES = [
    {"phase": "born", "expected_state": "ready", "relative_to": "start", "max_delay_ms": 1000},
    {"phase": "works", "expected_state": "working", "relative_to": "born"},
    {"phase": "done", "expected_state": "ready", "relative_to": "works", "max_delay_ms": 5000},
]


def shown(*steps: tuple[float, PresenceStatus, str]) -> list[Seen]:
    """Return the entries of what was shown, by seconds after the start."""
    return [seen(T0 + timedelta(seconds=s), status, cause) for s, status, cause in steps]


@pytest.mark.parametrize(
    ("steps", "missed", "n_flips"),
    [
        ([(0, IDLE, "session_start"), (2, ACTIVE, "prompt"), (5, IDLE, "stop")], [], 0),
        ([(2, IDLE, "session_start"), (3, ACTIVE, "prompt"), (5, IDLE, "stop")], ["born"], 0),
        ([(0, IDLE, "session_start"), (2, ACTIVE, "prompt"), (9, IDLE, "stop")], ["done"], 0),
        ([(0, IDLE, "session_start"), (2, ACTIVE, "prompt")], ["done"], 0),
        (
            # A turn that is shown as ended while it runs, and the flip back.
            [
                *[(0, IDLE, "session_start"), (2, ACTIVE, "prompt"), (3, IDLE, "stop")],
                *[(4, ACTIVE, "tool_execute"), (5, IDLE, "stop")],
            ],
            [],
            2,
        ),
        (
            # A turn that the expectations omit.
            [
                *[(0, IDLE, "session_start"), (2, ACTIVE, "prompt"), (3, IDLE, "stop")],
                *[(14, ACTIVE, "prompt"), (15, IDLE, "stop")],
            ],
            [],
            0,
        ),
    ],
    ids=["good", "born late", "done late", "never done", "flip", "another turn"],
)
def test_scorer_misses_and_flips(
    steps: list[tuple[float, PresenceStatus, str]], missed: list[str], n_flips: int
) -> None:
    """A late or missing state is missed, an unexpected one is a flip."""
    scorer = Scorer(recording(T0), shown(*steps), T0 + timedelta(seconds=20))
    score = scorer.score(PHASES)
    assert [result.phase for result in score.results if result.why] == missed
    assert len(score.flips) == n_flips


def test_scorer_checks_duration_and_invariants() -> None:
    """A state that ends too soon, or a forbidden one, is a miss."""
    steps = shown((0, IDLE, "session_start"), (1, ACTIVE, "prompt"), (3, IDLE, "stop"))
    lasts = {"phase": "lasts", "expected_state": "working", "relative_to": "start"}
    for milliseconds, good in ((1_500, True), (2_500, False)):
        scorer = Scorer(recording(T0), steps, T0 + timedelta(seconds=9))
        (result,) = scorer.score([{**lasts, "duration_at_least_ms": milliseconds}]).results
        assert (result.why == "") is good
    never = {**lasts, "invariants": ["no state_transition to ready"]}
    scorer = Scorer(recording(T0), steps, T0 + timedelta(seconds=9))
    assert "against" in scorer.score([never]).results[0].why


def test_scorer_does_not_judge_unknown_facts() -> None:
    """A fact that no presence contains is counted separately."""
    scorer = Scorer(recording(T0), [], T0)
    (result,) = scorer.score([{"phase": "x", "kind": "task_delta", "relative_to": "start"}]).results
    assert (bool(result.why), result.judged) == (True, False)
