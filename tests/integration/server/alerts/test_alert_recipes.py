"""The recipes of notebooks/ALERTS.md: its receiver, its file of rules and its addresses."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.alerts.channels import parse_channel
from htmlgraph_nb.alerts.fired_alert import Delivery
from htmlgraph_nb.alerts.rule_file import read_alert_file
from htmlgraph_server.alerts.delivery.outcome import Outcome
from htmlgraph_server.alerts.delivery.webhook import send_webhook
from tests.helpers.alert_receiver import fired_alert
from tests.helpers.environ import clean_environ
from tests.helpers.paths import ROOT
from tests.helpers.wait import wait_until

PAGE = (ROOT / "notebooks/ALERTS.md").read_text(encoding="utf-8")
CHECK_URLS = """
import json, sys, apprise
print(json.dumps([apprise.Apprise().add(url) for url in json.load(sys.stdin)]))
"""


def blocks(language: str) -> list[str]:
    """Return the code blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def channel_file(tmp_path: Path) -> Path:
    """Write the channels of the page to a file."""
    (text,) = [block for block in blocks("toml") if "[channels.ops]" in block]
    path = tmp_path / "alerts.toml"
    path.write_text(text)
    return path


def test_recipe_channels_are_valid(tmp_path: Path) -> None:
    """The file is accepted, and apprise accepts each of its addresses."""
    channels = read_alert_file(str(channel_file(tmp_path))).channels
    assert set(channels) == {"ntfy", "slack", "discord", "mail", "desk", "ops"}
    urls = [
        url.reveal()
        for channel in channels.values()
        if channel.type == "apprise"
        for url in channel.urls
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHECK_URLS],
        input=json.dumps(urls),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == [True] * 4


def test_recipe_receiver_checks_the_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints a signed alert, and refuses one with another key, without one, and an old one."""
    (code,) = [block for block in blocks("python") if "hmac" in block]
    script, output = tmp_path / "receiver.py", tmp_path / "output"
    script.write_text(code)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environ = clean_environ(tmp_path, {"ALERT_KEY": "key-4711"})
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(script), str(port)], env=environ, stdout=file, stderr=file
        )

    def send(key: str | None, message: str, age_s: float = 0) -> Outcome:
        table = {"type": "webhook", "url": f"http://127.0.0.1:{port}/"}
        secret = {} if key is None else {"secret": "env:KEY"}
        monkeypatch.setenv("KEY", key or "")
        now = datetime.now(UTC)
        delivery = Delivery(1, fired_alert(message=message), "ops", 0, now)
        channel = parse_channel("ops", {**table, **secret})
        return asyncio.run(send_webhook(channel, delivery, now - timedelta(seconds=age_s)))

    try:
        wait_until(lambda: send("key-4711", "signed") == Outcome(), "the receiver")
        refused = Outcome("the receiver answered HTTP 403", final=True)
        assert send("another", "forged") == refused
        assert send(None, "unsigned") == refused
        assert send("key-4711", "recorded", 301) == refused
        wait_until(lambda: "signed\n" in output.read_text(), "the message")
        assert not re.search("forged|unsigned|recorded", output.read_text())
    finally:
        process.kill()
        process.wait()
