"""Token counts of agent frameworks as this project's five kinds, pure.

Sources: ``UsageMetadata`` of langchain-core, ``Usage`` of openai-agents and the ``usage`` objects
of the OpenAI and Anthropic APIs. In the first three the input includes what was read from and
written to a cache, in Anthropic's it does not; everywhere the output includes reasoning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..coding_agents.claude.lines import tokens_of
from ..coding_agents.fields import count, mapping

TokenCounts = dict[str, int | None]


def langchain_tokens(usage: object) -> TokenCounts:
    """Return the counts of an AIMessage's ``usage_metadata``; {} where it tells none.

    An answer that LangChain's own cache gave is marked by a cost of 0: no model spent its tokens.
    """
    told = mapping(usage)
    if told.get("total_cost") == 0:
        return {}
    details = mapping(told.get("input_token_details"))
    long = count(details.get("ephemeral_1h_input_tokens")) or 0
    short = count(details.get("ephemeral_5m_input_tokens")) or 0
    # The count of all that was written is 0 where its parts are told.
    written = max(count(details.get("cache_creation")) or 0, short + long)
    return _counts(
        told.get("input_tokens"),
        details.get("cache_read"),
        (written - long, long),
        told.get("output_tokens"),
    )


def model_output_tokens(output: object) -> TokenCounts:
    """Return the counts of an LLMResult's ``llm_output``, of models that give no usage_metadata."""
    told = mapping(output)
    usage = mapping(told.get("usage"))
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
        return _known(tokens_of(usage))
    return openai_tokens(told.get("token_usage") or usage)


def openai_tokens(usage: object) -> TokenCounts:
    """Return the counts of a usage of OpenAI's APIs, object or mapping; {} where it tells none."""
    details = _first(usage, "input_tokens_details", "prompt_tokens_details")
    return _counts(
        _first(usage, "input_tokens", "prompt_tokens"),
        _first(details, "cached_tokens"),
        (count(_first(details, "cache_write_tokens")) or 0, 0),
        _first(usage, "output_tokens", "completion_tokens"),
    )


def total_of(tokens: Mapping[str, int | None]) -> int:
    """Return the sum of the kinds."""
    return sum(value for value in tokens.values() if value)


def _counts(whole: Any, read: Any, written: tuple[int, int], output: Any) -> TokenCounts:
    whole, read, output = count(whole), count(read), count(output)
    if whole is None and output is None:
        return {}
    cached = (read or 0) + sum(written)
    return _known(
        {
            "input_tokens": None if whole is None else max(0, whole - cached),
            "cache_read_tokens": read,
            "cache_write_5m_tokens": written[0] or None,
            "cache_write_1h_tokens": written[1] or None,
            "output_tokens": output,
        }
    )


def _known(tokens: TokenCounts) -> TokenCounts:
    return {name: value for name, value in tokens.items() if value is not None}


def _first(holder: object, *names: str) -> Any:
    for name in names:
        found = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        if found is not None:
            return found
    return None
