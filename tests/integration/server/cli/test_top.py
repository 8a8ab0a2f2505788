"""``htmlgraph-nb top`` in a real terminal, with a real server."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server
from tests.helpers.terminal import terminal_program
from tests.integration.conftest import Serve
from tests.integration.server.cli.test_cli import COMMAND, error_line, run


def test_top_follows_the_server(serve: Serve) -> None:
    """New agents appear, keys work, and it survives a restart of the server."""
    server = serve()
    server.send("claude-1", tool_name="Read", title="Checkout", project="shop")
    with terminal_program([COMMAND, "top"], clean_environ(server.home)) as top:
        top.wait_for("Checkout")
        top.wait_for("1 active")
        server.send("claude-2", event_type="permission_request", tool_name="Bash")
        top.wait_for("1 waiting for you")
        top.type("w")
        top.wait_for("permission: Bash")
        server.stop()
        top.wait_for("reconnecting, as of ")
        again = serve(home=server.home)
        again.send("claude-3", tool_name="Read", title="Third agent")
        top.wait_for("Third agent")
        top.type("q")
        assert top.process.wait(30) == 0
        assert "Traceback" not in top.text()


def test_top_without_colour(server: Server) -> None:
    """NO_COLOR removes colours, not the contents."""
    server.send("claude-1", tool_name="Read", title="Checkout")
    environ = clean_environ(server.home, {"NO_COLOR": "1"})
    with terminal_program([COMMAND, "top", "--group", "project"], environ) as top:
        top.wait_for("no project (1 agent")
        top.wait_for("Checkout")
        top.type("\x03")
        assert top.process.wait(30) == 0


def test_top_needs_a_terminal_and_a_server(server: Server, tmp_path: Path) -> None:
    """The errors are those of other commands."""
    assert "htmlgraph-nb ls --json" in error_line(run(server.home, "top"))
    environ = clean_environ(tmp_path, {"HTMLGRAPH_URL": "http://127.0.0.1:1"})
    with terminal_program([COMMAND, "top"], environ) as top:
        top.wait_for("Start one with: htmlgraph-nb serve")
        assert top.process.wait(30) == 2
