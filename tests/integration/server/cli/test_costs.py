"""``htmlgraph-nb costs`` as a user runs it: on session files, databases and servers."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_server.cli.costs.cost_lines import cost_lines
from tests.helpers.ccusage import agent_home, ccusage_days, differences, our_days
from tests.helpers.session_lines import PAYLOADS
from tests.integration.conftest import Serve
from tests.integration.server.cli.test_cli import TOKEN, error_line, run

RECORDED = json.loads((PAYLOADS / "ccusage-daily.json").read_text())
LAST_WRITTEN = datetime(2026, 7, 1, tzinfo=UTC).timestamp()
ZONES = [name for name in RECORDED if name != "ccusage"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the recorded sessions of three agents, and no database."""
    folder = tmp_path_factory.mktemp("home")
    for agent in ("claude", "codex", "gemini"):
        for path in sorted((PAYLOADS / agent).rglob("*.jsonl")):
            if "subagents" not in path.parts:
                agent_home(folder, agent, path.stem, path)
    for path in folder.rglob("*.jsonl"):
        # The last answer of a file that still grows is not imported yet, also of a subagent's.
        os.utime(path, (LAST_WRITTEN, LAST_WRITTEN))
    return folder


def costs(folder: Path, *arguments: str) -> Any:
    """Return the JSON that the command prints."""
    done = run(folder, "costs", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("zone", ZONES)
def test_costs_equal_those_of_ccusage(home: Path, zone: str) -> None:
    """To the token, for each day and agent, in several time zones, without a server."""
    ours = our_days(costs(home, "--files", "--daily", "--by", "kind", "--tz", zone))
    assert differences(ours, ccusage_days(RECORDED[zone])) == {}
    assert len(ours) == 12


def test_costs_without_a_database_read_session_files(home: Path) -> None:
    """The table has a row per day, the sum, the zone, the prices and what has no price."""
    done = run(home, "costs", environ={"TZ": "Europe/Paris"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == "DAY INPUT OUTPUT CACHE WRITE CACHE READ TOTAL COST".split()
    total = costs(home, "--files")["total"]
    row = next(line for line in lines if line.startswith("all ")).split()
    assert row[5] == f"{total['total']:,}"
    assert row[6].startswith(f"${total['usd']:,.2f}")
    assert "source: 16 session files of " in done.stdout
    assert f"{home}/.claude/projects, {home}/.codex/sessions, {home}/.gemini/tmp" in done.stdout
    assert "times in Europe/Paris; list prices: genai-prices " in done.stdout


def test_costs_of_the_database_equal_those_of_the_files(home: Path, tmp_path: Path) -> None:
    """After an import, by any key."""
    db = tmp_path / "history.db"
    assert run(home, "import", "--db", str(db)).returncode == 0
    for by in ("model", "project,kind", "agent"):
        from_files = costs(home, "--files", "--by", by)
        from_db = costs(home, "--from", str(db), "--by", by)
        for row in (*from_db["groups"], *from_files["groups"]):
            # The order of a sum of floats differs.
            row["usd"] = round(row["usd"], 9)
        assert from_db["groups"] == from_files["groups"], by
        assert from_db["source"] == str(db)
        assert from_db["session_files"] is None


@pytest.mark.parametrize(
    ("arguments", "starts"),
    [
        (("--weekly",), {"2026-02-23", "2026-03-02"}),
        (("--weekly", "--week-start", "sunday"), {"2026-03-01"}),
        (("--monthly",), {"2026-02-01", "2026-03-01"}),
        (("--yearly",), {"2026-01-01"}),
        (("--hourly",), {"2026-03-01T00:00"}),
        (("--since", "2026-03-01"), {"2026-03-01"}),
        (("--until", "2026-03-01"), {"2026-02-28"}),
        (("--since", "2026-03-02T10:00", "--daily"), {"2026-03-02"}),
    ],
)
def test_costs_by_period(tmp_path: Path, arguments: tuple[str, ...], starts: set[str]) -> None:
    """Weeks begin on the day that is asked for; dates without a zone are in that of --tz."""
    write_claude(tmp_path, ["2026-02-28T23:30:00Z", "2026-03-01T00:30:00Z", "2026-03-02T12:00:00Z"])
    rows = costs(tmp_path, "--tz", "UTC", *arguments)["rows"]
    size = 16 if "--hourly" in arguments else 10
    assert starts <= {row["timestamp"][:size] for row in rows}
    assert sum(row["answers"] for row in rows) == {"--since": 2, "--until": 1}.get(
        arguments[0], 3
    ) - (arguments[-1] == "--daily")


def test_costs_until_and_since_are_in_the_zone(tmp_path: Path) -> None:
    """A date begins at midnight of the zone in which the days are shown."""
    write_claude(tmp_path, ["2026-02-28T23:30:00Z"])
    assert costs(tmp_path, "--tz", "UTC", "--since", "2026-03-01")["total"] is None
    paris = costs(tmp_path, "--tz", "Europe/Paris", "--since", "2026-03-01")
    assert [row["timestamp"] for row in paris["rows"]] == ["2026-03-01T00:00:00+01:00"]
    assert paris["since"] == "2026-02-28T23:00:00.000000Z"


def test_costs_name_what_has_no_price(tmp_path: Path) -> None:
    """Such tokens are not free, and the sum shows that something is missing."""
    write_claude(tmp_path, ["2026-03-01T00:30:00Z"])
    write_claude(tmp_path, ["2026-03-01T00:31:00Z"], model="my-model", session="s2")
    done = run(tmp_path, "costs", "--by", "model", "--tz", "UTC")
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert rows["my-model"].endswith("  ?")
    assert rows["all"].endswith("$0.00 + ?")
    assert "? without a known price, not in COST: my-model (15 tokens)" in done.stdout


def test_costs_fit_a_terminal_with_numbers_in_short(tmp_path: Path) -> None:
    """Without a terminal nothing is cut."""
    write_claude(tmp_path, ["2026-03-01T00:30:00Z"], tokens=1_234_567_890)
    report = costs(tmp_path, "--by", "project", "--daily")
    assert "1,234,567,890" in cost_lines(report, "daily")[1]
    lines = cost_lines(report, "daily", 79)
    assert "1.23G" in lines[1]
    assert max(map(len, lines[:4])) <= 79


def test_cost_lines_in_colour_use_the_whole_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal shows no cell for the codes of a colour: full numbers that fit stay."""
    write_claude(tmp_path, ["2026-03-01T00:30:00Z"], tokens=1_234_567_890)
    report = costs(tmp_path, "--daily")
    width = max(map(len, cost_lines(report, "daily")[:4]))
    monkeypatch.setattr("htmlgraph_server.cli.text_table.has_colour", lambda *_: True)
    assert "1,234,567,890" in cost_lines(report, "daily", width)[1]
    assert "1.23G" in cost_lines(report, "daily", width - 1)[1]


def test_costs_sessions(home: Path) -> None:
    """A row per session with its subagents, the newest first."""
    report = costs(home, "--sessions", "--tz", "UTC")
    starts = [row["start"] for row in report["sessions"]]
    assert starts == sorted(starts, reverse=True)
    assert sum(row["tokens"] for row in report["sessions"]) == report["total"]["total"]
    done = run(home, "costs", "--sessions")
    assert f"{len(starts)} sessions" in done.stdout


def test_costs_blocks(tmp_path: Path) -> None:
    """A row per window with answers; one that is open has a forecast."""
    now = datetime.now(UTC)
    ages = (timedelta(days=3), timedelta(minutes=90), timedelta(minutes=80))
    write_claude(tmp_path, [(now - age).isoformat() for age in ages], tokens=1_000_000)
    report = costs(tmp_path, "--blocks")
    assert [row["answers"] for row in report["blocks"]] == [1, 2]
    assert [row["open"] for row in report["blocks"]] == [False, True]
    done = run(tmp_path, "costs", "--blocks", "--tz", "UTC")
    lines = done.stdout.splitlines()
    assert lines[0].split()[-1] == "FORECAST"
    assert f"{(now - ages[0]):%Y-%m-%d}" in lines[1]
    assert lines[2].count("$") == 3
    assert len(costs(tmp_path, "--blocks", "30min")["blocks"]) == 2
    assert "length" in error_line(run(tmp_path, "costs", "--blocks", "soon"))


def test_costs_of_a_server(serve: Serve, tmp_path: Path) -> None:
    """By its address and token, from elsewhere; titles of agents are only text."""
    server = serve("--token", TOKEN)
    server.send(
        "claude-1",
        event_type="completion",
        project="\x1b[2Jshop",
        model="claude-haiku-4-5",
        input_tokens=7,
        output_tokens=3,
    )
    arguments = ("costs", "--from", server.url, "--token", TOKEN, "--by", "project")
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert "\ufffd[2Jshop" in done.stdout
    assert "\x1b" not in done.stdout
    local = costs(server.home)
    assert local["total"]["total"] == 10
    assert local["source"] == str(server.db)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--by", "colour"), "expected 1 to 3 of agent, session, feature"),
        (("--by", "model,project,branch,user"), "expected 1 to 3 of"),
        (("--tz", "Europe/Pariss"), "did you mean 'Europe/Paris'"),
        (("--since", "soon"), "--since: expected an ISO time"),
        (("--daily", "--weekly"), "not allowed with argument --daily"),
        (("--sessions", "--by", "model"), "--by: not with --sessions"),
        (("--from", "missing.db"), "missing.db"),
        (("--files", "missing"), "'missing' does not exist"),
    ],
)
def test_costs_report_bad_arguments(home: Path, arguments: tuple[str, ...], expected: str) -> None:
    """In one line that says what was expected."""
    assert expected in error_line(run(home, "costs", *arguments))


def test_costs_without_any_session(tmp_path: Path) -> None:
    """No files is an error that names the folders; no tokens in a range is not."""
    assert ".claude/projects" in error_line(run(tmp_path, "costs"))
    write_claude(tmp_path, ["2026-03-01T00:30:00Z"])
    done = run(tmp_path, "costs", "--since", "2026-04-01")
    assert done.returncode == 0
    assert "no tokens were reported in this range of time" in done.stdout


def write_claude(
    home: Path,
    times: list[str],
    model: str = "claude-haiku-4-5",
    session: str = "s1",
    tokens: int = 10,
) -> None:
    """Write a session of Claude Code with an answer at each time."""
    lines = []
    for number, at in enumerate(times):
        stamp = datetime.fromisoformat(at).astimezone(UTC)
        prompt = {
            "type": "user",
            "uuid": f"{session}-p{number}",
            "timestamp": (stamp - timedelta(seconds=1)).isoformat(),
            "message": {"content": "go"},
        }
        answer = {
            "type": "assistant",
            "uuid": f"{session}-a{number}",
            "timestamp": stamp.isoformat(),
            "requestId": f"req-{session}-{number}",
            "message": {
                "id": f"msg-{session}-{number}",
                "model": model,
                "content": [],
                "usage": {"input_tokens": tokens, "output_tokens": 5},
            },
        }
        shared = {"sessionId": session, "cwd": "/home/user/shop"}
        lines += [json.dumps({**shared, **record}) for record in (prompt, answer)]
    path = home / ".claude" / "projects" / "-home-user-shop" / f"{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
