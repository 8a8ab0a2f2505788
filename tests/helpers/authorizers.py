"""Authorizers for the configuration of Jupyter Server in tests."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer


class ReadOnlyAuthorizer(Authorizer):  # type: ignore[misc, unused-ignore]
    """Allows everyone to read and nothing else."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """See jupyter_server.auth.Authorizer."""
        return action == "read"
