"""Names of models as gateways, frameworks, telemetry and cloud platforms write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.pricing.genai_table import model_price_of
from htmlgraph_nb.pricing.model_names import ModelName, parse_name, references


def costs_of(name: str) -> list[float] | None:
    """Return the costs of some requests to a model; None: its price is unknown."""
    priced = model_price_of(name)
    if priced is None:
        return None
    times = (to_micros(datetime(2026, month, 20, tzinfo=UTC)) for month in (2, 7, 10))
    counts = ((1_000, 2_000, 3_000, 4_000, 5_000), (250_000, 1, 2, 3, 4))
    return [priced.price.dollars(at, each, 1) for at in times for each in counts]


@pytest.mark.parametrize(
    ("name", "text", "mode"),
    [
        ("claude-opus-5", "claude-opus-5", None),
        ("claude-opus-5[1m]", "claude-opus-5", None),
        (" claude-opus-5[1m][beta] ", "claude-opus-5", None),
        ("claude-opus-4-8-fast", "claude-opus-4-8", "fast"),
        ("anthropic/claude-opus-5-fast-20260723", "anthropic/claude-opus-5-20260723", "fast"),
        ("GPT-5.5-FAST", "GPT-5.5", "fast"),
        ("anthropic/claude-opus-4.8:batch", "anthropic/claude-opus-4.8", "batch"),
        ("claude-opus-4-8[1m]-fast", "claude-opus-4-8", "fast"),
        ("claude-opus-5-thinking", "claude-opus-5", None),
        ("anthropic/claude-opus-5:beta", "anthropic/claude-opus-5", None),
        ("claude-3.7-sonnet-thought", "claude-3.7-sonnet", None),
        ("kimi-k2-thinking", "kimi-k2-thinking", None),
        ("grok-4-fast", "grok-4-fast", None),
        ("claude-fast-1", "claude-fast-1", None),
        ("", "", None),
    ],
)
def test_parse_name_removes_marks(name: str, text: str, mode: str | None) -> None:
    """The mark of a long context goes, and a mode in the name is returned beside it."""
    assert parse_name(name) == ModelName(text, mode)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("claude-opus-5[1m]", "claude-opus-5"),
        ("claude-opus-5-5[1m]", "claude-opus-5-5"),
        ("claude-sonnet-5-5[1m]", "claude-sonnet-5-5"),
        ("claude-opus-4@20250514", "claude-opus-4-20250514"),
        ("claude-opus-5-5@20260922", "claude-opus-5-5"),
        ("claude-opus-5@default", "claude-opus-5"),
        ("github-copilot/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("github_copilot/gpt-5.2", "gpt-5.2"),
        ("github_copilot/gpt-4.1", "gpt-4.1"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("projects/p/locations/eu/publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        (
            "projects/p/locations/global/publishers/anthropic/models/claude-opus-4-8",
            "claude-opus-4-8",
        ),
        ("google-gla:gemini-2.5-pro", "gemini-2.5-pro"),
        ("gemini/gemini-2.5-flash", "gemini-2.5-flash"),
        ("openai:gpt-5.2", "gpt-5.2"),
        ("openai/responses/gpt-5.2", "gpt-5.2"),
        ("anthropic:claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("Anthropic/Claude-Opus-5.5", "claude-opus-5-5"),
        ("anthropic/claude-fable-5.1", "claude-fable-5-1"),
        ("litellm_proxy/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("litellm_proxy/anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("litellm/openai/gpt-5.2", "gpt-5.2"),
        ("openai/openai/gpt-5.2", "gpt-5.2"),
        ("openai/claude-opus-4-8", "claude-opus-4-8"),
        ("litellm_proxy/vertex_ai/claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("vertex_ai/gemini-2.5-pro", "gemini-2.5-pro"),
        ("azure/gpt-5.2", "gpt-5.2"),
        ("azure_ai/claude-opus-4-8", "claude-opus-4-8"),
        ("bedrock/us.anthropic.claude-opus-4-8-v1:0", "us.anthropic.claude-opus-4-8-v1:0"),
        ("bedrock:us.anthropic.claude-opus-4-8-v1:0", "us.anthropic.claude-opus-4-8-v1:0"),
        (
            "litellm_proxy/bedrock/converse/us.anthropic.claude-opus-4-8-v1:0",
            "us.anthropic.claude-opus-4-8-v1:0",
        ),
        ("vercel/anthropic/claude-opus-4.8", "claude-opus-4-8"),
        ("claude-4.5-sonnet", "claude-sonnet-4-5"),
        ("anthropic/claude-4.8-opus-20260528", "claude-opus-4-8"),
        ("Claude-Opus-5[1M]", "claude-opus-5"),
        ("us.anthropic.claude-opus-5-5[1m]", "us.anthropic.claude-opus-5-5"),
        ("claude-opus-5-thinking[1m]", "claude-opus-5"),
        ("anthropic/claude-opus-5:thinking", "claude-opus-5"),
        ("claude-mythos-5", "claude-fable-5"),
        ("claude-mythos-5-1", "claude-fable-5-1"),
    ],
)
def test_references_find_the_plain_name(name: str, plain: str) -> None:
    """Each form costs as much as the plain name."""
    assert costs_of(plain) is not None
    assert costs_of(name) == costs_of(plain)


@pytest.mark.parametrize(
    "name",
    [
        "gpt-5.3-codex-spark",
        "codex-auto-review",
        "gemini-3.1-pro-high",
        "gemini-3.1-pro-low",
        "claude-opus-5-7",
        "claude-sonnet-4-5-5-20270101",
        "ollama/gpt-oss:20b",
        "somewhere/gpt-5",
        "azure/eu/gpt-5",
        "projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-4-8",
        "us.anthropic.claude-mythos-5",
        "claude-haiku-4-5-fast",
        "claude-opus-4-8:flex",
        "together_ai/deepseek-v3-unknown",
        "gemini-2.5-pro:free",
        "claude-opus-5:free",
        "anthropic/claude-sonnet-4.5:online",
        "deepseek-chat:nitro",
    ],
)
def test_references_of_other_models_find_nothing(name: str) -> None:
    """A name that may be another model, or another price, has no price."""
    assert costs_of(name) is None


def test_references_try_the_provider_first() -> None:
    """A provider with prices of its own comes before the maker of the model."""
    assert list(references("openrouter/anthropic/claude-opus-4.8"))[:2] == [
        ("openrouter/anthropic/claude-opus-4.8", None),
        ("anthropic/claude-opus-4.8", "openrouter"),
    ]


def test_references_of_bedrock_stay_there() -> None:
    """A region of Bedrock has prices of its own, so the plain name would be another price."""
    names = list(references("us.anthropic.claude-opus-4-8-v1:0"))
    assert names == [
        ("us.anthropic.claude-opus-4-8-v1:0", None),
        ("us.anthropic.claude-opus-4-8-v1:0", "aws"),
    ]


@pytest.mark.parametrize("prefix", ["", "openrouter/"])
def test_references_find_free_models_of_openrouter(prefix: str) -> None:
    """They cost nothing, unlike the model of the same name of its maker."""
    priced = model_price_of(f"{prefix}deepseek/deepseek-r1:free")
    assert priced is not None
    at = to_micros(datetime(2026, 7, 20, tzinfo=UTC))
    assert priced.price.dollars(at, (1_000, 2_000, 0, 0, 5_000), 0) == 0.0
