"""Facts about an agent are right whichever source reports an event first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.presence import PresenceManager

SESSION = "0b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
AGENT = "claude-0b9d6f4e"
NOW = datetime(2026, 5, 30, 17, 0, 30, tzinfo=UTC)
TOKENS = {"input_tokens": 3, "cache_read_tokens": 900, "output_tokens": 9}


def event(seconds: float, kind: str, source: str, **fields: object) -> Event:
    """Return an event of the agent, some seconds after the start."""
    return Event(
        agent_id=AGENT,
        session_id=SESSION,
        event_type=kind,
        timestamp=NOW + timedelta(seconds=seconds - 30),
        source=source,
        **fields,  # type: ignore[arg-type]
    )


def completion(seconds: float, source: str, request: str = "req_1", **fields: object) -> Event:
    """Return a completion, of which each source has its own event id."""
    extra = {"request_id": request}
    key = f"{source}:{request}"
    return event(seconds, "completion", source, event_id=key, extra=extra, **{**TOKENS, **fields})


FROM_FILE = completion(
    5, "claude-session", context_tokens=903, branch="feat/cart", cwd="/home/user/shop"
)
FROM_TELEMETRY = completion(5.4, "otlp", agent_kind="claude")
STOP = event(6, "stop", "claude-hook", event_id="s1", cwd="/home/user/shop")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PresenceManager]:
    with PresenceManager(str(tmp_path / "a.db"), clock=lambda: NOW) as manager:
        yield manager


def presence(manager: PresenceManager) -> AgentPresence:
    """Return the state of the agent."""
    state = manager.get_agent_presence(AGENT)
    assert state is not None
    return state


@pytest.mark.parametrize("order", list(permutations((FROM_FILE, FROM_TELEMETRY, STOP))))
def test_duplicate_completion_keeps_its_facts(
    manager: PresenceManager, order: tuple[Event, ...]
) -> None:
    """Context and branch are in the file only, which the server reads at any time."""
    manager.ingest([event(1, "prompt", "claude-hook", event_id="p1")])
    for each in order:
        manager.ingest([each])
    state = presence(manager)
    assert (state.context_tokens, state.branch, state.cwd) == (903, "feat/cart", "/home/user/shop")
    assert (state.total_cost_tokens, state.detail, state.agent_kind) == (912, "done", "claude")


def test_duplicate_read_again_adds_nothing(manager: PresenceManager) -> None:
    """A server that starts again reads the files from their start."""
    later = completion(8, "claude-session", "req_2", context_tokens=1_500, branch="feat/pay")
    for batch in ([FROM_TELEMETRY], [FROM_FILE], [later]):
        manager.ingest(batch)
    before, seq = presence(manager), manager.cursor.seq
    result = manager.ingest([FROM_FILE, later, FROM_TELEMETRY])
    assert (result.accepted, manager.cursor.seq) == (0, seq)
    assert presence(manager) == before
    assert (before.context_tokens, before.branch) == (1_500, "feat/pay")


def test_duplicate_of_a_prompt_keeps_its_title(manager: PresenceManager) -> None:
    """The hook knows the title; the session file may have reported the prompt before."""
    manager.ingest([event(1, "prompt", "claude-session", event_id="f1")])
    title = {"title": "Fix the cart", "extra": {"title_generated": True}}
    manager.ingest([event(1.2, "prompt", "claude-hook", event_id="h1", **title)])
    assert presence(manager).title == "Fix the cart"
    manager.ingest([event(1.2, "prompt", "claude-hook", event_id="h1", **title)])
    assert manager.cursor.seq == 2


def test_duplicate_of_an_earlier_session_adds_nothing(manager: PresenceManager) -> None:
    """Facts belong to the session that is shown."""
    manager.ingest([FROM_TELEMETRY])
    manager.ingest(
        [Event(agent_id=AGENT, session_id="other", event_type="prompt", timestamp=NOW, source="x")]
    )
    manager.ingest([FROM_FILE])
    assert presence(manager).context_tokens is None
