"""How right the shown status is, on recorded sessions with a person's expectations.

    python -m tests.benchmarks.truth FOLDER [--verbose] [--json]

FOLDER holds, at any depth, ``<agent>/<scenario>/`` with ``transcript.jsonl``, ``events.jsonl`` and
``expected.jsonl``; without one, HTMLGRAPH_RECORDINGS names it, else the few recordings in
tests/payloads are taken. Each is replayed at its recorded times on a simulated clock through the
real connectors, the real tail of session files and the real Roster with its timers; see
recordings.py for what is fed and phases.py for how it is judged.

It prints how many phases came out as expected by agent and scenario, each miss with the verdict that
stood and its reason, and how often a session was shown in a state that nobody expected. It exits
with status 1 where less than 95 % of the phases of an agent came out as expected, or where there
were more than 0.05 such flips a session.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .phases import Result, Score, Scorer, read_phases, states_of
from .recordings import Recording, Replay
from .table import print_table

WANTED = 0.95
MAX_FLIPS = 0.05
OWN = Path(__file__).parent.parent / "payloads" / "recordings"


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
    start = recording.events[0]["at"]
    score = Scorer(replay.seen, start, replay.end).score(read_phases(folder / "expected.jsonl"))
    return Outcome(recording.agent, folder.name, score, replay)


def run_all(folder: Path) -> list[Outcome]:
    """Replay and score all recordings of a folder that have expectations."""
    found = sorted(path.parent for path in folder.rglob("expected.jsonl"))
    return [run(path) for path in found if (path / "events.jsonl").exists()]


def totals(outcomes: list[Outcome]) -> dict[str, tuple[int, int, int, int]]:
    """Return agent → phases met, phases, flips, sessions; "all" for all of them."""
    found: dict[str, tuple[int, int, int, int]] = {}
    for one in outcomes:
        score = one.score
        counts = (score.n_met, len(score.results), len(score.flips), score.n_sessions)
        for name in (one.agent, "all"):
            known = found.get(name, (0, 0, 0, 0))
            found[name] = tuple(a + b for a, b in zip(known, counts, strict=True))  # type: ignore[assignment]
    return {name: found[name] for name in sorted(found, key=lambda name: (name == "all", name))}


def _explain(one: Outcome, result: Result) -> None:
    print(f"  {one.agent}/{one.scenario}: {result.phase}: {result.why}")
    at = result.at or result.anchor
    before = [seen for seen in one.replay.seen if seen.at <= at][-1:]
    after = [seen for seen in one.replay.seen if seen.at > at][:2]
    for seen in (*before, *after):
        shown = seen.presence
        print(f"      {seen.at:%H:%M:%S.%f} {shown.status} {shown.detail}: {shown.reason}")


def _trace(one: Outcome) -> None:
    print(f"{one.agent}/{one.scenario}")
    lines: list[tuple[datetime, str]] = [
        (now, f"      {e.timestamp:%H:%M:%S.%f} {e.source} {e.agent_id} {e.event_type} {e.tool_name or ''} {e.extra or ''}")
        for now, e in one.replay.fed
    ]
    for seen in one.replay.seen:
        shown = seen.presence
        text = f"   {seen.name} {'/'.join(states_of(seen))} {shown.detail}: {shown.reason}"
        lines.append((seen.at, text))
    for result in one.score.results:
        text = f" {'MISS' if result.why else 'ok'} {result.phase} {result.wanted} {result.why}"
        lines.append((result.at or result.anchor, text))
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
        names = ("met", "phases", "flips", "sessions")
        print(json.dumps({agent: dict(zip(names, counts, strict=True)) for agent, counts in found.items()}))
    else:
        if args.verbose:
            for one in outcomes:
                _trace(one)
        _print(outcomes, found)
    good = all(met >= WANTED * n for met, n, _, _ in found.values())
    return 0 if outcomes and good and found["all"][2] <= MAX_FLIPS * found["all"][3] else 1


def _print(outcomes: list[Outcome], found: dict[str, tuple[int, int, int, int]]) -> None:
    rows = [
        (f"{one.agent}/{one.scenario}", one.score.n_met, len(one.score.results), len(one.score.flips))
        for one in outcomes
    ]
    print_table(("recording", "met", "phases", "false flips"), rows)
    print_table(
        ("agent", "met", "phases", "%", "false flips", "sessions", "a session"),
        [
            (agent, met, n, 100 * met / n, flips, sessions, flips / sessions if sessions else 0.0)
            for agent, (met, n, flips, sessions) in found.items()
        ],
    )
    for one in outcomes:
        for result in one.score.results:
            if result.why:
                _explain(one, result)
        for seen in one.score.flips:
            print(f"  {one.agent}/{one.scenario}: {states_of(seen)[0]} at {seen.at:%H:%M:%S.%f}: {seen.presence.reason}")


if __name__ == "__main__":
    sys.exit(main())
