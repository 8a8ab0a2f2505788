"""Authorizers of Jupyter Server that a test names in its configuration."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer


class OnlyReading(Authorizer):  # type: ignore[misc, unused-ignore]
    """Lets everybody read, and nobody do anything else."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """See jupyter_server.auth.Authorizer."""
        return action == "read"
