"""Token counts of frameworks convert to the five kinds; concurrent runs get ids of their own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.integrations import run_ids
from htmlgraph_nb.integrations.run_ids import RunIds
from htmlgraph_nb.integrations.token_usage import (
    TokenCounts,
    langchain_terms,
    langchain_tokens,
    model_output_tokens,
    openai_terms,
    openai_tokens,
    usage_terms,
)

COUNTS = st.integers(0, 10**9)


def total(tokens: TokenCounts) -> int:
    """Return the sum of all kinds."""
    return sum(value or 0 for value in tokens.values())


@given(*[COUNTS] * 5)
def test_langchain_tokens_separates_cache_from_input(
    fresh: int, read: int, short: int, long: int, output: int
) -> None:
    """Cache reads and both kinds of cache writes are subtracted from the input."""
    usage = {
        "input_tokens": fresh + read + short + long,
        "output_tokens": output,
        "input_token_details": {
            "cache_read": read,
            "cache_creation": 0,
            "ephemeral_5m_input_tokens": short,
            "ephemeral_1h_input_tokens": long,
        },
    }
    tokens = langchain_tokens(usage)
    assert tokens["input_tokens"] == fresh
    assert (tokens.get("cache_write_5m_tokens") or 0) == short
    assert (tokens.get("cache_write_1h_tokens") or 0) == long
    assert total(tokens) == fresh + read + short + long + output


@given(*[COUNTS] * 4, st.booleans())
def test_openai_tokens_separates_cache_from_input(
    fresh: int, read: int, written: int, output: int, as_object: bool
) -> None:
    """The usage is an object or a mapping, with the names of either API."""
    details: Any = {"cached_tokens": read, "cache_write_tokens": written}
    whole = fresh + read + written
    usage: Any = {
        "prompt_tokens": whole,
        "completion_tokens": output,
        "prompt_tokens_details": details,
    }
    if as_object:
        usage = SimpleNamespace(
            input_tokens=whole,
            output_tokens=output,
            input_tokens_details=SimpleNamespace(**details),
        )
    tokens = openai_tokens(usage)
    assert (tokens["input_tokens"], tokens["output_tokens"]) == (fresh, output)
    assert total(tokens) == whole + output


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"token_usage": {"prompt_tokens": 10, "completion_tokens": 5}}, 15),
        ({"usage": {"input_tokens": 10, "cache_read_input_tokens": 7, "output_tokens": 5}}, 22),
        ({"usage": {"input_tokens": 10, "output_tokens": 5}}, 15),
        ({}, 0),
        (None, 0),
        ({"token_usage": "many"}, 0),
    ],
)
def test_model_output_tokens_of_vendor_usage(output: Any, expected: int) -> None:
    """Text models and older chat models return the usage of their vendor."""
    assert total(model_output_tokens(output)) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "a/b"]), st.sampled_from("xyz"), st.booleans(), st.booleans()
        ),
        max_size=30,
    )
)
def test_run_ids_are_unique_among_running(steps: list[tuple[str, str, bool, bool]]) -> None:
    """An id has at most one run at a time, and a waiting session keeps its id."""
    ids = RunIds()
    running: dict[str, str] = {}
    waiting: dict[str, str] = {}
    for name, session, ends, waits in steps:
        if ends and running:
            agent_id, ended_session = running.popitem()
            ids.release(agent_id, waiting=waits)
            if waits:
                waiting[agent_id] = ended_session
            continue
        agent_id, has_waited = ids.acquire(name, session)
        assert agent_id not in running
        assert has_waited == (waiting.pop(agent_id, None) is not None)
        running[agent_id] = session


def test_terms_are_those_of_the_response() -> None:
    """Each vendor reports them in its own place; a standard request has none."""
    standard = {"speed": None, "service_tier": None, "inference_geo": None}
    usage = {"speed": "fast", "inference_geo": "us", "server_tool_use": {"web_search_requests": 2}}
    fast = {**standard, "speed": "fast", "inference_geo": "us", "web_searches": 2}
    assert usage_terms(usage) == fast
    assert langchain_terms({"usage": usage}) == fast
    assert langchain_terms({"service_tier": "flex"})["service_tier"] == "flex"
    assert langchain_terms(None) == {**standard, "web_searches": None}
    assert openai_terms(SimpleNamespace(service_tier="priority"))["service_tier"] == "priority"
    assert openai_terms(SimpleNamespace(service_tier="default")) == standard
    assert openai_terms(None) == standard


def test_run_ids_return_id_to_waiting_session() -> None:
    """A waiting session gets its id back; another session gets a different one."""
    ids = RunIds()
    first, _ = ids.acquire("a", "one")
    ids.release(first, waiting=True)
    assert ids.acquire("a", "two") == ("a-2", False)
    assert ids.acquire("a", "one") == ("a", True)


def test_run_ids_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle ids are forgotten first; a running one is kept."""
    monkeypatch.setattr(run_ids, "MAX_RUN_IDS", 20)
    ids = RunIds()
    running, _ = ids.acquire("running", "s")
    for number in range(100):
        agent_id, _ = ids.acquire(f"a{number}", "s")
        ids.release(agent_id, waiting=False)
    assert len(ids._holders) <= 21
    assert ids.acquire("running", "t")[0] == f"{running}-2"


def test_run_ids_are_valid_agent_ids() -> None:
    """Names of any length and content become distinct valid ids."""
    ids = RunIds()
    agent_ids = {ids.acquire(name, "s")[0] for name in ("x" * 900, "x" * 901, "\0\ud800", "")}
    assert len(agent_ids) == 4
    assert all(0 < len(agent_id) <= 256 for agent_id in agent_ids)
