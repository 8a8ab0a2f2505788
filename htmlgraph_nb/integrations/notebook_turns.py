"""A notebook's agent: its session is the kernel's, its turns are cells."""

from __future__ import annotations

import os
import time
from asyncio import CancelledError

from ..coding_agents.fields import base_name
from ..sdk import SDK, activate, deactivate

TOOL = "cell"
"""The tool as which a cell's run counts."""


class CellAgent:
    """Reports for one agent of a notebook; its session begins with its first cell."""

    def __init__(self, agent_id: str) -> None:
        self.sdk = SDK(agent_id, project=_folder())
        self._session = self.sdk.session()

    def flush(self) -> None:
        """Wait at most a second until all is delivered."""
        self.sdk.flush()

    def end(self) -> None:
        """End its session."""
        self._session.end()


class CellTurn:
    """One run of a cell: it begins now, and is open for ``tool`` and the integrations.

    Args:
        feature_id: what the agent works on in this cell; None: nothing in particular.
        model: what it runs on from now on; None: as before.
    """

    def __init__(self, agent: CellAgent, *, feature_id: str | None, model: str | None) -> None:
        self._sdk = agent.sdk
        self._sdk.feature_id = feature_id
        self._sdk.model = model or self._sdk.model
        self._before = activate(self._sdk)
        self._call = {"tool_name": TOOL, "tool_use_id": os.urandom(16).hex()}
        self._sdk.report("prompt")
        self._sdk.report("tool_start", **self._call)
        self._began = time.perf_counter()

    def end(self, error: BaseException | None) -> None:
        """Take how the cell ended; None: well."""
        taken_ms = round((time.perf_counter() - self._began) * 1_000)
        deactivate(self._sdk, self._before)
        interrupted = isinstance(error, KeyboardInterrupt | CancelledError)
        failed = None if error is None else {"error": type(error).__name__[:64]}
        self._sdk.report(
            "tool_execute" if error is None else "tool_error",
            status="ok" if error is None else "error",
            duration_ms=taken_ms,
            extra={"is_interrupt": True} if interrupted else failed,
            **self._call,
        )
        self._sdk.report("interrupt" if interrupted else "stop")
        self._sdk.feature_id = None


def _folder() -> str | None:
    """Return the name of the folder in which the kernel runs."""
    try:
        return base_name(os.getcwd())
    except OSError:
        # It has been deleted.
        return None
