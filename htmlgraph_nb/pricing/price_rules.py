"""Prices that the table lacks, and the terms of a request that change its price. Pure.

The table of genai-prices has the standard prices and, for many models, those of fast, priority,
flex and batch requests. The rules here add what it lacks, each with its source. Where neither has a
price, the price is unknown: a request is never silently priced as a standard one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from .model_names import parse_name, references
from .model_price import Listing, ModelPrice, Rates

_INPUTS = slice(1, 5)
_OUTPUT = 5
_SEARCH = 6


class Terms(NamedTuple):
    """The terms of a request that its price depends on, normalized by ``terms_of``.

    Attributes:
        mode: "fast", "priority", "flex", "batch" or another word for it; None: standard.
        geo: where the model runs, if only there, such as "us"; None: anywhere.
    """

    mode: str | None = None
    geo: str | None = None

    def label(self, model: str) -> str:
        """Return the name of a model with these terms, as in "gpt-5-nano (priority)"."""
        geo = None if self.geo is None else f"{self.geo} only"
        terms = ", ".join(each for each in (self.mode, geo) if each is not None)
        return f"{model} ({terms})" if terms else model


STANDARD = Terms()
_STANDARD_WORDS = frozenset({"standard", "default", "auto", "normal", "on_demand", "none", ""})
_ANYWHERE = frozenset({"global", "not_available", "default", "none", ""})


class Rule(NamedTuple):
    """Price of a request, relative to a standard request for the same model.

    Attributes:
        mode: mode or geo of the request.
        provider, model: match ids in the table.
        factor: of the prices of all tokens.
    """

    mode: str
    provider: re.Pattern[str]
    model: re.Pattern[str]
    factor: float


def _rule(mode: str, provider: str, model: str, factor: float) -> Rule:
    return Rule(mode, re.compile(provider), re.compile(model), factor)


PRICE_RULES = (
    # Fast mode of Claude: input and output, with the multipliers of the cache on top. Opus 4.6 and
    # 4.7 cost 30 and 150 dollars while they were offered (Opus 4.7 until 2026-07-24), also above
    # 200,000 tokens six times the standard price of that time.
    # https://platform.claude.com/docs/en/about-claude/pricing#fast-mode-pricing
    # https://code.claude.com/docs/en/fast-mode
    _rule("fast", "", r"claude-(opus-4[.-][67]|4[.-][67]-opus)", 6.0),
    _rule("fast", "", r"claude-(opus-4[.-]8|4[.-]8-opus|(opus-5|5-opus)([.-]5)?)(?![.-]\d\b)", 2.0),
    _rule("fast", "", r"claude-(fable|mythos)-5[.-]2", 2.0),
    # Batches of Claude: all tokens at half the price, whatever the model and the platform.
    # https://platform.claude.com/docs/en/build-with-claude/batch-processing#pricing
    # https://aws.amazon.com/bedrock/pricing/
    _rule("batch", "", r"claude-.", 0.5),
    # Batches of OpenAI's models at OpenAI and Azure ("Global Batch").
    # https://developers.openai.com/api/docs/guides/batch
    # https://learn.microsoft.com/azure/ai-foundry/openai/how-to/batch
    _rule("batch", "^(openai|azure)$", r"^(gpt-|o\d)", 0.5),
    # Flex requests of Gemini 2 and 3; later models do not offer it.
    # https://ai.google.dev/gemini-api/docs/flex-inference
    _rule("flex", "^google$", r"^gemini-[23]", 0.5),
    # Inference in the US only: Claude Opus 4.6, Sonnet 4.6 and later. Earlier models refuse the
    # parameter. Names of Bedrock say their region themselves, and the table has its price.
    # https://platform.claude.com/docs/en/manage-claude/data-residency
    _rule("us", "^(?!aws$)", r"claude-[a-z]+-(4[.-][6-9]|[5-9](?!\d))", 1.1),
    _rule("us", "^(?!aws$)", r"claude-([a-z]+-)?[234]|claude-v", 1.0),
)

# Sonnet 4.5 and, from 2025-08-12, Sonnet 4 cost twice as much for input and 1.5 times as much for
# output above 200,000 tokens, also on Bedrock; the table has this only for Anthropic's Sonnet 4.5.
# https://platform.claude.com/docs/en/about-claude/pricing#long-context-pricing
# https://claude.com/blog/1m-context
_LONG_CONTEXT = re.compile(r"claude-(sonnet-4([.-][05])?|4-sonnet)(?=$|:|-v\d|-20\d{6}|-\d{4}-)")
_LONG_TOKENS = 200_000
_LONG_FACTORS = (1.0, *(2.0,) * 4, 1.5, 1.0)

# Anthropic's web search, and the same by other providers of its API.
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
_CLAUDE_SEARCH_USD = 0.01

_CLAUDE = re.compile(r"claude-.")

# Ends of a name that are no other model: dates, "latest", versions of a deployment, effort.
_SAME_MODEL = re.compile(
    r"([-@:._]?(latest|preview|exp|beta|thinking|default|v\d(:\d)?|\d{8}|\d{4}(-\d\d-\d\d)?|\d{3}|"
    r"\d\d-\d{2,4}))*"
)
_OTHER_VERSION = re.compile(r"[-.]\d{1,2}(?=$|[-@]\d{8}|[-@]\d{4}-\d\d-\d\d|[-.][a-z])")


class Priced(NamedTuple):
    """The prices of a model under certain terms.

    Attributes:
        price: NaN where the table has no price; the modes are those of ``Terms``.
        is_guess: whether the table has only a model whose name begins like this one.
    """

    price: ModelPrice
    is_guess: bool


Lookup = Callable[[str, "str | None"], "Listing | None"]
"""Returns the entry of the name of a model, given its provider or None."""


def is_claude(model: str) -> bool:
    """Return whether the id of a model in the table is one of Anthropic's."""
    return _CLAUDE.search(model) is not None


def terms_of(speed: str | None, service_tier: str | None, inference_geo: str | None) -> Terms:
    """Return the terms of a request by the fields of its event."""
    words = [
        word
        for each in (speed, service_tier)
        if each is not None and (word := each.strip().lower()) not in _STANDARD_WORDS
    ]
    geo = None if inference_geo is None else inference_geo.strip().lower()
    mode = ", ".join(dict.fromkeys(words)) or None
    return Terms(mode, None if geo in _ANYWHERE else geo)


def find_price(model: str, terms: Terms, lookup: Lookup) -> Priced | None:
    """Return the prices of a model under the terms of a request; None: unknown.

    Args:
        model: its name in any of the forms that ``model_names`` supports.
        terms: those of the request; the name can add a mode.
        lookup: looks up one form of the name.
    """
    text, named_mode = parse_name(model)
    if terms.mode is None:
        terms = terms._replace(mode=named_mode)
    listing = _listing(text, lookup)
    if listing is None:
        return None
    price = _complete(listing)
    rates = _rates_of_mode(listing, price, terms.mode)
    if rates is not None and terms.geo is not None:
        rates = _scaled(rates, _factor(listing, terms.geo))
    if rates is None:
        return None
    is_guess = _SAME_MODEL.fullmatch(listing.end) is None
    return Priced(_without_repetition(replace(price, rates=rates, modes=())), is_guess)


def _without_repetition(price: ModelPrice) -> ModelPrice:
    """Return the same prices without the days on which only those of other modes change."""
    n_cells = (len(price.times) + 1) * (len(price.sizes) + 1)
    blocks = [price.rates[i : i + n_cells] for i in range(0, len(price.rates), n_cells)]
    days, rates = [], [blocks[0]]
    for day, block in zip(price.days, blocks[1:], strict=True):
        # Unknown prices are NaN, which equals nothing.
        if repr(block) != repr(rates[-1]):
            days.append(day)
            rates.append(block)
    return replace(price, days=tuple(days), rates=tuple(row for block in rates for row in block))


def _listing(name: str, lookup: Lookup) -> Listing | None:
    for form, provider in references(name):
        listing = lookup(form, provider)
        if listing is not None and not _OTHER_VERSION.match(listing.end):
            return listing
    return None


def _complete(listing: Listing) -> ModelPrice:
    """Return the prices of an entry with those that the table lacks."""
    price = listing.price
    if not is_claude(listing.model):
        return price
    if _LONG_CONTEXT.search(listing.model) and not price.sizes:
        price = replace(
            price,
            sizes=(_LONG_TOKENS,),
            rates=_with_long_context(price.rates),
            modes=tuple((mode, _with_long_context(rates)) for mode, rates in price.modes),
        )
    return replace(price, rates=tuple(map(_with_search, price.rates)))


def _with_long_context(rates: Rates) -> Rates:
    return tuple(
        row
        for short in rates
        for row in (short, tuple(a * b for a, b in zip(short, _LONG_FACTORS, strict=True)))
    )


def _with_search(row: tuple[float, ...]) -> tuple[float, ...]:
    return (*row[:_SEARCH], _CLAUDE_SEARCH_USD) if math.isnan(row[_SEARCH]) else row


def _rates_of_mode(listing: Listing, price: ModelPrice, mode: str | None) -> Rates | None:
    if mode is None:
        return price.rates
    # The table knows such prices of the maker of the model only.
    modes = dict(price.modes) if listing.is_own else {}
    # OpenAI renamed its priority processing to fast mode (https://openai.com/api-fast-mode/).
    renamed = mode == "fast" and not is_claude(listing.model)
    names = ("fast", "priority") if renamed else (mode,)
    for name in names:
        if name in modes:
            searches = (row[_SEARCH] for row in price.rates)
            return tuple(
                (*row[:_SEARCH], search) for row, search in zip(modes[name], searches, strict=True)
            )
    return _scaled(price.rates, _factor(listing, mode))


def _factor(listing: Listing, mode: str) -> float | None:
    """Return the factor of the first rule for these terms; None: there is none."""
    return next(
        (
            rule.factor
            for rule in PRICE_RULES
            if rule.mode == mode
            and rule.provider.search(listing.provider)
            and rule.model.search(listing.model)
        ),
        None,
    )


def _scaled(rates: Rates, factor: float | None) -> Rates | None:
    """Return the rates with all prices of tokens multiplied; None without a factor."""
    if factor is None:
        return None
    return tuple((*(rate * factor for rate in row[:_SEARCH]), row[_SEARCH]) for row in rates)
