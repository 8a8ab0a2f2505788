"""Facts about an agent are right whichever source reports an event first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pandas as pd
import pytest

from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.history.load import load_history
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.columnar.sealing import seal
from tests.helpers.database_files import query_rows

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
def manager(database: str) -> Iterator[PresenceManager]:
    with PresenceManager(database, clock=lambda: NOW) as manager:
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


def tool(source: str, hashed: int | None = None, **fields: object) -> Event:
    """Return the end of a tool call, of which all sources have the same event id."""
    own = {"event_id": "toolu_1:PostToolUse", "tool_use_id": "toolu_1", "tool_name": "Bash"}
    return event(5, "tool_execute", source, input_hash=hashed, **{**own, **fields})


def hashes(manager: PresenceManager) -> list[int | None]:
    """Return the stored hashes of tool calls, as SQL and frames show them."""
    text = "SELECT input_hash FROM history WHERE tool_name = 'Bash' ORDER BY seq"
    found = [row[0] for row in query_rows(manager.db_path, text)]
    frame = load_history(manager.db_path, tools="Bash", columns=["input_hash"])
    assert [None if pd.isna(value) else value for value in frame["input_hash"]] == found
    return found


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", list(permutations((None, 7, 7))))
def test_duplicate_tool_call_keeps_its_hash(
    manager: PresenceManager, order: tuple[int | None, ...], together: bool
) -> None:
    """Telemetry has no hash; the first report that has one sets it."""
    sources = ("otlp", "claude-session", "claude-agent-sdk")
    calls = [tool(source, hashed) for source, hashed in zip(sources, order, strict=True)]
    for batch in [calls] if together else [[each] for each in calls]:
        manager.ingest(batch)
    assert hashes(manager) == [7]
    manager.ingest([tool("claude-hook", 8)])
    assert hashes(manager) == [7]


def test_duplicate_tool_call_of_sealed_history_keeps_its_hash(manager: PresenceManager) -> None:
    """A segment without the hash is replaced."""
    manager.ingest([tool("otlp"), *(event(n, "prompt", "sdk") for n in range(20))])
    seal(manager.db_path, segment_rows=5)
    manager.import_events([tool("claude-session", 7)], end=lambda _: [])
    assert hashes(manager) == [7]
    seal(manager.db_path, segment_rows=5)
    assert hashes(manager) == [7]


def test_duplicate_without_call_id_adds_its_hash_to_the_nearest_call(
    manager: PresenceManager,
) -> None:
    """Gemini CLI's sources have no common ids, so calls are counted."""
    own = {"tool_name": "Bash"}
    for n in (1, 2, 3):
        manager.ingest([event(n * 10, "tool_execute", "otlp", event_id=f"o{n}", **own)])
    for n in (2, 1):
        hook = event(n * 10 + 0.2, "tool_execute", "gemini-hook", event_id=f"h{n}", **own)
        manager.ingest([replace(hook, input_hash=n)])
    assert hashes(manager) == [1, 2, None]
