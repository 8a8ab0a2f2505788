"""A notebook agent: its session is the kernel's, and each cell is one turn."""

from __future__ import annotations

import os
import time
from asyncio import CancelledError

from ..coding_agents.fields import base_name
from ..sdk import SDK, activate, deactivate

CELL_TOOL = "cell"
"""The tool name of a cell's run."""


class CellAgent:
    """Reports for one agent of a notebook; its session starts with its first cell."""

    def __init__(self, agent_id: str) -> None:
        self.sdk = SDK(agent_id, project=_folder_name())
        self._session = self.sdk.session()

    def flush(self) -> None:
        """Wait at most a second for the delivery of all events."""
        self.sdk.flush()

    def end(self) -> None:
        """End the session."""
        self._session.end()


class CellTurn:
    """One run of a cell; it starts now and is active for ``tool`` and the integrations.

    Args:
        feature_id: the feature that this cell works on; None: none.
        model: the model from this cell on; None: unchanged.
    """

    def __init__(self, agent: CellAgent, *, feature_id: str | None, model: str | None) -> None:
        self._sdk = agent.sdk
        self._sdk.feature_id = feature_id
        self._sdk.model = model or self._sdk.model
        self._previous = activate(self._sdk)
        self._call = {"tool_name": CELL_TOOL, "tool_use_id": os.urandom(16).hex()}
        self._sdk.report("prompt")
        self._sdk.report("tool_start", **self._call)
        self._started_at = time.perf_counter()

    def end(self, error: BaseException | None) -> None:
        """End the turn; ``error``: the exception of the cell, None: it succeeded."""
        duration_ms = round((time.perf_counter() - self._started_at) * 1_000)
        deactivate(self._sdk, self._previous)
        interrupted = isinstance(error, KeyboardInterrupt | CancelledError)
        failure = None if error is None else {"error": type(error).__name__[:64]}
        self._sdk.report(
            "tool_execute" if error is None else "tool_error",
            status="ok" if error is None else "error",
            duration_ms=duration_ms,
            extra={"is_interrupt": True} if interrupted else failure,
            **self._call,
        )
        self._sdk.report("interrupt" if interrupted else "stop")
        self._sdk.feature_id = None


def _folder_name() -> str | None:
    """Return the name of the folder in which the kernel runs; None if it was deleted."""
    try:
        return base_name(os.getcwd())
    except OSError:
        return None
