"""Tokens by day and agent of ``htmlgraph-nb costs``, compared with those of ccusage.

    npm install ccusage          # in a folder of its own
    python -m tests.benchmarks.ccusage FOLDER… --ccusage PATH/node_modules/.bin/ccusage

A folder has recordings (AGENT/NAME/transcript.jsonl, with the totals of a third program in
tokens.json), or session files of Claude Code. They are copied to where the agents keep them, below
a temporary home. Both programs read them there, offline, without a server.

Prints what differs, ours minus theirs, with the reason if it is known, and exits with status 1 if
one is not. Known reasons:

* ccusage counts the history of a forked Codex session again, if both are in one file. tokens.json
  decides.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.table import print_table
from tests.benchmarks.tokens import compare
from tests.helpers.ccusage import (
    AGENT_FOLDERS,
    KINDS,
    Day,
    agent_home,
    ccusage_days,
    differences,
    our_days,
)
from tests.helpers.environ import clean_environ


def fill_home(home: Path, folders: list[Path]) -> dict[Path, Path]:
    """Copy all sessions below the home; return recording → copy for those with tokens.json."""
    recordings = {}
    for folder in folders:
        found = sorted(folder.rglob("transcript.jsonl"))
        for path in found:
            agent = AGENT_FOLDERS.get(path.parent.parent.name)
            if agent is not None:
                copy = agent_home(home, agent, path.parent.name, path)
                if (path.parent / "tokens.json").exists():
                    recordings[path.parent] = copy
        if not found:
            for path in sorted(folder.glob("*.jsonl")):
                agent_home(home, "claude", folder.name, path)
    return recordings


def run_json(command: list[str], home: Path) -> Any:
    """Run a program with this home and return the JSON that it prints."""
    done = subprocess.run(
        command, env=clean_environ(home), capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr}")
    return json.loads(done.stdout)


def ours_of(home: Path, *arguments: str) -> dict[Day, dict[str, int]]:
    """Return the days of ``htmlgraph-nb costs`` with these arguments."""
    command = [sys.executable, "-m", "htmlgraph_server.cli", "costs", "--files", *arguments]
    return our_days(run_json([*command, "--daily", "--by", "kind", "--json", "--tz", "UTC"], home))


def theirs_of(home: Path, program: str) -> dict[Day, dict[str, int]]:
    """Return the days of ccusage."""
    flags = ["--json", "--offline", "--by-agent", "--timezone", "UTC"]
    return ccusage_days(run_json([program, "daily", *flags], home))


def reasons(recordings: dict[Path, Path], program: str) -> dict[Day, list[str]]:
    """Return why days differ: recordings of which tokens.json says that our count is right."""
    found: dict[Day, list[str]] = {}
    for folder, copy in recordings.items():
        if folder.parent.name != "codex":
            continue
        with tempfile.TemporaryDirectory() as name:
            home = Path(name)
            agent_home(home, "codex", "single", copy)
            differing = differences(ours_of(home), theirs_of(home, program))
        for day in differing:
            _, result, _, _ = compare(folder)
            verdict = "agrees with ours" if result.startswith("equal") else "differs from both"
            found.setdefault(day, []).append(f"{folder.name}: tokens.json {verdict}")
    return found


def main() -> int:
    """Compare the folders and print the differences."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--ccusage", default="ccusage", help="path of the program")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        recordings = fill_home(home, arguments.folders)
        ours, theirs = ours_of(home), theirs_of(home, arguments.ccusage)
        found = differences(ours, theirs)
        why = reasons(recordings, arguments.ccusage) if found else {}
    total = {kind: sum(counts[kind] for counts in ours.values()) for kind in KINDS}
    print_table(
        ("day", "agent", *KINDS, "reason"),
        [
            (*day, *(f"{counts[kind]:+,}" for kind in KINDS), "; ".join(why.get(day, ["unknown"])))
            for day, counts in found.items()
        ]
        or [("all", "all", *(f"{total[kind]:,}" for kind in KINDS), "equal")],
    )
    print(f"{len({*ours, *theirs}) - len(found)} of {len({*ours, *theirs})} days and agents equal")
    explained = all(
        day in why and all("agrees with ours" in text for text in why[day]) for day in found
    )
    return 0 if explained else 1


if __name__ == "__main__":
    sys.exit(main())
