"""Token counts of frameworks as the five kinds, and the ids of agents that run at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.integrations import run_ids
from htmlgraph_nb.integrations.run_ids import RunIds
from htmlgraph_nb.integrations.token_usage import (
    langchain_tokens,
    model_output_tokens,
    openai_tokens,
    total_of,
)

COUNTS = st.integers(0, 10**9)


@given(*[COUNTS] * 5)
def test_langchains_input_holds_the_cache(
    fresh: int, read: int, short: int, long: int, output: int
) -> None:
    """Its parts are told apart, also where what was written is told by how long it is kept."""
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
    found = langchain_tokens(usage)
    assert found["input_tokens"] == fresh
    assert (found.get("cache_write_5m_tokens") or 0) == short
    assert (found.get("cache_write_1h_tokens") or 0) == long
    assert total_of(found) == fresh + read + short + long + output


@given(*[COUNTS] * 4, st.booleans())
def test_openais_input_holds_the_cache(
    fresh: int, read: int, written: int, output: int, as_object: bool
) -> None:
    """Whether it is told as an object or as a mapping, by the names of either API."""
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
    found = openai_tokens(usage)
    assert (found["input_tokens"], found["output_tokens"]) == (fresh, output)
    assert total_of(found) == whole + output


@pytest.mark.parametrize(
    ("output", "total"),
    [
        ({"token_usage": {"prompt_tokens": 10, "completion_tokens": 5}}, 15),
        ({"usage": {"input_tokens": 10, "cache_read_input_tokens": 7, "output_tokens": 5}}, 22),
        ({"usage": {"input_tokens": 10, "output_tokens": 5}}, 15),
        ({}, 0),
        (None, 0),
        ({"token_usage": "many"}, 0),
    ],
)
def test_older_models_tell_it_beside_the_answer(output: Any, total: int) -> None:
    """Text models and older chat models have their vendor's own usage."""
    assert total_of(model_output_tokens(output)) == total


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "a/b"]), st.sampled_from("xyz"), st.booleans(), st.booleans()
        ),
        max_size=30,
    )
)
def test_no_two_runs_share_an_id(steps: list[tuple[str, str, bool, bool]]) -> None:
    """Whatever begins and ends, an id has one run at a time, and a waiting one is kept free."""
    names = RunIds()
    running: dict[str, str] = {}
    waiting: dict[str, str] = {}
    for name, session, ends, waits in steps:
        if ends and running:
            agent_id, held = running.popitem()
            names.release(agent_id, waits=waits)
            if waits:
                waiting[agent_id] = held
            continue
        agent_id, waited = names.acquire(name, session)
        assert agent_id not in running
        assert waited == (waiting.pop(agent_id, None) is not None)
        running[agent_id] = session


def test_a_waiting_session_gets_its_id_back() -> None:
    """And another one does not get it."""
    names = RunIds()
    first, _ = names.acquire("a", "one")
    names.release(first, waits=True)
    assert names.acquire("a", "two") == ("a-2", False)
    assert names.acquire("a", "one") == ("a", True)


def test_the_ids_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rests is forgotten first, what runs keeps its id."""
    monkeypatch.setattr(run_ids, "MAX_NAMES", 20)
    names = RunIds()
    kept, _ = names.acquire("kept", "s")
    for number in range(100):
        agent_id, _ = names.acquire(f"a{number}", "s")
        names.release(agent_id, waits=False)
    assert len(names._holders) <= 21
    assert names.acquire("kept", "t")[0] == f"{kept}-2"


def test_ids_are_ids() -> None:
    """A name of any length and content becomes one that an event takes."""
    names = RunIds()
    found = {names.acquire(name, "s")[0] for name in ("x" * 900, "x" * 901, "\0\ud800", "")}
    assert len(found) == 4
    assert all(0 < len(one) <= 256 for one in found)
