"""Each token counts once, whatever reports it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.copilot.usage import Tokens, Usage

counts = st.integers(0, 10**9)
usages = st.builds(Tokens, counts, counts, counts, counts)
KEYS = ("inputTokens", "cacheReadTokens", "cacheWriteTokens", "outputTokens")


def metrics(tokens: Tokens, requests: int = 3) -> dict[str, Any]:
    """Return ``modelMetrics`` with totals."""
    values = (tokens.fresh + tokens.read + tokens.written, *tokens[1:])
    return {"m": {"usage": dict(zip(KEYS, values, strict=True)), "requests": {"count": requests}}}


def total(completions: list[dict[str, Any]]) -> Tokens:
    """Return the sum of completions."""
    names = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "output_tokens")
    return Tokens(*(sum(each[name] for each in completions) for name in names))


@given(usages, st.integers(0, 5_000))
def test_tokens_parts_are_together_the_whole(tokens: Tokens, limit: int) -> None:
    """They differ by one at most."""
    parts = tokens.parts(limit)
    assert Tokens(*map(sum, zip(*parts, strict=True))) == tokens if parts else not any(tokens)
    assert all(max(column) - min(column) <= 1 for column in zip(*parts, strict=True))


def test_tokens_of_inconsistent_counts_are_not_negative() -> None:
    """A cache larger than the input is cut."""
    assert Tokens.of({"inputTokens": 10, "cacheReadTokens": 8, "cacheWriteTokens": 5}) == (
        0,
        8,
        2,
        0,
    )
    assert Tokens.of({"inputTokens": -1, "outputTokens": "x"}) == (0, 0, 0, 0)


@given(st.lists(st.integers(1, 10**6), max_size=5), usages)
def test_usage_rest_completes_what_messages_reported(outputs: list[int], more: Tokens) -> None:
    """Messages and the rest are together the totals."""
    usage = Usage()
    reported = [usage.message("m", {"outputTokens": output}) for output in outputs]
    whole = Tokens(output=sum(outputs)).plus(more)
    rest = usage.rest(metrics(whole))
    assert total([*filter(None, reported), *rest]) == whole
    assert usage.rest(metrics(whole)) == [], "the same totals again"
    again = usage.rest(metrics(whole.plus(more)))
    assert total(again) == more


def test_usage_totals_that_decreased_count_from_zero() -> None:
    """Some version may begin again when a session is resumed."""
    usage = Usage()
    usage.rest(metrics(Tokens(100, 0, 0, 10)))
    assert total(usage.rest(metrics(Tokens(30, 0, 0, 4)))) == (30, 0, 0, 4)


def test_usage_parts_of_one_response_count_once() -> None:
    """Each of them has all tokens of the response."""
    usage = Usage()
    part = {"outputTokens": 7, "apiCallId": "a"}
    assert usage.message("m", part) is not None
    assert usage.message("m", part) is None
    assert usage.message("m", {**part, "apiCallId": "b"}) is not None


def test_usage_records_replace_messages() -> None:
    """A message after a record is not counted, one before it is not counted again."""
    usage = Usage()
    first = usage.message("m", {"outputTokens": 7})
    record = usage.record({"model": "m", "inputTokens": 10, "outputTokens": 7})
    assert usage.message("m", {"outputTokens": 9}) is None
    assert total([first or {}, record]) == (10, 0, 0, 7)
    assert usage.rest(metrics(Tokens(10, 0, 0, 7))) == []


def test_usage_compaction_is_in_no_total() -> None:
    """It does not lessen the rest."""
    usage = Usage()
    tokens = {"inputTokens": 9, "outputTokens": 1, "model": "m"}
    assert usage.compaction({"compactionTokensUsed": tokens}) is not None
    assert usage.compaction({}) is None
    assert total(usage.rest(metrics(Tokens(9, 0, 0, 1)))) == (9, 0, 0, 1)
