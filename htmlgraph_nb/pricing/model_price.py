"""Prices of models by time and size of the request, and the lookup of models by name.

The data is plain, so that another process can send it (see ``price_list``).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from operator import mul
from typing import Any, NamedTuple, TypeAlias

DAY_MICROS = 86_400_000_000
_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=-|:|$)")

Rates: TypeAlias = tuple[tuple[float, ...], ...]
"""US dollars per request, per token of each kind in the order of ``TOKEN_FIELDS``, and per web
search; NaN: unknown. One row for each combination of day, time of day and size."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Prices of completions of one model.

    Attributes:
        days: times at which prices change, microseconds since 1970 UTC.
        times: times of day at which prices change daily, microseconds since midnight UTC.
        sizes: numbers of input tokens above which other prices apply.
        rates: prices of standard requests; rows in the order of days, times of day and sizes.
        context_window: tokens that the model can read at once; None: unknown.
        modes: prices of other requests, as pairs of "fast", "priority", "flex" or "batch" and the
            rates in the order of ``rates``.
    """

    days: tuple[int, ...]
    times: tuple[int, ...]
    sizes: tuple[int, ...]
    rates: Rates
    context_window: int | None = None
    modes: tuple[tuple[str, Rates], ...] = ()

    def dollars(self, at: int, counts: Sequence[int], web_searches: int = 0) -> float:
        """Return the cost of a completion in US dollars; NaN if it is unknown.

        Args:
            at: time of the completion, microseconds since 1970 UTC.
            counts: tokens of each kind, in the order of ``TOKEN_FIELDS``.
            web_searches: number of billed web searches.
        """
        size = bisect_left(self.sizes, sum(counts[:-1]))
        time = bisect_right(self.times, at % DAY_MICROS)
        day = bisect_right(self.days, at)
        row = (day * (len(self.times) + 1) + time) * (len(self.sizes) + 1) + size
        request, *rates, search = self.rates[row]
        cost = sum(map(mul, counts, rates), request)
        return cost + web_searches * search if web_searches else cost


Clause: TypeAlias = "str | list[Clause] | dict[str, list[Clause]]"
"""A condition on lower-case text.

A string is an operator and an operand: ``=`` equals, ``^`` starts with, ``$`` ends with, ``*``
contains, ``~`` matches a regular expression. A list: any of them. ``{"all": […]}``: all of them."""


def matches(clause: Clause, text: str) -> bool:
    """Return whether a clause is true for lower-case text."""
    return unmatched_end(clause, text) is not None


def unmatched_end(clause: Clause, text: str) -> str | None:
    """Return the end of lower-case text that a clause says nothing about; None if it is false.

    It is empty unless the clause only says how the text starts.
    """
    if isinstance(clause, list):
        ends = (unmatched_end(part, text) for part in clause)
        return min((end for end in ends if end is not None), key=len, default=None)
    if isinstance(clause, dict):
        parts = [unmatched_end(part, text) for part in clause["all"]]
        known = [end for end in parts if end is not None]
        return min(known, key=len, default="") if len(known) == len(parts) else None
    kind, value = clause[0], clause[1:]
    match kind:
        case "=":
            is_true = text == value
        case "^":
            return text[len(value) :] if text.startswith(value) else None
        case "$":
            is_true = text.endswith(value)
        case "*":
            is_true = value in text
        case _:
            is_true = re.search(value, text) is not None
    return "" if is_true else None


class Listing(NamedTuple):
    """The entry of a price list for a name.

    Attributes:
        provider: id of the provider.
        model: id of the model in the list.
        price: its prices.
        end: end of the name that the list says nothing about.
        is_own: whether the provider has the model itself, not only as another provider's.
    """

    provider: str
    model: str
    price: ModelPrice
    end: str
    is_own: bool = True


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider of models.

    Attributes:
        id: name of the provider.
        provider_clause: matches other names of the provider; None: it has no other names.
        model_clause: matches names of its models that are used without a provider; None: none.
        fallbacks: ids of other providers whose models it also offers.
        models: clause on the name of a model, its id and prices; the first match counts.
    """

    id: str
    provider_clause: Clause | None
    model_clause: Clause | None
    fallbacks: tuple[str, ...]
    models: tuple[tuple[Clause, str, ModelPrice], ...]

    def find(self, name: str) -> Listing | None:
        """Return the entry of one of its own models; None: unknown model."""
        for clause, model, price in self.models:
            if (end := unmatched_end(clause, name)) is not None:
                return Listing(self.id, model, price, end)
        return None


class PriceList:
    """The prices of all models, looked up by the rules of genai-prices.

    Source of the rules: ``data_snapshot.py`` and ``types.py`` of that package
    (https://github.com/pydantic/genai-prices).

    Args:
        providers: all providers; the first match counts.
        changed: date of the latest price change.
    """

    def __init__(self, providers: Sequence[Provider], changed: date) -> None:
        self._providers = providers
        self._by_id = {provider.id: provider for provider in providers}
        self.changed = changed

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[Any]], changed: date) -> PriceList:
        """Return the list of these rows, as ``genai_table.rows`` yields them."""
        # Equal prices are shared to save memory.
        shared: dict[str, ModelPrice] = {}
        providers = []
        for name, provider_clause, model_clause, fallbacks, models in rows:
            offered = []
            for clause, model, *values in models:
                # Not the prices themselves: unknown ones, NaN, are never equal.
                key = repr(values)
                if key not in shared:
                    shared[key] = _price_of_row(*values)
                offered.append((clause, model, shared[key]))
            providers.append(
                Provider(name, provider_clause, model_clause, tuple(fallbacks), tuple(offered))
            )
        return cls(providers, changed)

    def find(self, model: str, provider_id: str | None = None) -> Listing | None:
        """Return the entry of a model; None: unknown model.

        Args:
            model: its name.
            provider_id: name of its provider; None: derived from the name of the model.
        """
        model = model.lower()
        via_litellm = provider_id is not None and provider_id.lower() == "litellm"
        first, slash, rest = model.partition("/")
        if via_litellm and slash and first and self._provider(first) is not None:
            provider_id, model = first, rest
        provider = None if provider_id is None else self._provider(provider_id)
        if provider is None and (provider_id is None or via_litellm):
            provider = self._provider_of(model)
        if provider is None:
            return None
        listing = self._offered(provider, model)
        dashed = with_dashes(model)
        if listing is not None or dashed == model:
            return listing
        return self._offered(provider, dashed)

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

    def _offered(self, provider: Provider, model: str) -> Listing | None:
        others = (self._by_id[name] for name in provider.fallbacks if name in self._by_id)
        found = (each.find(model) for each in (provider, *others))
        listing = next((listing for listing in found if listing is not None), None)
        if listing is None or listing.provider == provider.id:
            return listing
        return listing._replace(provider=provider.id, is_own=False)


def _price_of_row(
    days: list[int],
    times: list[int],
    sizes: list[int],
    rates: list[list[float]],
    window: int | None,
    modes: list[tuple[str, list[list[float]]]],
) -> ModelPrice:
    return ModelPrice(
        tuple(days),
        tuple(times),
        tuple(sizes),
        tuple(map(tuple, rates)),
        window,
        tuple((mode, tuple(map(tuple, of_mode))) for mode, of_mode in modes),
    )


def with_dashes(model: str) -> str:
    """Return the name with an ISO date, as in price lists: 2025-12-11 for 20251211."""
    return _COMPACT_DATE.sub(_iso_date, model)


def _iso_date(match: re.Match[str]) -> str:
    year, month, day = map(int, match.groups())
    try:
        return f"-{date(year, month, day)}"
    except ValueError:
        return match[0]
