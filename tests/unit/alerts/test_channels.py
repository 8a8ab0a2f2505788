"""The channels of the alerts file: what is accepted, and what errors say."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.alerts.channels import MAX_CHANNELS, parse_channel, parse_channels
from htmlgraph_nb.errors import ConfigError

TOKEN = "tk-4711-secret"


def webhook(**settings: Any) -> dict[str, Any]:
    """Return a valid table with further settings."""
    return {"type": "webhook", "url": "https://example.org/hook", **settings}


def test_parse_channel_of_a_webhook() -> None:
    """All settings are read; the secrets are not shown."""
    channel = parse_channel(
        "ops",
        webhook(
            secret=TOKEN,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout_s=3,
            min_severity="warning",
        ),
    )
    assert (channel.name, channel.type, channel.timeout_s) == ("ops", "webhook", 3.0)
    assert channel.urls[0].reveal() == "https://example.org/hook"
    assert channel.secret is not None
    assert channel.secret.reveal() == TOKEN
    assert channel.headers["Authorization"].reveal() == f"Bearer {TOKEN}"
    assert TOKEN not in repr(channel)
    assert "example.org" not in repr(channel)
    assert channel.public() == {"name": "ops", "type": "webhook", "min_severity": "warning"}
    assert not channel.accepts("info")
    assert channel.accepts("warning")
    assert channel.accepts("critical")


def test_parse_channel_of_apprise_has_several_urls() -> None:
    """One address or a list; they may be places."""
    channel = parse_channel("phone", {"type": "apprise", "url": ["ntfy://topic", "env:SLACK"]})
    assert [url.is_literal for url in channel.urls] == [True, False]
    assert channel.timeout_s == 20.0
    assert len(parse_channel("phone", {"type": "apprise", "url": "ntfy://topic"}).urls) == 1


def test_parse_channel_of_the_desktop_needs_only_its_type() -> None:
    """It has no address."""
    assert parse_channel("desk", {"type": "desktop"}).urls == ()


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("a b", {"type": "desktop"}, "expected a name of up to 40 letters"),
        ("browser", {"type": "desktop"}, "choose another"),
        ("x", 7, r"expected a table, as \[channels.x\]"),
        ("x", {}, "channels.x.type: expected one of webhook, apprise, desktop"),
        ("x", {"type": "mail"}, "expected one of webhook"),
        ("x", {"type": "desktop", "url": "https://a"}, "channels.x.url: unknown setting of desk"),
        ("x", {"type": "webhook"}, "channels.x.url: expected an address"),
        ("x", webhook(url=[f"https://{TOKEN}"]), "channels.x.url: expected an address"),
        ("x", webhook(url=f"ftp://{TOKEN}/"), "such as https://host/path"),
        ("x", webhook(url=f"https://[{TOKEN}/"), "such as https://host/path"),
        ("x", webhook(url=f"https://h:{TOKEN}/"), "such as https://host/path"),
        ("x", webhook(url=f"https://host/{TOKEN} x"), "such as https://host/path"),
        ("x", {"type": "apprise", "url": TOKEN}, "such as ntfy://host/topic"),
        ("x", {"type": "apprise", "url": []}, "expected 1 to 20 addresses"),
        ("x", webhook(secret=""), "channels.x.secret: expected a text"),
        ("x", webhook(headers={"Host": TOKEN}), "'Host' cannot be set"),
        ("x", webhook(headers={"X-Htmlgraph-Signature": TOKEN}), "cannot be set"),
        ("x", webhook(headers={"X": f"{TOKEN}\n"}), "channels.x.headers.X: expected ASCII"),
        ("x", webhook(headers=[TOKEN]), "expected a table of at most 20"),
        ("x", webhook(timeout_s=0), "expected seconds from 1 to 60"),
        ("x", webhook(timeout_s=True), "expected seconds from 1 to 60"),
        ("x", webhook(min_severity="high"), "expected one of info, warning, critical"),
    ],
)
def test_parse_channel_errors_name_the_setting(name: str, table: Any, message: str) -> None:
    """They say what is expected and never show a value that may be secret."""
    with pytest.raises(ConfigError, match=message) as caught:
        parse_channel(name, table)
    assert TOKEN not in str(caught.value)


def test_parse_channels_limits_their_number() -> None:
    """Each channel has a task of its own."""
    with pytest.raises(ConfigError, match=f"at most {MAX_CHANNELS}, got {MAX_CHANNELS + 1}"):
        parse_channels({f"c{n}": {"type": "desktop"} for n in range(MAX_CHANNELS + 1)})
    with pytest.raises(ConfigError, match=r"\[channels.phone\]"):
        parse_channels([])
    assert list(parse_channels({"desk": {"type": "desktop"}})) == ["desk"]
