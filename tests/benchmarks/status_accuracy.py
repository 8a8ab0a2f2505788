"""Accuracy of the shown status, on recorded sessions with a person's expectations.

    python -m tests.benchmarks.status_accuracy [FOLDER] [--verbose] [--json] [--write]

FOLDER contains, at any depth, ``<agent>/<scenario>/`` with ``transcript.jsonl``, ``events.jsonl``
and ``expected.jsonl``. Without it, the variable HTMLGRAPH_RECORDINGS names the folder, else the few
recordings in tests/payloads are used. Each is played back at its recorded times on a simulated
clock through the real hook parsers, session readers and Roster with its timers: see recordings.py
for the format, htmlgraph_nb/agent_check/ for the playback and the scoring.

Prints how many phases were met by agent and scenario, each miss with the current decision and its
reason, and the number of unexpected states (flips). With ``--write`` it also stores the numbers of
each agent in htmlgraph_nb/agent_check/accuracy.json, from which the table of what is seen is made:
only with the folder of all recordings. Exits with status 1 if fewer than 95 % of an
agent's phases were met, or if there were more than 0.05 flips a session.
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

from htmlgraph_nb.agent_check.phases import Result, Score, Scorer, describe, read_phases, states_of
from htmlgraph_nb.agent_check.playback import Replay
from htmlgraph_nb.core.model import Event
from tests.benchmarks import stored_sessions
from tests.benchmarks.accuracy_file import has_reader, write_accuracy
from tests.benchmarks.recordings import Recording
from tests.benchmarks.stored_sessions import StoredReplay
from tests.benchmarks.table import print_table
from tests.helpers.paths import ROOT

MIN_MET = 0.95
MAX_FLIPS_PER_SESSION = 0.05
OWN = ROOT / "tests/payloads" / "recordings"


@dataclass(frozen=True)
class Outcome:
    """The result of one recording."""

    agent: str
    scenario: str
    score: Score
    replay: Replay


def run(folder: Path) -> Outcome:
    """Play back and score one recording."""
    recording = Recording.read(folder)
    with tempfile.TemporaryDirectory() as temporary:
        if recording.agent == stored_sessions.AGENT:
            replay: Replay = StoredReplay(recording, Path(temporary))
        else:
            replay = Replay(recording, Path(temporary))
        replay.run()
        if isinstance(replay, StoredReplay):
            replay.close()
    scorer = Scorer(recording, replay.seen, replay.end)
    score = scorer.score(read_phases(folder / "expected.jsonl"))
    return Outcome(recording.agent, folder.name, score, replay)


def run_all(folder: Path) -> list[Outcome]:
    """Play back and score all recordings of a folder that have expectations."""
    paths = sorted(
        path.parent for path in folder.rglob("expected.jsonl") if has_reader(path.parent)
    )
    return [run(path) for path in paths if (path / "events.jsonl").exists()]


@dataclass
class Total:
    """Sums over the recordings of one agent; ``phases`` were judged, ``unjudged`` were not."""

    met: int = 0
    phases: int = 0
    unjudged: int = 0
    flips: int = 0
    sessions: int = 0

    def add(self, score: Score) -> None:
        """Add the score of one recording."""
        self.met += score.n_met
        self.phases += score.n_judged
        self.unjudged += len(score.results) - score.n_judged
        self.flips += len(score.flips)
        self.sessions += score.n_sessions

    @property
    def good(self) -> bool:
        """Whether the shares of met phases and flips are within the limits."""
        return (
            self.met >= MIN_MET * self.phases
            and self.flips <= MAX_FLIPS_PER_SESSION * self.sessions
        )


def totals(outcomes: list[Outcome]) -> dict[str, Total]:
    """Return agent → its sums, and those of all agents under "all"."""
    agents = sorted({outcome.agent for outcome in outcomes})
    sums = {name: Total() for name in (*agents, "all")}
    for outcome in outcomes:
        sums[outcome.agent].add(outcome.score)
        sums["all"].add(outcome.score)
    return sums


def _explain(outcome: Outcome, result: Result) -> None:
    """Print a miss with the decisions before and after it, their rules, and the evidence."""
    mark = "" if result.judged else " (not judged)"
    print(f"  {outcome.agent}/{outcome.scenario}: {result.phase}{mark}: {result.why}")
    at = result.at or result.since
    lines = [(now, _evidence(event)) for now, event in outcome.replay.fed]
    for seen in outcome.replay.seen:
        shown = seen.presence
        text = f"-> {shown.status} {shown.detail}: {shown.reason} (rule: {seen.rule})"
        lines.append((seen.at, text))
    lines.sort(key=lambda line: line[0])
    around = [line for line in lines if line[0] <= at][-3:] + [x for x in lines if x[0] > at][:3]
    for when, text in around:
        print(f"      {when:%H:%M:%S.%f}"[:-3], text)


def _evidence(event: Event) -> str:
    details = f"{event.tool_name or ''} {event.extra or ''}".strip()
    return f"{event.source}: {event.agent_id} {event.event_type} {details}".rstrip()


def _trace(outcome: Outcome) -> None:
    print(f"{outcome.agent}/{outcome.scenario}")
    lines: list[tuple[datetime, str]] = [
        (now, f"      {event.timestamp:%H:%M:%S.%f} {_evidence(event)}")
        for now, event in outcome.replay.fed
    ]
    for seen in outcome.replay.seen:
        shown = seen.presence
        text = f"   {seen.name} {'/'.join(states_of(seen))} {shown.detail}: {shown.reason}"
        lines.append((seen.at, text))
    for result in outcome.score.results:
        mark = ("MISS" if result.judged else "not judged") if result.why else "met"
        text = f" {mark} {result.phase} {result.wanted} {result.why}"
        lines.append((result.at or result.since, text))
    for seen in outcome.score.flips:
        lines.append((seen.at, f" FLIP {states_of(seen)[0]}: {seen.presence.reason}"))
    for at, text in sorted(lines, key=lambda line: line[0]):
        print(f"{at:%H:%M:%S.%f}"[:-3], text)


def main() -> int:
    """Play back and score the recordings of a folder; print the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--verbose", action="store_true", help="print all evidence and decisions")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="store the numbers in accuracy.json")
    args = parser.parse_args()
    folder = args.folder or Path(os.environ.get("HTMLGRAPH_RECORDINGS", OWN))
    if not folder.is_dir():
        parser.error(f"{folder}: no such folder")
    outcomes = run_all(folder)
    sums = totals(outcomes)
    if args.write:
        for name, total in sums.items():
            if name != "all":
                numbers = asdict(total)
                del numbers["unjudged"]
                write_accuracy(name, numbers)
    if args.json:
        print(json.dumps({agent: asdict(total) for agent, total in sums.items()}, indent=2))
    else:
        if args.verbose:
            for outcome in outcomes:
                _trace(outcome)
        _print(outcomes, sums)
    return 0 if outcomes and all(total.good for total in sums.values()) else 1


def _print(outcomes: list[Outcome], sums: dict[str, Total]) -> None:
    rows = []
    for outcome in outcomes:
        score = outcome.score
        n = len(score.results)
        counts = (score.n_met, score.n_judged, n - score.n_judged, len(score.flips))
        rows.append((f"{outcome.agent}/{outcome.scenario}", *counts))
    print_table(("recording", "met", "phases", "not judged", "false flips"), rows)
    print_table(
        ("agent", "met", "phases", "%", "not judged", "false flips", "sessions", "a session"),
        [
            (
                *(agent, total.met, total.phases, 100 * total.met / max(1, total.phases)),
                *(total.unjudged, total.flips, total.sessions),
                total.flips / max(1, total.sessions),
            )
            for agent, total in sums.items()
        ],
    )
    for outcome in outcomes:
        for result in outcome.score.results:
            if result.why:
                _explain(outcome, result)
        for seen in outcome.score.flips:
            print(f"  {outcome.agent}/{outcome.scenario}: flip: {describe(seen)}")


if __name__ == "__main__":
    sys.exit(main())
