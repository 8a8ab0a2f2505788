"""What answers of a model cost by their time and size, and whose tariff a model's name means.

All of it is plain data, so that a process can be told it by another (see ``price_list``).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from operator import mul
from typing import Any, TypeAlias

DAY = 86_400_000_000
"""Microseconds."""
_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=-|:|$)")


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What answers of a model cost.

    Attributes:
        days: microseconds since 1970 UTC at which prices change.
        times: microseconds since midnight UTC at which they do so every day.
        sizes: tokens of input beyond which a request has other prices.
        rates: US dollars of a request as such and of one token of each kind, in the order of
            ``TOKEN_FIELDS``: a row for each size, within each time of day, within each day.
    """

    days: tuple[int, ...]
    times: tuple[int, ...]
    sizes: tuple[int, ...]
    rates: tuple[tuple[float, ...], ...]

    def dollars(self, at: int, counts: Sequence[int]) -> float:
        """Return what an answer costs.

        Args:
            at: when it was given, microseconds since 1970 UTC.
            counts: tokens by kind, in the order of ``TOKEN_FIELDS``.
        """
        size = bisect_left(self.sizes, sum(counts[:-1]))
        time = bisect_right(self.times, at % DAY)
        day = bisect_right(self.days, at)
        cell = (day * (len(self.times) + 1) + time) * (len(self.sizes) + 1) + size
        request, *rates = self.rates[cell]
        return sum(map(mul, counts, rates), request)


Clause: TypeAlias = "str | list[Clause] | dict[str, list[Clause]]"
"""A rule on lower-case text: ``=`` and the text, ``^`` and its begin, ``$`` and its end, ``*`` and
a part of it, ``~`` and a regular expression; a list: any of them; ``{"all": …}``: all of them."""


def matches(clause: Clause, text: str) -> bool:
    """Return whether a rule holds for lower-case text."""
    if isinstance(clause, list):
        return any(matches(one, text) for one in clause)
    if isinstance(clause, dict):
        return all(matches(one, text) for one in clause["all"])
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
    """Who answers with models.

    Attributes:
        id: its name.
        named: which other names mean it; None: no others.
        models_named: which names of models, told without a provider, mean one of its.
        fallbacks: ids of those whose models it has besides its own.
        models: of each, which names mean it and its tariff; the first that fits counts.
    """

    id: str
    named: Clause | None
    models_named: Clause | None
    fallbacks: tuple[str, ...]
    models: tuple[tuple[Clause, ModelPrice], ...]

    def find(self, model: str) -> ModelPrice | None:
        """Return the tariff of a model of its own."""
        return next((tariff for clause, tariff in self.models if matches(clause, model)), None)


class PriceList:
    """The tariffs of all models, found as genai-prices finds its models.

    Source of the rules: ``data_snapshot.py`` and ``types.py`` of that package
    (https://github.com/pydantic/genai-prices).
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = providers
        self._by_id = {provider.id: provider for provider in providers}

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[Any]]) -> PriceList:
        """Return the list that the rows of ``price_table.rows`` describe, a provider each."""
        known: dict[ModelPrice, ModelPrice] = {}
        providers = []
        for name, named, models_named, fallbacks, models in rows:
            tariffs = [
                ModelPrice(tuple(days), tuple(times), tuple(sizes), tuple(map(tuple, rates)))
                for _, days, times, sizes, rates in models
            ]
            offered = [
                (clause, known.setdefault(tariff, tariff))
                for (clause, *_), tariff in zip(models, tariffs, strict=True)
            ]
            providers.append(Provider(name, named, models_named, tuple(fallbacks), tuple(offered)))
        return cls(providers)

    def find(self, model: str) -> ModelPrice | None:
        """Return the tariff that a model's name means; None where it is in no list."""
        for name, provider in references(model):
            if (found := self._find(name.lower(), provider)) is not None:
                return found
        return None

    def _find(self, model: str, provider_id: str | None) -> ModelPrice | None:
        by_litellm = provider_id is not None and provider_id.lower() == "litellm"
        first, slash, rest = model.partition("/")
        if by_litellm and slash and first and self._provider(first) is not None:
            provider_id, model = first, rest
        provider = None if provider_id is None else self._provider(provider_id)
        if provider is None and (provider_id is None or by_litellm):
            provider = self._provider_of(model)
        if provider is None:
            return None
        found = self._offered(provider, model)
        dashed = _with_dashes(model)
        return found if found is not None or dashed == model else self._offered(provider, dashed)

    def _provider(self, name: str) -> Provider | None:
        name = name.lower().strip()
        named = (one for one in self._providers if one.named and matches(one.named, name))
        return self._by_id.get(name) or next(named, None)

    def _provider_of(self, model: str) -> Provider | None:
        rules = ((one, one.models_named) for one in self._providers)
        return next((one for one, rule in rules if model and rule and matches(rule, model)), None)

    def _offered(self, provider: Provider, model: str) -> ModelPrice | None:
        others = (self._by_id[name] for name in provider.fallbacks if name in self._by_id)
        found = (one.find(model) for one in (provider, *others))
        return next((tariff for tariff in found if tariff is not None), None)


def references(model: str) -> Iterator[tuple[str, str | None]]:
    """Yield the names, with their provider, by which a price list may know a model."""
    yield model, None
    provider, slash, name = model.partition("/")
    if slash:
        yield name, provider
    if "anthropic." in model:
        # As AWS writes them: us.anthropic.claude-opus-4-5-20251101-v1:0.
        yield model, "aws"


def _with_dashes(model: str) -> str:
    """Return the name with its date as lists write it: 2025-12-11 for 20251211."""
    return _COMPACT_DATE.sub(_dashed, model)


def _dashed(found: re.Match[str]) -> str:
    year, month, day = map(int, found.groups())
    try:
        return f"-{date(year, month, day)}"
    except ValueError:
        return found[0]
