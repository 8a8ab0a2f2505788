"""Two projects whose folders have the same name, wherever they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import htmlgraph_nb as hg
from htmlgraph_nb.client.agent_view import label_projects
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.history.load import load_agents
from htmlgraph_nb.history.transcripts import load_transcripts
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.reports.cost_report import load_cost_report
from htmlgraph_nb.reports.report_arguments import SessionSelection
from htmlgraph_nb.reports.session_report import facets_of, load_sessions, select_sessions
from tests.helpers.paths import ROOT

CASES = ROOT / "tests/payloads/cases"
START = datetime(2026, 11, 2, 9, tzinfo=UTC)
ACME, BETA = "/home/dev/acme/api", "/home/dev/beta/api"


def answer(agent: str, cwd: str | None, minute: int, tokens: int, **fields: Any) -> Event:
    """Return an answer of an agent in a folder."""
    return Event(
        agent_id=agent,
        event_type="completion",
        timestamp=START + timedelta(minutes=minute),
        session_id=f"s-{agent}",
        model="claude-opus-4-8",
        output_tokens=tokens,
        cwd=cwd,
        **{"project": "api", **fields},
    )


EVENTS = [
    answer("a", ACME, 0, 1),
    answer("a", f"{ACME}/src", 1, 2),
    answer("a", "/tmp", 2, 4),
    answer("b", BETA, 3, 8),
    answer("c", ACME.replace("dev", "maria"), 4, 16, host="build-2"),
    answer("d", "/home/dev/web", 5, 32, project="web"),
]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[str]:
    """A database with agents in both folders, elsewhere and in another project."""
    path = str(tmp_path / "h.db")
    with PresenceManager(path) as manager:
        manager.ingest(EVENTS)
        yield path


def tokens_of(df: pd.DataFrame) -> dict[str, int]:
    """Return the tokens of each project."""
    costs = hg.token_costs(df, by="project")
    return dict(zip(costs["project"].astype(str), costs["total"], strict=True))


def test_load_transcripts_tells_projects_apart() -> None:
    """Each has its own tokens; the frame itself keeps the name of the folder."""
    df = load_transcripts(CASES / "same_basename", progress=False)
    assert set(df["project"]) == {"api"}
    assert tokens_of(df) == {"acme/api": 110, "beta/api": 210}
    assert hg.summary(df)["projects"].item() == 2
    assert sorted(hg.sessions(df)["project"]) == ["acme/api", "beta/api"]


def test_token_costs_keep_an_agent_in_its_project(db: str) -> None:
    """While it works elsewhere; another account and host with the same path is the same project."""
    assert tokens_of(hg.load_history(db)) == {"acme/api": 23, "beta/api": 8, "web": 32}
    without = hg.load_history(db).drop(columns="cwd")
    assert tokens_of(without) == {"api": 31, "web": 32}


def test_token_costs_stay_short_until_the_second_project_appears(tmp_path: Path) -> None:
    """The stored rows never change, so the old ones are still found by their name."""
    path = str(tmp_path / "h.db")
    with PresenceManager(path) as manager:
        manager.ingest(EVENTS[:2])
        before = hg.load_history(path)
        assert tokens_of(before) == {"api": 3}
        manager.ingest(EVENTS[3:4])
        after = hg.load_history(path)
        pd.testing.assert_frame_equal(after.head(2), before, check_categorical=False)
        assert tokens_of(after) == {"acme/api": 3, "beta/api": 8}
        assert tokens_of(hg.load_history(path, projects="acme/api")) == {"api": 3}


@pytest.mark.parametrize(
    ("projects", "agents"),
    [
        ("api", "abc"),
        ("acme/api", "ac"),
        (["beta/api", "web"], "bd"),
        ("~/acme/api", "ac"),
        ("other/api", ""),
        ("me/api", ""),
    ],
)
def test_load_history_selects_by_name_and_folders(
    db: str, tmp_path: Path, projects: Any, agents: str
) -> None:
    """From a database and from exports, whatever columns are wanted."""
    frame = hg.load_history(db, projects=projects)
    assert "".join(sorted(set(frame["agent_id"]))) == agents
    assert list(hg.load_history(db, projects=projects, columns=["seq"]).columns) == ["seq"]
    assert len(hg.load_history(db, projects=projects, limit=1)) == min(len(frame), 1)
    chunks = list(hg.iter_history(db, projects=projects, chunk_rows=2))
    assert sum(map(len, chunks)) == len(frame)
    target = tmp_path / "part.parquet"
    hg.export_history(target, db, projects=projects)
    if len(frame):
        pd.testing.assert_frame_equal(
            hg.load_history(target), frame, check_categorical=False, check_column_type=False
        )
    whole = tmp_path / "whole.parquet"
    hg.export_history(whole, db)
    assert set(hg.load_history(whole, projects=projects)["seq"]) == set(frame["seq"])


def test_reports_tell_projects_apart(db: str) -> None:
    """The pages Costs and Sessions; links with the short name still select both."""
    report = load_cost_report(db, None, None, ("project",), None, "UTC")
    assert set(report.groups["project"]) == {"acme/api", "beta/api", "web"}
    table = load_sessions(db, None, None, "UTC")
    assert facets_of(table)["project"] == {"acme/api": 2, "beta/api": 1, "web": 1}
    for wanted, agents in (("api", "abc"), ("acme/api", "ac"), ("beta/api", "b"), ("web", "d")):
        selection = SessionSelection(filters={"project": (wanted,)})
        assert "".join(sorted(select_sessions(table, selection)["agent_id"])) == agents


def test_label_projects_in_lists_of_agents(db: str) -> None:
    """As the command line and %agents show them."""
    shown = {agent.agent_id: agent.project for agent in label_projects(load_agents(db))}
    assert shown == {"a": "api", "b": "beta/api", "c": "acme/api", "d": "web"}
    assert [agent.project for agent in label_projects(load_agents(db)[:1])] == ["api"]
