"""Convert token counts of agent frameworks to this project's five kinds. Pure functions.

Sources: ``UsageMetadata`` of langchain-core, ``Usage`` of openai-agents and the ``usage`` objects
of the OpenAI and Anthropic APIs. The input includes cache reads and writes in all but Anthropic's.
The output includes reasoning in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..coding_agents.claude.lines import tokens_of
from ..coding_agents.fields import count, mapping
from ..coding_agents.request_terms import terms_of_usage, web_searches_of

TokenCounts = dict[str, int | None]


def langchain_tokens(usage: object) -> TokenCounts:
    """Return the counts of an AIMessage's ``usage_metadata``; {} if it has none.

    A completion from LangChain's own cache has a cost of 0; it used no tokens.
    """
    metadata = mapping(usage)
    if metadata.get("total_cost") == 0:
        return {}
    details = mapping(metadata.get("input_token_details"))
    long = count(details.get("ephemeral_1h_input_tokens")) or 0
    short = count(details.get("ephemeral_5m_input_tokens")) or 0
    # The sum of the cache writes is 0 if its two parts are given.
    written = max(count(details.get("cache_creation")) or 0, short + long)
    return _counts(
        metadata.get("input_tokens"),
        details.get("cache_read"),
        (written - long, long),
        metadata.get("output_tokens"),
    )


def model_output_tokens(output: object) -> TokenCounts:
    """Return the counts of an LLMResult's ``llm_output``, for models without usage_metadata."""
    fields = mapping(output)
    usage = mapping(fields.get("usage"))
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
        return _known(tokens_of(usage))
    return openai_tokens(fields.get("token_usage") or usage)


def openai_tokens(usage: object) -> TokenCounts:
    """Return the counts of a usage of OpenAI's APIs, object or mapping; {} if it has none."""
    details = _first(usage, "input_tokens_details", "prompt_tokens_details")
    return _counts(
        _first(usage, "input_tokens", "prompt_tokens"),
        _first(details, "cached_tokens"),
        (count(_first(details, "cache_write_tokens")) or 0, 0),
        _first(usage, "output_tokens", "completion_tokens"),
    )


def langchain_terms(metadata: object) -> dict[str, Any]:
    """Return what else a price depends on, of an AIMessage's ``response_metadata``."""
    fields = mapping(metadata)
    usage = mapping(fields.get("usage"))
    own = {"service_tier": fields["service_tier"]} if "service_tier" in fields else {}
    return usage_terms({**usage, **own})


def usage_terms(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return what else a price depends on, of a usage object of Anthropic's API."""
    searches = mapping(usage.get("server_tool_use")).get("web_search_requests")
    return {**terms_of_usage(usage), "web_searches": web_searches_of(searches)}


def openai_terms(response: object) -> dict[str, Any]:
    """Return what else a price depends on, of a response of OpenAI's APIs."""
    return terms_of_usage({"service_tier": _first(response, "service_tier")})


def _counts(total_input: Any, read: Any, written: tuple[int, int], output: Any) -> TokenCounts:
    total_input, read, output = count(total_input), count(read), count(output)
    if total_input is None and output is None:
        return {}
    cached = (read or 0) + sum(written)
    return _known(
        {
            "input_tokens": None if total_input is None else max(0, total_input - cached),
            "cache_read_tokens": read,
            "cache_write_5m_tokens": written[0] or None,
            "cache_write_1h_tokens": written[1] or None,
            "output_tokens": output,
        }
    )


def _known(tokens: TokenCounts) -> TokenCounts:
    return {name: value for name, value in tokens.items() if value is not None}


def _first(source: object, *names: str) -> Any:
    """Return the first key or attribute that is not None."""
    for name in names:
        value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
        if value is not None:
            return value
    return None
