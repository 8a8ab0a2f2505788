"""``htmlgraph-nb token``: real processes on a real database, with and without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.access import answer
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve
from tests.integration.server.cli.test_cli import error_line, run


def test_token_command_without_a_server(tmp_path: Path) -> None:
    """The token is printed once and alone, and never again."""
    added = run(tmp_path, "token", "add", "--may", "write", "--label", "ci", "--expires", "30d")
    assert added.returncode == 0
    token = added.stdout.strip()
    assert token.startswith("hgnb_")
    assert "may write in space default" in added.stderr
    listed = run(tmp_path, "token", "list")
    assert "ci" in listed.stdout
    assert token not in listed.stdout
    (record,) = json.loads(run(tmp_path, "token", "list", "--json").stdout)
    assert (record["label"], record["may"], record["last_used_at"]) == ("ci", "write", None)
    assert run(tmp_path, "token", "revoke", "ci").stdout == "token 1 is revoked\n"
    assert "no tokens" in run(tmp_path, "token", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "--space", "../x"], "space: expected"),
        (["add", "--expires", "soon"], "--expires: expected a duration"),
        (["add", "--expires", "0"], "--expires: expected a duration such as 30d"),
        (["add", "--may", "own"], "--may"),
        (["revoke", "none"], "no database"),
    ],
)
def test_token_command_reports_errors(tmp_path: Path, arguments: list[str], message: str) -> None:
    """In one line, with what was expected."""
    assert message in error_line(run(tmp_path, "token", *arguments))


def test_token_command_reaches_a_running_server(tmp_path: Path, serve: Serve) -> None:
    """New and revoked tokens are noticed, and their use is stored when the server ends."""
    server = serve("--token", "the-token-of-the-owner")
    db = ("--db", str(server.db))
    token = run(tmp_path, "token", "add", "--may", "read", *db).stdout.strip()
    wait_until(lambda: answer(server, "GET", "/api/presence", token)[0] == 200, "it is known")
    server.stop()
    (record,) = json.loads(run(tmp_path, "token", "list", "--json", *db).stdout)
    assert record["last_used_at"] is not None
