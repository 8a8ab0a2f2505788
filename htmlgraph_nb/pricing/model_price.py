"""Prices of models by time and size of the request, and the lookup of models by name.

The data is plain, so that another process can send it (see ``price_list``).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from operator import mul
from typing import Any, TypeAlias

DAY_MICROS = 86_400_000_000
_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=-|:|$)")


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Prices of completions of one model.

    Attributes:
        days: times at which prices change, microseconds since 1970 UTC.
        times: times of day at which prices change daily, microseconds since midnight UTC.
        sizes: numbers of input tokens above which other prices apply.
        rates: US dollars per request and per token of each kind, in the order of ``TOKEN_FIELDS``;
            one row for each combination of day, time of day and size, in this order.
        context_window: tokens that the model can read at once; None: unknown.
    """

    days: tuple[int, ...]
    times: tuple[int, ...]
    sizes: tuple[int, ...]
    rates: tuple[tuple[float, ...], ...]
    context_window: int | None = None

    def dollars(self, at: int, counts: Sequence[int]) -> float:
        """Return the cost of a completion in US dollars.

        Args:
            at: time of the completion, microseconds since 1970 UTC.
            counts: tokens of each kind, in the order of ``TOKEN_FIELDS``.
        """
        size = bisect_left(self.sizes, sum(counts[:-1]))
        time = bisect_right(self.times, at % DAY_MICROS)
        day = bisect_right(self.days, at)
        row = (day * (len(self.times) + 1) + time) * (len(self.sizes) + 1) + size
        request, *rates = self.rates[row]
        return sum(map(mul, counts, rates), request)


Clause: TypeAlias = "str | list[Clause] | dict[str, list[Clause]]"
"""A condition on lower-case text.

A string is an operator and an operand: ``=`` equals, ``^`` starts with, ``$`` ends with, ``*``
contains, ``~`` matches a regular expression. A list: any of them. ``{"all": […]}``: all of them."""


def matches(clause: Clause, text: str) -> bool:
    """Return whether a clause is true for lower-case text."""
    if isinstance(clause, list):
        return any(matches(part, text) for part in clause)
    if isinstance(clause, dict):
        return all(matches(part, text) for part in clause["all"])
    kind, value = clause[0], clause[1:]
    match kind:
        case "=":
            return text == value
        case "^":
            return text.startswith(value)
        case "$":
            return text.endswith(value)
        case "*":
            return value in text
    return re.search(value, text) is not None


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider of models.

    Attributes:
        id: name of the provider.
        provider_clause: matches other names of the provider; None: it has no other names.
        model_clause: matches names of its models that are used without a provider; None: none.
        fallbacks: ids of other providers whose models it also offers.
        models: clause on the name of a model → its prices; the first match counts.
    """

    id: str
    provider_clause: Clause | None
    model_clause: Clause | None
    fallbacks: tuple[str, ...]
    models: tuple[tuple[Clause, ModelPrice], ...]

    def find(self, model: str) -> ModelPrice | None:
        """Return the prices of one of its own models; None: unknown model."""
        return next((price for clause, price in self.models if matches(clause, model)), None)


class PriceList:
    """The prices of all models, looked up by the rules of genai-prices.

    Source of the rules: ``data_snapshot.py`` and ``types.py`` of that package
    (https://github.com/pydantic/genai-prices).
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = providers
        self._by_id = {provider.id: provider for provider in providers}

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[Any]]) -> PriceList:
        """Return the list of these rows, as ``genai_table.rows`` yields them."""
        # Equal prices are shared to save memory.
        shared: dict[ModelPrice, ModelPrice] = {}
        providers = []
        for name, provider_clause, model_clause, fallbacks, models in rows:
            prices = [
                ModelPrice(
                    tuple(days), tuple(times), tuple(sizes), tuple(map(tuple, rates)), window
                )
                for _, days, times, sizes, rates, window in models
            ]
            offered = [
                (clause, shared.setdefault(price, price))
                for (clause, *_), price in zip(models, prices, strict=True)
            ]
            providers.append(
                Provider(name, provider_clause, model_clause, tuple(fallbacks), tuple(offered))
            )
        return cls(providers)

    def find(self, model: str) -> ModelPrice | None:
        """Return the prices of a model by its name; None: unknown model."""
        for name, provider in references(model):
            if (price := self._find(name.lower(), provider)) is not None:
                return price
        return None

    def _find(self, model: str, provider_id: str | None) -> ModelPrice | None:
        via_litellm = provider_id is not None and provider_id.lower() == "litellm"
        first, slash, rest = model.partition("/")
        if via_litellm and slash and first and self._provider(first) is not None:
            provider_id, model = first, rest
        provider = None if provider_id is None else self._provider(provider_id)
        if provider is None and (provider_id is None or via_litellm):
            provider = self._provider_of(model)
        if provider is None:
            return None
        price = self._offered(provider, model)
        dashed = _with_dashes(model)
        return price if price is not None or dashed == model else self._offered(provider, dashed)

    def _provider(self, name: str) -> Provider | None:
        name = name.lower().strip()
        matching = (
            provider
            for provider in self._providers
            if provider.provider_clause and matches(provider.provider_clause, name)
        )
        return self._by_id.get(name) or next(matching, None)

    def _provider_of(self, model: str) -> Provider | None:
        if not model:
            return None
        clauses = ((provider, provider.model_clause) for provider in self._providers)
        matching = (provider for provider, clause in clauses if clause and matches(clause, model))
        return next(matching, None)

    def _offered(self, provider: Provider, model: str) -> ModelPrice | None:
        others = (self._by_id[name] for name in provider.fallbacks if name in self._by_id)
        prices = (each.find(model) for each in (provider, *others))
        return next((price for price in prices if price is not None), None)


def references(model: str) -> Iterator[tuple[str, str | None]]:
    """Yield the names, each with its provider, under which a price list may contain a model."""
    yield model, None
    provider, slash, name = model.partition("/")
    if slash:
        yield name, provider
    if "anthropic." in model:
        # The form of AWS: us.anthropic.claude-opus-4-5-20251101-v1:0.
        yield model, "aws"


def _with_dashes(model: str) -> str:
    """Return the name with an ISO date, as in price lists: 2025-12-11 for 20251211."""
    return _COMPACT_DATE.sub(_iso_date, model)


def _iso_date(match: re.Match[str]) -> str:
    year, month, day = map(int, match.groups())
    try:
        return f"-{date(year, month, day)}"
    except ValueError:
        return match[0]
