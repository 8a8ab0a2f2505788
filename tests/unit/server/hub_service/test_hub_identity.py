"""HubIdentity and HubAddress: user models of the Hub, and the environment of its services."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.errors import ConfigError
from htmlgraph_server.access.auth import Refusal
from htmlgraph_server.access.identity import Identity, Right
from htmlgraph_server.config import make_config
from htmlgraph_server.hub_service.hub_identity import SCOPE, hub_identity

ENVIRON = {
    "JUPYTERHUB_API_TOKEN": "secret",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_SERVICE_PREFIX": "/services/htmlgraph/",
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10101",
}


@pytest.mark.parametrize(
    ("scopes", "right"),
    [
        (["read"], Right.READ),
        (["write"], Right.WRITE),
        (["read", "write"], Right.READ_WRITE),
        (["admin"], Right.ADMIN),
        (["read", "admin"], Right.ADMIN),
        (["read!user=ada"], Right.READ),
        (["read", "other"], Right.READ),
    ],
)
def test_hub_identity_takes_rights_from_scopes(scopes: list[str], right: Right) -> None:
    """Limited scopes count as they are, others do not."""
    model = {"name": "ada", "kind": "user", "scopes": [SCOPE + scope for scope in scopes]}
    assert hub_identity(model) == Identity("user-ada", right, label="ada")


@pytest.mark.parametrize(
    "scopes", [[], None, ["read:users"], ["custom:htmlgraph:other"], ["custom:htmlgraph"]]
)
def test_hub_identity_refuses_without_a_scope(scopes: Any) -> None:
    """A user that the Hub knows needs a scope of this service."""
    refusal = hub_identity({"name": "ada", "scopes": scopes})
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (403, "not_permitted")


def test_hub_identity_takes_the_space_from_groups() -> None:
    """Services have spaces of their own, which no user can have."""
    model = {"name": "ada", "scopes": [f"{SCOPE}read"], "groups": ["b", "a"]}
    in_group = hub_identity(model)
    assert isinstance(in_group, Identity)
    assert in_group.space == "a"
    service = hub_identity({"name": "ada", "kind": "service", "scopes": [f"{SCOPE}read"]})
    assert isinstance(service, Identity)
    assert service.space == "service-ada"


def test_hub_address_is_that_of_the_service() -> None:
    """Unless a flag or variable names another one; a random token protects the default space."""
    config = make_config({"jupyterhub": "on"}, ENVIRON)
    assert (config.host, config.port) == ("127.0.0.1", 10101)
    assert len(config.token) > 30
    config = make_config(
        {"jupyterhub": "on", "port": "1", "token": "own-token"},
        {**ENVIRON, "HTMLGRAPH_HOST": "::1"},
    )
    assert (config.host, config.port, config.token) == ("::1", 1, "own-token")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"JUPYTERHUB_API_TOKEN": ""}, "JUPYTERHUB_API_TOKEN is not set"),
        ({"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:x"}, "JUPYTERHUB_SERVICE_URL"),
    ],
)
def test_hub_address_reports_a_wrong_environment(changes: dict[str, str], message: str) -> None:
    """As when the server is started by hand."""
    with pytest.raises(ConfigError, match=message):
        make_config({"jupyterhub": "on"}, {**ENVIRON, **changes})
