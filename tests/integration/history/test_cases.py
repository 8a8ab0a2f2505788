"""Load small session files whose copies, ids or bytes are difficult."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from htmlgraph_nb import load_history, load_transcripts, token_costs
from htmlgraph_nb.ingest.session_files import find_sessions
from htmlgraph_server.cli.parser import main
from tests.helpers.paths import ROOT

CASES = ROOT / "tests/payloads" / "cases"
EXPECTED: dict[str, dict[str, Any]] = json.loads((CASES / "expected.json").read_text())
ZONE = "America/Los_Angeles"
"""Of the days; its clocks change in March and November."""
GROUPS: dict[str, dict[str, Any]] = {
    "by model": {"by": "model"},
    "by project": {"by": "project"},
    "by day": {"by": (), "freq": "D", "tz": ZONE},
}


def counts_of(frame: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Return the counts of these names of a frame, and tokens and dollars of its groups."""
    kinds = frame["event_type"].value_counts().to_dict()
    costs = token_costs(frame, by=()).iloc[0].to_dict() if "completion" in kinds else {}
    known = {**kinds, **costs, "broken_lines": frame.attrs.get("broken_lines")}
    for name in GROUPS.keys() & set(names):
        table = token_costs(frame, **GROUPS[name])
        keys = table.iloc[:, 0].astype(str).str.removesuffix(" 00:00:00-08:00")
        keys = keys.str.removesuffix(" 00:00:00-07:00")
        pairs = zip(table["total"].tolist(), table["usd"].round(6).tolist(), strict=True)
        known[name] = dict(
            zip(keys if name == "by day" else table.iloc[:, 0], map(list, pairs), strict=True)
        )
    return {name: known[name] if name in GROUPS else round(known[name], 6) for name in names}


@pytest.mark.parametrize("name", EXPECTED)
def test_load_transcripts_counts_each_case(name: str) -> None:
    """All counts are right."""
    expected = EXPECTED[name]
    frame = load_transcripts(CASES / name, progress=False)
    assert counts_of(frame, list(expected)) == expected


@pytest.mark.parametrize("name", EXPECTED)
def test_import_counts_each_case(name: str, tmp_path: Path) -> None:
    """The database has the same, also after a second import."""
    folder = tmp_path / name
    shutil.copytree(CASES / name, folder)
    expected = {key: value for key, value in EXPECTED[name].items() if key != "broken_lines"}
    check_import(folder, expected, str(tmp_path / "h.db"))


@pytest.mark.parametrize("forks", [0, 2])
def test_cases_count_answers_of_sessions_that_repeat_an_issued_id(
    forks: int, tmp_path: Path
) -> None:
    """A relay can give all answers an id as Anthropic's API issues it; forks are copies."""
    folder = tmp_path / "gateway"
    shutil.copytree(CASES / "gateway_same_message_id", folder)
    for number, path in enumerate(sorted(folder.rglob("*.jsonl"))):
        text = path.read_text().replace('"ocgo"', '"msg_013Zva2CMHLNnXjNJJKqJ2EF"')
        path.write_text(text)
        for fork in range(forks):
            session = f"{number}{fork}000000-0000-4000-8000-000000000000"
            path.with_stem(session).write_text(text.replace(path.stem, session))
    expected = EXPECTED["gateway_same_message_id"]
    names = [*expected.keys() & {"input", "output", "total", "answers"}]
    expected = {name: expected[name] for name in names}
    assert counts_of(load_transcripts(folder, progress=False), names) == expected
    check_import(folder, expected, str(tmp_path / "h.db"))


def check_import(folder: Path, expected: dict[str, Any], db: str) -> None:
    """Import a folder twice; each time the database has these counts."""
    for path in folder.rglob("*.*"):
        # The end of a file that was just written is not imported yet.
        os.utime(path, (0, 0))
    agents = {file.agent for file in find_sessions(folder)[0]}
    for _ in range(2):
        for agent in agents:
            assert main(["import", agent, str(folder), "--db", db]) == 0
        assert counts_of(load_history(db), list(expected)) == expected


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files must be UTF-8 on macOS")
def test_load_transcripts_reads_odd_file_names(tmp_path: Path) -> None:
    """The names of folders need not be UTF-8."""
    folder = os.path.join(os.fsencode(tmp_path), b"-home-\xff\xfe")
    shutil.copytree(os.fsencode(CASES / "odd_crlf_bom"), folder)
    frame = load_transcripts(tmp_path, progress=False)
    assert counts_of(frame, ["answers"]) == {"answers": 2}
