"""A sample history: a morning of six coding agents, always the same.

The events are written as an agent's hooks and session files report them. Each agent shows one
pattern that the analysis functions and the replay make visible.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.model import Event, new_event
from ..core.timestamps import to_rfc3339
from ..local_zone import Zone
from ..presence import PresenceManager
from ..simulation.scripted_agent import timestamp_of
from .load import load_history

SAMPLE_START = datetime(2026, 3, 2, 8, tzinfo=UTC)
_HOURS = 3
_SEED = 7
_SECONDS = {
    # tool: shortest and longest run
    "Grep": (0.1, 1.5),
    "Read": (0.1, 0.8),
    "Edit": (0.2, 1.2),
    "Write": (0.2, 1.0),
    "Bash": (3.0, 45.0),
    "WebFetch": (1.0, 6.0),
}


def sample_history(tz: Zone = None) -> pd.DataFrame:
    """Return a morning of six coding agents and their subagents, to try analysis and replay with.

    The frame is the same on each call: 2,300 events from 08:02 to 09:47 UTC of 2026-03-02.

    - ``claude-4a9c1ab2`` fixes a bug in cycles of Grep, Read, Edit and Bash, and waits three times
      for permission, once for 14 minutes.
    - ``claude-7be03d55`` migrates a checkout: its context grows until it is compacted, three
      subagents explore in parallel, and it costs more than all others together.
    - ``codex-019a61c2`` is stuck: the same command fails for half an hour.
    - ``codex-019a77f0`` reaches the usage limit of its plan and cannot work until 11:00.
    - ``gemini-c2d94e18`` edits documentation in two short sessions and asks a question.
    - ``claude-e6026fa8`` reviews: it only reads, and ends early.

    Args:
        tz: as for ``load_history``.

    Returns:
        One row per event, as ``load_history`` returns them, with the stored statuses.
    """
    events = sorted(_morning(), key=timestamp_of)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.db"
        with PresenceManager(str(path)) as manager:
            manager.ingest(events)
        return load_history(path, progress=False, tz=tz)


class _Agent:
    """One session of an agent, and the clock of what it does next.

    Args:
        agent_id: its id; the part before "-" is its kind.
        minute: when the session starts, minutes after SAMPLE_START.
        context: tokens in the model's context at the start.
        step: tokens that each completion adds to it, at least.
        facts: fields of all its events.
    """

    def __init__(
        self,
        agent_id: str,
        minute: float,
        *,
        context: int = 18_000,
        step: int = 600,
        window: int = 200_000,
        session: str = "",
        **facts: Any,
    ) -> None:
        self.events: list[Event] = []
        self.now = SAMPLE_START + timedelta(minutes=minute)
        self._rng = random.Random(f"{_SEED} {agent_id} {minute}")  # noqa: S311 - no secret
        self._context, self._step = context, step
        session_id = session or f"{self._rng.getrandbits(64):016x}"
        self._calls = 0
        kind = agent_id.partition("-")[0]
        self._facts = {"agent_id": agent_id, "session_id": session_id, **facts}
        self._facts.update(source=f"{kind}-hook", host="workstation", user="kim")
        self._inputs = random.Random(f"{_SEED} {agent_id} {minute} inputs")  # noqa: S311 - no secret
        self._command_hash = self._inputs.getrandbits(53)
        self._window = window
        self.report("session_start")

    @property
    def minute(self) -> float:
        """Minutes since SAMPLE_START."""
        return (self.now - SAMPLE_START) / timedelta(minutes=1)

    def report(self, event_type: str, after_s: float = 0.2, **fields: Any) -> None:
        """Let time pass, then report an event."""
        self.now += timedelta(seconds=after_s)
        event = new_event(event_type=event_type, timestamp=self.now, **{**self._facts, **fields})
        self.events.append(event)

    def think(self, output: int = 0) -> None:
        """Report an answer of the model, which reads the whole context again."""
        if self._context > 0.8 * self._window:
            self._compact()
        rng = self._rng
        written = rng.randint(self._step, 3 * self._step)
        output = output or rng.randint(80, 700)
        read, self._context = self._context, self._context + written + output
        self.report(
            "completion",
            rng.uniform(3.0, 14.0),
            input_tokens=rng.randint(4, 40),
            cache_read_tokens=read,
            cache_write_5m_tokens=written,
            output_tokens=output,
            context_tokens=self._context,
            context_window=self._window,
        )

    def use(self, tool: str, *, failed: bool = False, wait_s: float = 0.0) -> None:
        """Call a tool, after a person has given permission if ``wait_s`` is above 0.

        An agent runs always the same command.
        """
        self._calls += 1
        new_hash = self._inputs.getrandbits(53)
        call: dict[str, Any] = {
            "tool_name": tool,
            "tool_use_id": f"{self._facts['session_id']}-{self._calls}",
            "input_hash": self._command_hash if tool == "Bash" else new_hash,
        }
        self.report("tool_start", **call)
        if wait_s:
            self.report("permission_request", **call)
            self.report("answered", wait_s)
        seconds = self._rng.uniform(*_SECONDS[tool])
        self.report(
            "tool_error" if failed else "tool_execute",
            seconds,
            **call,
            status="error" if failed else "ok",
            duration_ms=round(seconds * 1000),
        )

    def steps(self, *tools: str, failed: str = "", wait_s: float = 0.0) -> None:
        """Think and call one tool after the other; the last one may fail or wait."""
        for number, tool in enumerate(tools, 1):
            self.think()
            last = number == len(tools)
            self.use(tool, failed=tool == failed, wait_s=wait_s if last else 0.0)

    def turn(self, work: Callable[[], None], pause_s: float = 30.0) -> None:
        """Take a prompt, work, and end the turn."""
        self.report("prompt", pause_s)
        work()
        self.think()
        self.report("stop")

    def _compact(self) -> None:
        """Summarize the conversation: the context is small again."""
        self._context = 26_000
        self.report("session_info", extra={"compacted": True}, context_tokens=self._context)


def _morning() -> list[Event]:
    agents = [_fixer(), *_migrator(), _stuck(), _limited(), *_writer(), _reviewer()]
    end = SAMPLE_START + timedelta(hours=_HOURS)
    return [event for agent in agents for event in agent.events if timestamp_of(event) <= end]


def _fixer() -> _Agent:
    agent = _Agent(
        "claude-4a9c1ab2",
        2,
        title="Fix the rounding of invoices",
        project="billing-api",
        branch="fix/invoice-rounding",
        feature_id="feat-invoice-export",
        model="claude-sonnet-4-5",
    )
    waits = iter((95.0, 14 * 60.0, 40.0))
    for turn in range(9):
        wait_s = next(waits, 0.0) if turn in (1, 3, 6) else 0.0

        def work(turn: int = turn, wait_s: float = wait_s) -> None:
            for cycle in range(4):
                failed = "Bash" if (turn + cycle) % 4 == 1 else ""
                agent.steps("Grep", "Read", "Edit", "Bash", failed=failed)
            agent.steps("Read", "Bash", wait_s=wait_s)

        agent.turn(work, pause_s=60 + 25 * turn)
    agent.report("session_end", 240)
    return agent


def _migrator() -> list[_Agent]:
    facts: dict[str, Any] = {
        "project": "storefront",
        "branch": "feat/checkout-v2",
        "pr": "#128",
        "feature_id": "feat-checkout-flow",
    }
    agent = _Agent(
        "claude-7be03d55",
        11,
        context=48_000,
        step=1_400,
        title="Migrate the checkout to the new payment API",
        model="claude-opus-4-5",
        **facts,
    )
    children = []

    def explore() -> None:
        agent.steps("Read", "Grep")
        begin = agent.minute
        for number, topic in enumerate(("carts", "payments", "tests")):
            child_id = f"claude-7be03d55/explore-{number + 1}"
            agent.report("subagent_start", extra={"child_agent_id": child_id})
            child = _Agent(
                child_id,
                begin + 0.1 * (number + 1),
                context=9_000,
                title=f"Explore the {topic}",
                parent_agent_id="claude-7be03d55",
                model="claude-haiku-4-5",
                **facts,
            )
            for _ in range(9 + 3 * number):
                child.steps("Grep", "Read", "Read")
            child.report("session_end")
            children.append(child)
        last = max(child.now for child in children)
        agent.now = max(agent.now, last) + timedelta(seconds=1)

    agent.turn(explore)
    for turn in range(9):

        def work(turn: int = turn) -> None:
            for cycle in range(7):
                agent.steps("Read", "Edit", "Edit", "Bash", failed="Bash" if cycle == turn else "")

        agent.turn(work, pause_s=70)
    return [agent, *children]


def _stuck() -> _Agent:
    agent = _Agent(
        "codex-019a61c2",
        25,
        window=272_000,
        title="Make the search index tests pass",
        project="search",
        branch="fix/flaky-index",
        feature_id="feat-search-index",
        model="gpt-5-codex",
    )
    agent.turn(lambda: agent.steps("Grep", "Read", "Edit", "Bash"))

    def loop() -> None:
        begin = agent.now
        while agent.now - begin < timedelta(minutes=32):
            agent.steps("Bash", failed="Bash")
        agent.report("interrupt", 3.0)

    agent.report("prompt", 90)
    loop()
    agent.turn(lambda: agent.steps("Read", "Grep", "Read", "Edit", "Bash"), pause_s=400)
    agent.report("session_end", 120)
    return agent


def _limited() -> _Agent:
    agent = _Agent(
        "codex-019a77f0",
        5,
        window=272_000,
        title="Train the ranking model nightly",
        project="ml-pipeline",
        branch="feat/nightly-ranking",
        feature_id="feat-ranking",
        model="gpt-5-codex",
    )
    for turn in range(6):

        def work(turn: int = turn) -> None:
            for _ in range(4):
                agent.steps("Read", "Write", "Bash", failed="Bash" if turn == 2 else "")

        agent.turn(work, pause_s=45)
    agent.report("prompt", 60)
    agent.steps("Read", "Edit")
    until = to_rfc3339(SAMPLE_START + timedelta(hours=_HOURS))
    agent.report("error", extra={"cannot_work": "usage_limited", "until": until})
    return agent


def _writer() -> list[_Agent]:
    facts: dict[str, Any] = {
        "project": "docs-site",
        "branch": "main",
        "feature_id": "feat-search-docs",
        "model": "gemini-2.5-pro",
    }
    first = _Agent(
        "gemini-c2d94e18", 15, window=1_048_576, title="Document the search API", **facts
    )
    first.turn(lambda: first.steps("Read", "WebFetch", "Write"))
    first.report("prompt", 30)
    first.steps("Read", "WebFetch")
    asked: dict[str, Any] = {"tool_name": "ask_user", "tool_use_id": "c2d94e18-question"}
    first.report("tool_start", extra={"asks": "input"}, **asked)
    first.report("tool_execute", 5 * 60, status="ok", duration_ms=300_000, **asked)
    first.steps("Write", "Edit")
    first.think()
    first.report("stop")
    first.report("session_end", 60)
    second = _Agent(
        "gemini-c2d94e18", 100, window=1_048_576, title="Add examples to the guide", **facts
    )
    for _ in range(3):
        second.turn(lambda: second.steps("Read", "WebFetch", "Write", "Edit"), pause_s=80)
    second.report("session_end", 30)
    return [first, second]


def _reviewer() -> _Agent:
    agent = _Agent(
        "claude-e6026fa8",
        50,
        title="Review the checkout branch",
        project="storefront",
        branch="feat/checkout-v2",
        model="claude-sonnet-4-5",
    )
    for _ in range(2):
        agent.turn(lambda: agent.steps(*("Grep", "Read", "Read") * 5), pause_s=40)
    agent.report("session_end", 15)
    return agent
