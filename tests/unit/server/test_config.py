"""The settings: precedence of flag, variable and default, and invalid values."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.errors import ConfigError
from htmlgraph_server.config import SETTINGS, Config, is_loopback, make_config
from htmlgraph_server.setting_parsers import parse_duration

NOTHING: dict[str, str | None] = {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("300", 300),
        ("1.5", 1.5),
        ("90s", 90),
        ("5m", 300),
        ("24h", 86_400),
        ("90d", 7_776_000),
        ("2w", 1_209_600),
        (" 5 m ", 300),
        ("36500d", 3_153_600_000),
    ],
)
def test_parse_duration(text: str, seconds: float) -> None:
    """A number of seconds, or a number with a unit."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "5 minutes", "1e3", "inf", "nan", "s", "٣", "36501d", "9" * 400]
)
def test_parse_duration_refuses_other_texts(text: str) -> None:
    """Other forms and too long durations are refused."""
    with pytest.raises(ValueError, match="expected"):
        parse_duration(text)


def test_make_config_uses_defaults() -> None:
    """Without flags and variables each field has its documented default."""
    config = make_config(NOTHING, {})
    assert (config.host, config.port, config.token) == ("127.0.0.1", 8000, "")
    assert (config.hub.max_clients, config.hub.max_clients_per_session) == (5_000, 10)
    assert config.hub.tick_s == 0.02
    assert config.roster.max_agents == 10_000
    assert config.roster.idle_timeout_s == 300
    assert (config.retain_s, config.synchronous, config.seal) == (0, "NORMAL", True)


VALUES = {
    "session_folder": "claude=/a,b, gemini=/g",
    "host": "127.0.0.2",
    "port": "0",
    "db": "/tmp/other.db",
    "token": "a-token-of-words",
    "token_file": "/tmp/token",
    "local_token": "on",
    "allow_origins": "https://a.example, https://b.example,",
    "allow_hosts": "a.example",
    "max_clients": "11",
    "max_clients_per_session": "12",
    "max_agents": "13",
    "max_filter_values": "24",
    "max_queue_bytes": "14",
    "max_body_bytes": "15",
    "max_buffered_bytes": "25",
    "tick_ms": "16",
    "stall_timeout": "17s",
    "idle_timeout": "18",
    "offline_timeout": "19m",
    "forget_after": "20h",
    "retain": "21d",
    "synchronous": "full",
    "seal": "OFF",
    "watch": "off",
    "backfill": "7d",
    "titles": "off",
    "open_work_timeout": "8h",
    "alerts": "/tmp/rules.toml",
    "log_format": "JSON",
    "max_spaces": "26",
    "identity_header": "X-Forwarded-User",
    "groups_header": "X-Forwarded-Groups",
    "trusted_proxies": "10.0.0.0/8, ::1",
    "jupyterhub": "off",
    "forward_to": "https://centre.example/base/",
    "forward_token": "secret",
    "host_timeout": "26s",
}


def test_make_config_uses_every_flag_and_variable() -> None:
    """Each flag and variable sets its field; a flag takes precedence."""
    assert set(VALUES) == {setting.name for setting in SETTINGS}
    by_flag = make_config(VALUES, {})
    assert (by_flag.host, by_flag.port, by_flag.db) == ("127.0.0.2", 0, "/tmp/other.db")
    assert by_flag.allow_origins == ("https://a.example", "https://b.example")
    assert (by_flag.allow_hosts, by_flag.local_token) == (("a.example",), True)
    hub, roster = by_flag.hub, by_flag.roster
    assert (hub.max_clients, hub.max_clients_per_session, hub.max_queue_bytes) == (11, 12, 14)
    assert (hub.tick_s, hub.stall_timeout_s, hub.max_filter_values) == (0.016, 17, 24)
    assert (roster.max_agents, by_flag.max_body_bytes) == (13, 15)
    assert by_flag.max_buffered_bytes == 25
    assert (roster.idle_timeout_s, roster.offline_timeout_s) == (18, 1_140)
    assert by_flag.log_format == "json"
    assert (roster.forget_after_s, by_flag.retain_s) == (72_000, 1_814_400)
    assert (by_flag.synchronous, by_flag.seal, by_flag.watch) == ("FULL", False, False)
    assert (by_flag.backfill_s, by_flag.titles) == (604_800, False)
    assert by_flag.session_folder == (("claude", "/a,b"), ("gemini", "/g"))
    assert roster.open_work_timeout_s == 28_800
    assert by_flag.alerts == "/tmp/rules.toml"
    assert by_flag.max_spaces == 26
    assert (by_flag.identity_header, by_flag.groups_header) == (
        *("X-Forwarded-User", "X-Forwarded-Groups"),
    )
    assert (by_flag.trusted_proxies, by_flag.jupyterhub) == (("10.0.0.0/8", "::1"), False)
    assert by_flag.forward_to == "https://centre.example:443/base"
    assert (by_flag.forward_token, by_flag.host_timeout_s) == ("secret", 26)
    assert "secret" not in repr(by_flag)
    variables = {setting.variable: VALUES[setting.name] for setting in SETTINGS}
    assert make_config(NOTHING, variables) == by_flag
    assert make_config({"port": "7"}, variables).port == 7


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "http"),
        ("port", "8_0"),
        ("port", ""),
        ("max_clients", "0"),
        ("max_clients", "1.5"),
        ("max_agents", "9" * 30),
        ("tick_ms", "60001"),
        ("retain", "forever"),
        ("synchronous", "SOMETIMES"),
        ("seal", "1"),
        ("session_folder", "/tmp/claude"),
        ("session_folder", "claude="),
        ("session_folder", "cursor=/tmp"),
    ],
)
def test_make_config_refuses_invalid_values(name: str, text: str) -> None:
    """The error names the flag or variable, the expected and the actual value."""
    [setting] = [setting for setting in SETTINGS if setting.name == name]
    for flags, environ, origin in (
        ({name: text}, {}, setting.flag),
        ({}, {setting.variable: text}, setting.variable),
    ):
        with pytest.raises(ConfigError, match="expected") as refused:
            make_config(flags, environ)
        assert str(refused.value).startswith(f"{origin}: expected ")
        assert str(refused.value).endswith(f", got {text[:60]!r}")


@pytest.mark.parametrize("token", ["short", "with space!", "x" * 257])
def test_make_config_does_not_show_an_invalid_token(token: str) -> None:
    """Error messages may end up in logs."""
    with pytest.raises(ConfigError) as refused:
        make_config({"token": token}, {})
    assert token not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.1.1", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_config_needs_a_token_beyond_loopback(host: str, expected: bool) -> None:
    """A token is required exactly if other machines can reach the server."""
    assert is_loopback(host) is expected
    if expected:
        assert Config(host=host, db="x").host == host
    else:
        with pytest.raises(ConfigError, match="HTMLGRAPH_TOKEN"):
            Config(host=host, db="x")
        assert Config(host=host, db="x", token="long-enough").host == host


@pytest.mark.parametrize(
    ("flags", "seconds"),
    [
        ({}, 30 * 86_400),
        ({"watch": "off"}, 0),
        ({"watch": "off", "backfill": "12h"}, 43_200),
        ({"backfill": "off"}, 0),
        ({"backfill": "ALL"}, math.inf),
    ],
)
def test_config_backfills_where_it_watches(flags: dict[str, str], seconds: float) -> None:
    """The default is 30 days on a server that follows session files, else nothing."""
    assert make_config(flags, {}).backfill_s == seconds


@given(st.sampled_from([setting.name for setting in SETTINGS]), st.text(max_size=40))
def test_make_config_accepts_or_refuses_any_text(name: str, text: str) -> None:
    """The only error is a ConfigError that names the flag."""
    [setting] = [setting for setting in SETTINGS if setting.name == name]
    try:
        make_config({name: text, "db": "x"} if name != "db" else {name: text}, {})
    except ConfigError as error:
        message = str(error)
        if name == "host":
            message = f"{setting.flag} {message}"
        assert setting.flag in message


def test_watch_is_on_by_default_only_on_loopback() -> None:
    """Flag and variable override the default."""
    assert make_config(NOTHING, {}).watch
    assert make_config({"host": "localhost"}, {}).watch
    beyond = {"host": "0.0.0.0", "token": "a-token-of-words"}
    assert not make_config(beyond, {}).watch
    assert make_config(beyond, {"HTMLGRAPH_WATCH": "on"}).watch
    assert not make_config(NOTHING, {"HTMLGRAPH_WATCH": "off"}).watch


def test_config_backfill_needs_a_unit() -> None:
    """A number alone would be seconds, which nobody means here."""
    with pytest.raises(ConfigError, match="expected a unit, such as 30d"):
        make_config({"backfill": "30"}, {})


def test_make_config_reads_the_forward_token_from_a_file(tmp_path: Path) -> None:
    """``@FILE`` keeps the token out of the list of processes; no message shows a token."""
    secret = tmp_path / "secret"
    secret.write_text("of-a-file\n")
    assert make_config({"forward_token": f"@{secret}"}, {}).forward_token == "of-a-file"
    for text in (f"@{tmp_path}/missing", "two words"):
        with pytest.raises(ConfigError, match="--forward-token") as caught:
            make_config({"forward_token": text}, {})
        assert "two words" not in str(caught.value)


@pytest.mark.parametrize("text", ["centre", "ftp://a", "http://ada:secret@centre"])
def test_make_config_refuses_other_addresses_to_forward_to(text: str) -> None:
    """The address is that of a server, without a secret."""
    with pytest.raises(ConfigError, match="--forward-to"):
        make_config({"forward_to": text}, {})
