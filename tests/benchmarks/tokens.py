"""Token totals of recorded sessions, compared with the totals that were recorded with them.

    python -m tests.benchmarks.tokens FOLDER [--write]

FOLDER contains, at any depth, folders with a ``transcript.jsonl`` and a ``tokens.json`` with the
totals of another program: ``input_tokens``, ``output_tokens``, ``cache_read_tokens`` and
``cache_creation_tokens``; a total of 0 may be missing. In them, the input of Codex and Copilot CLI
includes the cache, the output of Gemini CLI and OpenCode excludes its thoughts, the totals of
Copilot CLI exclude compactions, and those of OpenCode the requests that ran tools. If a file has
several sessions, the totals may be those of the last.

Prints both totals of each recording, and how many are equal by agent, which ``--write`` stores in
htmlgraph_nb/agent_check/accuracy.json. Exits with status 1 if one differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd

from htmlgraph_nb.history.transcripts import load_transcripts
from tests.benchmarks import stored_sessions
from tests.benchmarks.accuracy_file import has_reader, write_accuracy
from tests.benchmarks.table import print_table

KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")


def totals(frame: pd.DataFrame) -> dict[str, int]:
    """Return the four totals of a frame, counted as in the recordings."""
    completions = frame[frame["event_type"] == "completion"]
    source = str(frame["source"].iloc[0]) if len(frame) else ""
    if source == "copilot-session":
        completions = completions[~completions["extra"].fillna("").str.contains("compaction")]
    sums = {name: int(completions[name].sum()) for name in completions if name.endswith("_tokens")}
    read = sums["cache_read_tokens"]
    written = sums["cache_write_5m_tokens"] + sums["cache_write_1h_tokens"]
    counts = {
        "input_tokens": sums["input_tokens"],
        "output_tokens": sums["output_tokens"],
        "cache_read_tokens": read,
        "cache_creation_tokens": written,
    }
    if source in ("codex-session", "copilot-session"):
        counts["input_tokens"] += read + written
    if source == "opencode-session":
        extras = completions["extra"].dropna().map(json.loads)
        counts["output_tokens"] -= sum(extra.get("reasoning_tokens", 0) for extra in extras)
    if source == "gemini-session":
        extras = completions["extra"].dropna().map(json.loads)
        counts["output_tokens"] -= sum(extra.get("reasoning_tokens", 0) for extra in extras)
        counts["input_tokens"] -= sum(extra.get("tool_tokens", 0) for extra in extras)
    return counts


def compare(folder: Path) -> tuple[str, str, dict[str, int], dict[str, int]]:
    """Return name, result, our totals and the recorded ones of one recording."""
    recorded = json.loads((folder / "tokens.json").read_text())
    expected = {name: int(recorded.get(name, 0)) for name in KINDS}
    transcript = folder / "transcript.jsonl"
    if folder.parent.name == stored_sessions.AGENT:
        with tempfile.TemporaryDirectory() as temporary:
            path = stored_sessions.write_database(transcript, Path(temporary) / "opencode.db")
            frame = load_transcripts(path, progress=False)
        ours = totals(frame)
        left_out = stored_sessions.left_out_tokens(transcript)
        ours = {name: n - left_out[name] for name, n in ours.items()}
    else:
        frame = load_transcripts(transcript, progress=False)
        ours = totals(frame)
    name = f"{folder.parent.name}/{folder.name}"

    def agree(counts: dict[str, int]) -> bool:
        # Some recordings omit the cache.
        return all(counts[kind] == expected[kind] for kind in KINDS if kind in recorded) and all(
            counts[kind] == 0 for kind in KINDS[:2] if kind not in recorded
        )

    if agree(ours):
        return name, "equal", ours, expected
    completions = frame[frame["event_type"] == "completion"]
    if frame["session_id"].nunique() > 1:
        last = completions["session_id"].iloc[-1]
        last_totals = totals(frame[frame["session_id"] == last])
        if agree(last_totals):
            return name, "equal, last session", last_totals, expected
    return name, "DIFFERENT", ours, expected


def _is_recorded(folder: Path) -> bool:
    return folder.parent.name != stored_sessions.AGENT or (folder / "events.jsonl").exists()


def main() -> int:
    """Compare all recordings of a folder and print the totals."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="store the numbers in accuracy.json")
    options = parser.parse_args()
    folder = options.folder
    paths = [path.parent for path in sorted(folder.rglob("tokens.json"))]
    # Without events, it is no recording.
    results = [compare(path) for path in paths if has_reader(path) and _is_recorded(path)]
    heads = ("recording", "result", *(f"{kind}: ours / recorded" for kind in KINDS))
    print_table(
        heads,
        [
            (name, result, *(f"{ours[kind]:,} / {expected[kind]:,}" for kind in KINDS))
            for name, result, ours, expected in results
        ],
    )
    agents: dict[str, Counter[str]] = {}
    for name, result, _, expected in results:
        if not any(expected.values()):
            # Nothing was recorded, so it shows nothing about the reader.
            continue
        counts = agents.setdefault(name.partition("/")[0], Counter())
        counts["totals"] += 1
        counts["equal"] += result != "DIFFERENT"
    rows = [(agent, n["equal"], n["totals"]) for agent, n in agents.items()]
    print_table(("agent", "equal", "recordings"), rows)
    if options.write:
        for agent, n in agents.items():
            write_accuracy(agent, {"totals": n["totals"], "equal": n["equal"]})
    n_equal = sum(result != "DIFFERENT" for _, result, _, _ in results)
    print(f"{n_equal} of {len(results)} equal")
    return 0 if results and n_equal == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
