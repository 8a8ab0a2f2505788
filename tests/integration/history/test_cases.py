"""Load small session files whose copies, ids or bytes are difficult."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb import load_transcripts, token_costs
from tests.helpers.paths import ROOT

CASES = ROOT / "tests/payloads" / "cases"
EXPECTED: dict[str, dict[str, float]] = json.loads((CASES / "expected.json").read_text())


def counts_of(path: Path, names: list[str]) -> dict[str, Any]:
    """Return the counts of these names in the session files of a folder."""
    frame = load_transcripts(path, progress=False)
    kinds = frame["event_type"].value_counts().to_dict()
    costs = token_costs(frame, by=()).iloc[0].to_dict() if "completion" in kinds else {}
    known = {**kinds, **costs, "broken_lines": frame.attrs["broken_lines"]}
    return {name: round(known[name], 6) for name in names}


@pytest.mark.parametrize("name", EXPECTED)
def test_load_transcripts_counts_each_case(name: str) -> None:
    """All counts are right."""
    expected = EXPECTED[name]
    assert counts_of(CASES / name, list(expected)) == expected


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files must be UTF-8 on macOS")
def test_load_transcripts_reads_odd_file_names(tmp_path: Path) -> None:
    """The names of folders need not be UTF-8."""
    folder = os.path.join(os.fsencode(tmp_path), b"-home-\xff\xfe")
    shutil.copytree(os.fsencode(CASES / "odd_crlf_bom"), folder)
    assert counts_of(tmp_path, ["answers"]) == {"answers": 2}
