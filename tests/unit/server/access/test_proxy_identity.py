"""ProxyIdentities: headers count only from trusted addresses."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from htmlgraph_nb.errors import ConfigError
from htmlgraph_server.access.identity import Identity
from htmlgraph_server.access.proxy_identity import ProxyIdentities
from htmlgraph_server.config import Config, make_config

USER, GROUPS = "X-Forwarded-User", "X-Forwarded-Groups"


def proxies(*trusted: str, **settings: Any) -> ProxyIdentities:
    """Return the reader of a configuration."""
    return ProxyIdentities(
        Config(
            db="unused.db",
            token="a-long-token",
            identity_header=USER,
            groups_header=GROUPS,
            trusted_proxies=trusted,
            **settings,
        )
    )


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fe80::1%eth0", True),
        ("11.1.2.3", False),
        ("::1", False),
        ("", False),
        ("unix", False),
    ],
)
def test_proxy_identity_needs_a_trusted_address(address: str, trusted: bool) -> None:
    """Addresses and networks, IPv4 in IPv6 too."""
    found = proxies("10.0.0.0/8", "fe80::/10").identity({USER: "ada"}, address)
    assert found == (Identity("user-ada", label="ada") if trusted else None)


def test_proxy_identity_takes_the_space_from_groups() -> None:
    """The first in alphabetical order."""
    found = proxies("10.0.0.1").identity({USER: "ada", GROUPS: "team-b, team-a"}, "10.0.0.1")
    assert found is not None
    assert found.space == "team-a"


@pytest.mark.parametrize("headers", [{}, {USER: ""}, {USER: " "}, {USER: "x" * 201}])
def test_proxy_identity_needs_a_name(headers: dict[str, str]) -> None:
    """Groups alone name nobody."""
    assert proxies("10.0.0.1").identity({**headers, GROUPS: "team-a"}, "10.0.0.1") is None


def test_proxy_identity_of_others_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Anyone can send the header."""
    caplog.set_level(logging.WARNING)
    own = proxies("10.0.0.1")
    for _ in range(3):
        assert own.identity({USER: "ada"}, "10.0.0.2") is None
    assert len(caplog.messages) == 1
    assert "10.0.0.2" in caplog.messages[0]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"identity_header": USER}, "--trusted-proxies"),
        ({"trusted_proxies": "10.0.0.1"}, "--identity-header"),
        ({"groups_header": GROUPS}, "--identity-header"),
        ({"identity_header": "a b"}, "--identity-header: expected the name"),
        ({"identity_header": USER, "trusted_proxies": "proxy"}, "--trusted-proxies: expected"),
    ],
)
def test_config_of_proxies_is_checked(flags: dict[str, str], message: str) -> None:
    """A header that counts from everywhere would be no protection."""
    with pytest.raises(ConfigError, match=message):
        make_config(flags, {})


def test_config_of_proxies_has_a_token() -> None:
    """A request without the header must not be one of the owner."""
    config = make_config({"identity_header": USER, "trusted_proxies": "10.0.0.1"}, {})
    assert len(config.token) > 30
