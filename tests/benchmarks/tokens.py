"""Token totals of recorded sessions against the totals that were recorded with them.

    python -m tests.benchmarks.tokens FOLDER

FOLDER holds, at any depth, folders with a ``transcript.jsonl`` and a ``tokens.json``, the totals
of another program: ``input_tokens``, ``output_tokens``, ``cache_read_tokens``,
``cache_creation_tokens``; one that is 0 may be missing. Codex's input includes the cache there, and
Gemini CLI's output is without its thoughts. Where a file holds several sessions, the totals may be
those of the last.

It exits with status 1 where a total differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from htmlgraph_nb.history.transcripts import load_transcripts
from tests.benchmarks.table import print_table

KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")


def totals(frame: pd.DataFrame) -> dict[str, int]:
    """Return the four totals of a frame as the recordings count them."""
    answers = frame[frame["event_type"] == "completion"]
    sums = {name: int(answers[name].sum()) for name in answers.columns if name.endswith("_tokens")}
    read = sums["cache_read_tokens"]
    written = sums["cache_write_5m_tokens"] + sums["cache_write_1h_tokens"]
    source = str(frame["source"].iloc[0]) if len(frame) else ""
    found = {
        "input_tokens": sums["input_tokens"],
        "output_tokens": sums["output_tokens"],
        "cache_read_tokens": read,
        "cache_creation_tokens": written,
    }
    if source == "codex-session":
        found["input_tokens"] += read + written
    if source == "gemini-session":
        told = answers["extra"].dropna().map(json.loads)
        found["output_tokens"] -= sum(one.get("reasoning_tokens", 0) for one in told)
        found["input_tokens"] -= sum(one.get("tool_tokens", 0) for one in told)
    return found


def compare(folder: Path) -> tuple[str, str, dict[str, int], dict[str, int]]:
    """Return name, result, our totals and the recorded ones of one recording."""
    recorded = json.loads((folder / "tokens.json").read_text())
    expected = {name: int(recorded.get(name, 0)) for name in KINDS}
    frame = load_transcripts(folder / "transcript.jsonl", progress=False)
    ours = totals(frame)
    name = f"{folder.parent.name}/{folder.name}"

    def agree(found: dict[str, int]) -> bool:
        # Some recordings leave the cache out.
        return all(found[kind] == expected[kind] for kind in KINDS if kind in recorded) and all(
            found[kind] == 0 for kind in KINDS[:2] if kind not in recorded
        )

    if agree(ours):
        return name, "equal", ours, expected
    answers = frame[frame["event_type"] == "completion"]
    if frame["session_id"].nunique() > 1:
        last = answers["session_id"].iloc[-1]
        of_last = totals(frame[frame["session_id"] == last])
        if agree(of_last):
            return name, "equal, last session", of_last, expected
    return name, "DIFFERENT", ours, expected


def main() -> int:
    """Compare all recordings of a folder and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    results = [compare(path.parent) for path in sorted(folder.rglob("tokens.json"))]
    heads = ("recording", "result", *(f"{kind}: ours / recorded" for kind in KINDS))
    print_table(
        heads,
        [
            (name, result, *(f"{ours[kind]:,} / {expected[kind]:,}" for kind in KINDS))
            for name, result, ours, expected in results
        ],
    )
    n_equal = sum(result != "DIFFERENT" for _, result, _, _ in results)
    print(f"{n_equal} of {len(results)} equal")
    return 0 if results and n_equal == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
