"""``htmlgraph-nb alerts`` as a user types it, with a real server and a real file."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.alerts import alert_api
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.history.fired_alerts import ALERT_DTYPES, load_alerts
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until


def run(server: Server, *arguments: str, status: int = 0) -> str:
    """Run a command beside a server and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_server.cli", "alerts", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=server.environment(),
        timeout=60,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules(server: Server) -> dict[str, Any]:
    """Return the rules in force."""
    answer: dict[str, Any] = server.get("/api/alerts/rules").json()
    return answer


def test_alerts_command_changes_rules_while_the_server_runs(server: Server) -> None:
    """Rules are added to and taken out of the file, and count at once; a broken edit does not."""
    path = Path(rules(server)["file"])
    assert path == server.home / "alerts.toml"
    shown = run(server, "add", "waits", "--for", "5s", "--project", "shop", "--name", "fast")
    assert shown == f"added the rule fast: {path}\n"
    wait_until(lambda: len(rules(server)["rules"]) == 3, "the new rule")
    at = to_rfc3339(datetime.now(UTC) - timedelta(seconds=6))
    server.send("claude-1", "permission_request", timestamp=at, project="shop")
    wait_until(lambda: "fast" in run(server), "the alert")
    assert "claude-1 in shop has waited for a person for " in run(server, "list")
    path.write_text(f"{path.read_text()}\n# broken\n[[rule]]\nkind = 'wait'\n")
    wait_until(lambda: rules(server)["error"], "the error")
    broken = rules(server)
    assert broken["error"].startswith("alerts.toml: rule 4, kind: expected one of waits, ")
    assert len(broken["rules"]) == 3
    listed = run(server, "list")
    assert listed.startswith("The file of rules is invalid, the rules before it stay in force: ")
    assert "alerts.toml: rule 4, kind" in run(server, "rules")
    path.write_text(path.read_text().replace("'wait'", "'done'"))
    wait_until(lambda: rules(server)["error"] is None, "the end of the error")
    run(server, "remove", "fast")
    wait_until(lambda: len(rules(server)["rules"]) == 3, "the removal")
    assert "# broken" in path.read_text()
    assert run(server, "list") == "No alerts.\n"


def test_alerts_command_acknowledges_and_mutes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alerts are listed, acknowledged by the first letters of their id, muted, and loaded."""
    at = to_rfc3339(datetime.now(UTC) - timedelta(seconds=40))
    server.send("claude-1", "permission_request", timestamp=at)
    wait_until(lambda: "claude-1" in run(server), "the alert")
    (alert,) = json.loads(run(server, "--json"))["alerts"]
    assert "no alert that fires" in run(server, "ack", "zzzz", status=2)
    assert run(server, "ack", alert["alert_id"][:6], "--by", "ada") == "acknowledged 1 alert\n"
    wait_until(lambda: run(server) == "No alerts.\n", "the acknowledgement")
    assert "(acknowledged by ada)" in run(server, "--state", "acknowledged")
    assert run(server, "mute", "1h").startswith("All alerts are muted until ")
    assert run(server, "mute").startswith("All alerts are muted; to end that")
    wait_until(lambda: "All alerts are muted" in run(server), "the mute")
    assert run(server, "mute", "off") == "Alerts are not muted.\n"
    assert 'expected on, off or a time such as "1h"' in run(server, "mute", "soon", status=2)

    monkeypatch.setenv("HTMLGRAPH_HOME", str(server.home))
    (one,) = alert_api.list("acknowledged", url=server.url)
    assert one.acknowledged_by == "ada"
    assert alert_api.mute("2h", url=server.url) is not None
    assert alert_api.mute(0, url=server.url) is None
    assert alert_api.acknowledge(one, url=server.url).acknowledged_by == "ada"
    assert len(alert_api.rules(url=server.url)["rules"]) == 3
    for source in (str(server.db), server.url):
        frame = load_alerts(source, tz="UTC")
        assert list(frame.columns) == list(ALERT_DTYPES)
        assert frame["subject"].tolist() == ["claude-1"]
        assert frame["acknowledged_by"].tolist() == ["ada"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "budget"], "alerts.toml: rule 4, threshold: missing, expected the US dollars"),
        (["add", "waits", "--for", "x"], "for: expected a duration such as \"30s\", got 'x'"),
        (["add", "waits", "--channel", "fone"], "channels: expected some of browser, jupyter"),
        (["remove", "x"], "rule: expected one of waits, cannot_work, quota, got 'x'"),
    ],
)
def test_alerts_command_refuses(module_server: Server, arguments: list[str], message: str) -> None:
    """Errors are one line that says what was expected, and the file stays as it was."""
    assert message in run(module_server, *arguments, status=2)
    assert not (module_server.home / "alerts.toml").exists()
