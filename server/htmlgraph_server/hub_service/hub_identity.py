"""What a user of JupyterHub may do: scopes decide the rights, groups the space. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..access.auth import Refusal
from ..access.identity import Identity, Right
from ..access.person_space import person_space

SCOPE = "custom:htmlgraph:"
"""Start of the custom scopes ``custom:htmlgraph:read``, ``…write`` and ``…admin``."""
_RIGHTS = {
    frozenset({"read"}): Right.READ,
    frozenset({"write"}): Right.WRITE,
    frozenset({"read", "write"}): Right.READ_WRITE,
}


def hub_identity(model: Mapping[str, Any]) -> Identity | Refusal:
    """Return the identity of a user model of ``/hub/api/user``, or why it has none."""
    name, kind = str(model.get("name", "")), str(model.get("kind", "user"))
    # A scope may be limited, as custom:htmlgraph:read!user=ada.
    scopes = {str(scope).partition("!")[0] for scope in model.get("scopes") or ()}
    rights = frozenset(scope.removeprefix(SCOPE) for scope in scopes if scope.startswith(SCOPE)) & {
        "read",
        "write",
        "admin",
    }
    right = Right.ADMIN if "admin" in rights else _RIGHTS.get(rights)
    if right is None or not name:
        return Refusal(
            403,
            "not_permitted",
            f"the {kind} of JupyterHub has none of the scopes {SCOPE}read, {SCOPE}write and "
            f"{SCOPE}admin",
        )
    groups = [str(group) for group in model.get("groups") or ()]
    own_kind = "service" if kind == "service" else "user"
    return Identity(person_space(name, groups, own_kind), right, label=name)
