"""Which connector reads the hooks of which kind of agent."""

from __future__ import annotations

from collections.abc import Callable

from ..core.model import Event
from .claude import hooks as claude
from .codex import hooks as codex
from .gemini import hooks as gemini

HOOKS: dict[str, Callable[..., list[Event]]] = {
    "claude": claude.events_from_hook,
    "codex": codex.events_from_hook,
    "gemini": gemini.events_from_hook,
}
"""Kind of agent, as in ``/api/hooks/{agent}`` → ``events_from_hook(payload, received_at=…)``."""
