"""How right the shown status is, on recorded sessions with a person's expectations.

    python -m tests.benchmarks.status_accuracy FOLDER [--verbose] [--json]

FOLDER holds, at any depth, ``<agent>/<scenario>/`` with ``transcript.jsonl``, ``events.jsonl`` and
``expected.jsonl``; without one, HTMLGRAPH_RECORDINGS names it, else the few recordings in
tests/payloads are taken. Each is replayed at its recorded times on a simulated clock through the
real connectors, the real tail of session files and the real Roster with its timers; see
recordings.py for what is filled in, playback.py for how it is fed, phases.py for how it is judged.

It prints how many phases came out as expected by agent and scenario, each miss with the verdict
that stood and its reason, and how often a session was shown in a state that nobody expected. It
exits with status 1 where less than 95 % of the phases of an agent came out as expected, or where
there were more than 0.05 such flips a session.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from htmlgraph_nb.core.model import Event
from tests.benchmarks.phases import Result, Score, Scorer, read_phases, said, states_of
from tests.benchmarks.playback import Replay
from tests.benchmarks.recordings import Recording
from tests.benchmarks.table import print_table
from tests.helpers.paths import ROOT

WANTED = 0.95
MAX_FLIPS = 0.05
OWN = ROOT / "tests/payloads" / "recordings"


@dataclass(frozen=True)
class Outcome:
    """One recording, replayed and scored."""

    agent: str
    scenario: str
    score: Score
    replay: Replay


def run(folder: Path) -> Outcome:
    """Replay and score one recording."""
    recording = Recording.read(folder)
    with tempfile.TemporaryDirectory() as place:
        replay = Replay(recording, Path(place))
        replay.run()
    scorer = Scorer(recording, replay.seen, replay.end)
    score = scorer.score(read_phases(folder / "expected.jsonl"))
    return Outcome(recording.agent, folder.name, score, replay)


def run_all(folder: Path) -> list[Outcome]:
    """Replay and score all recordings of a folder that have expectations."""
    found = sorted(path.parent for path in folder.rglob("expected.jsonl"))
    return [run(path) for path in found if (path / "events.jsonl").exists()]


@dataclass
class Total:
    """Sums over the recordings of one agent; ``phases`` can be judged, ``unjudged`` cannot."""

    met: int = 0
    phases: int = 0
    unjudged: int = 0
    flips: int = 0
    sessions: int = 0

    def add(self, score: Score) -> None:
        """Add one recording."""
        self.met += score.n_met
        self.phases += score.n_judged
        self.unjudged += len(score.results) - score.n_judged
        self.flips += len(score.flips)
        self.sessions += score.n_sessions

    @property
    def good(self) -> bool:
        """Whether it is as right as it must be."""
        return self.met >= WANTED * self.phases and self.flips <= MAX_FLIPS * self.sessions


def totals(outcomes: list[Outcome]) -> dict[str, Total]:
    """Return agent → its sums; "all" for all of them."""
    agents = sorted({one.agent for one in outcomes})
    found = {name: Total() for name in (*agents, "all")}
    for one in outcomes:
        found[one.agent].add(one.score)
        found["all"].add(one.score)
    return found


def _explain(one: Outcome, result: Result) -> None:
    """Print a miss with the verdicts that stood, their rules, and the evidence around it."""
    mark = "" if result.judged else " (not judged)"
    print(f"  {one.agent}/{one.scenario}: {result.phase}{mark}: {result.why}")
    at = result.at or result.since
    lines = [(now, _evidence(event)) for now, event in one.replay.fed]
    for seen in one.replay.seen:
        shown = seen.presence
        text = f"-> {shown.status} {shown.detail}: {shown.reason} (rule: {seen.rule})"
        lines.append((seen.at, text))
    lines.sort(key=lambda line: line[0])
    around = [line for line in lines if line[0] <= at][-3:] + [x for x in lines if x[0] > at][:3]
    for when, text in around:
        print(f"      {when:%H:%M:%S.%f}"[:-3], text)


def _evidence(event: Event) -> str:
    about = f"{event.tool_name or ''} {event.extra or ''}".strip()
    return f"{event.source}: {event.agent_id} {event.event_type} {about}".rstrip()


def _trace(one: Outcome) -> None:
    print(f"{one.agent}/{one.scenario}")
    lines: list[tuple[datetime, str]] = [
        (now, f"      {event.timestamp:%H:%M:%S.%f} {_evidence(event)}")
        for now, event in one.replay.fed
    ]
    for seen in one.replay.seen:
        shown = seen.presence
        text = f"   {seen.name} {'/'.join(states_of(seen))} {shown.detail}: {shown.reason}"
        lines.append((seen.at, text))
    for result in one.score.results:
        mark = ("MISS" if result.judged else "not judged") if result.why else "met"
        text = f" {mark} {result.phase} {result.wanted} {result.why}"
        lines.append((result.at or result.since, text))
    for seen in one.score.flips:
        lines.append((seen.at, f" FLIP {states_of(seen)[0]}: {seen.presence.reason}"))
    for at, text in sorted(lines, key=lambda line: line[0]):
        print(f"{at:%H:%M:%S.%f}"[:-3], text)


def main() -> int:
    """Replay and score the recordings of a folder and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--verbose", action="store_true", help="print all evidence and verdicts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = args.folder or Path(os.environ.get("HTMLGRAPH_RECORDINGS", OWN))
    if not folder.is_dir():
        parser.error(f"there is no folder {folder}")
    outcomes = run_all(folder)
    found = totals(outcomes)
    if args.json:
        print(json.dumps({agent: asdict(total) for agent, total in found.items()}, indent=2))
    else:
        if args.verbose:
            for one in outcomes:
                _trace(one)
        _print(outcomes, found)
    return 0 if outcomes and all(total.good for total in found.values()) else 1


def _print(outcomes: list[Outcome], found: dict[str, Total]) -> None:
    rows = []
    for one in outcomes:
        score = one.score
        n = len(score.results)
        counts = (score.n_met, score.n_judged, n - score.n_judged, len(score.flips))
        rows.append((f"{one.agent}/{one.scenario}", *counts))
    print_table(("recording", "met", "phases", "not judged", "false flips"), rows)
    print_table(
        ("agent", "met", "phases", "%", "not judged", "false flips", "sessions", "a session"),
        [
            (
                *(agent, total.met, total.phases, 100 * total.met / max(1, total.phases)),
                *(total.unjudged, total.flips, total.sessions),
                total.flips / max(1, total.sessions),
            )
            for agent, total in found.items()
        ],
    )
    for one in outcomes:
        for result in one.score.results:
            if result.why:
                _explain(one, result)
        for seen in one.score.flips:
            print(f"  {one.agent}/{one.scenario}: flip: {said(seen)}")


if __name__ == "__main__":
    sys.exit(main())
