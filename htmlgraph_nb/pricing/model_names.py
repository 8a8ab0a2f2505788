"""Names of models as gateways, frameworks, telemetry and cloud platforms write them. Pure.

Sources of the forms: the documentation of LiteLLM (providers), Pydantic AI, LangChain, OpenRouter,
GitHub Copilot, Google Cloud and Amazon Bedrock; ``[1m]`` is Claude Code's mark of the large context
window (https://github.com/anthropics/claude-code/issues/63536).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class ModelName(NamedTuple):
    """The name of a model, and what the name says about the request.

    Attributes:
        text: the name without ``[1m]``, ``-fast`` and suffixes such as ``:batch``, that of a Claude
            model also without ``-thinking`` and the like, which cost the same.
        mode: "fast", "priority", "flex" or "batch" as in the name; None: it says nothing.
    """

    text: str
    mode: str | None


_MARKS = re.compile(r"\[[^\]]{0,16}\]")
_SAME_PRICE = re.compile(r"(?i)((?:^|[/:.])claude-[\w.@-]*?)(?:[-:](?:thinking|thought)|:beta)$")
_FAST = re.compile(r"(?i)((?:^|[/:.])(?:claude|gpt)-[\w.@-]*?)-fast(?=$|[-@]\d{8}$)")
_MODE_SUFFIX = re.compile(r"(?i):(batch|flex|priority|fast)$")

_GATEWAYS = frozenset(
    "litellm litellm_proxy litellm-proxy github-copilot github_copilot copilot openrouter vercel "
    "vercel_ai_gateway ai-gateway requesty portkey helicone kilo kilocode opencode cline roo zen "
    "llm_gateway models publishers chat responses messages invoke converse".split()
)
"""Prefixes that do not change the price: the model costs what its maker charges."""
_OWN_PRICES_LAST = frozenset({"github-copilot", "github_copilot", "copilot"})
"""Gateways whose list in the table has the models that its plans include at no price."""
_PROVIDERS = {
    re.compile(pattern): provider
    for pattern, provider in {
        r"anthropic(_text)?|claude([_-]code)?": "anthropic",
        r"(text-completion-)?openai([_-](chat|responses|codex))?|codex|chatgpt": "openai",
        r"google([_-](gla|vertex|genai|vertexai|gemini-cli))?|vertex([_-]?ai(_beta)?)?": "google",
        r"gemini(-cli)?": "google",
        r"azure([_-](ai|openai))?|foundry": "azure",
        r"x[_-]?ai|grok": "x-ai",
        r"mistral(ai)?": "mistral",
        r"fireworks([_-]ai)?": "fireworks",
        r"z[_-]?ai": "zai",
        r"deepseek": "deepseek",
        r"moonshotai": "moonshotai",
    }.items()
}
"""Form of a prefix → id of the provider in the table."""
_MAKERS = frozenset({"anthropic", "openai", "google"})
"""Providers whose API others offer, too, so that it also serves models of others."""
_ROUTE = re.compile(r":(free|online|nitro|floor|exacto)$")
"""OpenRouter's suffixes of a model for a route with a price of its own, or none in advance."""
_PREFIX = re.compile(r"([a-z0-9_.-]+)[/:](?=.)")
# Claude models cost more at a location of Google Cloud than globally; Google's own do not.
_LOCATION = re.compile(r"^projects/[^/]+/locations/(?:global/|[^/]+/(?=publishers/google/))")
_VERTEX_DATE = re.compile(r"@(\d{8})(?=$|:)")
_VERTEX_LATEST = re.compile(r"@(?:default|latest)$")
_CLAUDE = re.compile(r"claude-.")
_NUMBER_FIRST = re.compile(r"^claude-([4-9](?:-\d)?)-([a-z]+)")
_DOTTED = re.compile(r"(?<=\d)\.(?=\d)")

# Mythos 5 and 5.1 cost the same as Fable 5 and 5.1, and the table lacks them
# (https://platform.claude.com/docs/en/about-claude/pricing#model-pricing, September 2026).
_ALIAS = re.compile(r"^claude-mythos-(5|5-1)(?=$|-\d{8}$)")


def parse_name(model: str) -> ModelName:
    """Return the name of a model without the marks that gateways and agents add to it."""
    text = _MARKS.sub("", model.strip())
    mode = None
    if match := _MODE_SUFFIX.search(text):
        text, mode = text[: match.start()], match[1].lower()
    text, n = _FAST.subn(r"\1", _SAME_PRICE.sub(r"\1", text))
    return ModelName(text, "fast" if n else mode)


def references(name: str) -> Iterator[tuple[str, str | None]]:
    """Yield the names, each with its provider, under which a price list may contain a model.

    Args:
        name: as ``parse_name`` returns it.

    A name of Amazon Bedrock is only looked up there, because its regions have prices of their own.
    A prefix that is not known is taken for a provider, never dropped: a name behind it can be that
    of another model, or another price.
    """
    text = _LOCATION.sub("", name.lower())
    first, slash, offered = text.partition("/")
    if _ROUTE.search(text):
        yield text.removeprefix("openrouter/"), "openrouter"
        return
    yield name, None
    if slash and first not in _OWN_PRICES_LAST:
        yield offered, first
    if "anthropic." in text:
        # The form of AWS: us.anthropic.claude-opus-4-5-20251101-v1:0.
        yield text, "aws"
        return
    yield from _plain(text, None)
    provider = None
    while match := _PREFIX.match(text):
        prefix, text = match[1], text[match.end() :]
        if prefix not in _GATEWAYS:
            forms = (name for form, name in _PROVIDERS.items() if form.fullmatch(prefix))
            provider = next(forms, None)
            if provider is None:
                break
        yield from _plain(text, provider)
        # The provider behind a gateway.
        behind, slash, rest = text.partition("/")
        if slash and behind not in _GATEWAYS:
            yield rest, behind
    if first in _OWN_PRICES_LAST:
        yield offered, first


def _plain(text: str, provider: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield a name, and the same with dates and versions as its maker writes them."""
    dated = _VERTEX_LATEST.sub("", _VERTEX_DATE.sub(r"-\1", text))
    dashed = _DOTTED.sub("-", dated) if _CLAUDE.match(dated) else dated
    ordered = _NUMBER_FIRST.sub(r"claude-\2-\1", dashed)
    alias = _ALIAS.sub(r"claude-fable-\1", ordered)
    for form in dict.fromkeys((text, dated, dashed, ordered, alias)):
        yield form, provider
        if provider in _MAKERS:
            yield form, None
