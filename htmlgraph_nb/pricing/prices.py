"""Costs of completions in US dollars: as reported, by custom prices, else by a price table.

The table is that of the installed package genai-prices; nothing is downloaded. Its prices are dated
and depend on the size of the request and, for some models, on the time of day. A completion costs
the price at its time (https://github.com/pydantic/genai-prices). ``price_rules`` adds what else the
price of a request depends on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.model import TOKEN_FIELDS
from ..core.timestamps import utc_now
from ..core.validation import shorten
from ..errors import InvalidEvent
from .genai_table import model_price_of, newest_change
from .model_price import DAY_MICROS, ModelPrice
from .price_rules import STANDARD, Terms, terms_of

Prices = Mapping[str, Mapping[str, float]]
"""Custom prices: model → kind of tokens → US dollars per million tokens."""

KINDS = tuple(name.removesuffix("_tokens") for name in TOKEN_FIELDS)
_MILLION = 1_000_000
_MAX_COUNTED = 1 << 20
"""Largest number of possible keys that are counted; of more, the keys are sorted."""
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Coded = tuple[npt.NDArray[np.integer[Any]], Any]


@dataclass(frozen=True, slots=True)
class PricedCompletions:
    """Costs of completions, and the source of the prices.

    Attributes:
        usd: cost of each completion; NaN if unknown.
        unknown_models: sorted names of models without a price, with the terms that have none, as in
            "gpt-5-nano (priority)".
        guessed_models: sorted names of models for which the table only has one whose name begins
            the same.
        source: result of ``price_table``.
        newest: time of the last completion that was priced by the table, microseconds since 1970
            UTC; None: there is none.
    """

    usd: _Floats
    unknown_models: list[str]
    guessed_models: list[str]
    source: dict[str, str | int]
    newest: int | None

    @classmethod
    def joined(cls, parts: Sequence[PricedCompletions]) -> PricedCompletions:
        """Return the costs of the completions of all parts, at least one, in their order."""
        return cls(
            np.concatenate([part.usd for part in parts]),
            sorted({model for part in parts for model in part.unknown_models}),
            sorted({model for part in parts for model in part.guessed_models}),
            parts[0].source,
            max((part.newest for part in parts if part.newest is not None), default=None),
        )


@dataclass(frozen=True, slots=True)
class Requests:
    """What else than model, time and tokens the price of each completion depends on.

    Attributes:
        terms: the different terms.
        codes: for each completion, the index of its terms in ``terms``.
        web_searches: numbers of billed web searches.
    """

    terms: Sequence[Terms]
    codes: npt.NDArray[np.integer[Any]]
    web_searches: _Ints

    @classmethod
    def standard(cls, n: int) -> Requests:
        """Return ``n`` standard requests without web searches."""
        return cls((STANDARD,), np.zeros(n, np.int8), np.zeros(n, np.int64))

    @classmethod
    def from_columns(
        cls, speed: _Coded, service_tier: _Coded, inference_geo: _Coded, web_searches: _Ints
    ) -> Requests:
        """Return the requests of events.

        Args:
            speed, service_tier, inference_geo: the fields of the events, as pairs of codes and
                names; code -1: none.
            web_searches: the same field; 0: none.
        """
        columns = (speed, service_tier, inference_geo)
        sizes = [len(names) + 1 for _, names in columns]
        keys = np.zeros(len(web_searches), np.int64)
        for (codes, _), size in zip(columns, sizes, strict=True):
            # Without names all codes are -1.
            if size > 1:
                keys = keys * size + codes + 1
        used, codes_of_terms = _unique(keys, math.prod(sizes))
        parts = np.unravel_index(used, sizes)
        names = [
            [None if code == 0 else str(values[code - 1]) for code in part.tolist()]
            for part, (_, values) in zip(parts, columns, strict=True)
        ]
        return cls(
            [terms_of(*each) for each in zip(*names, strict=True)], codes_of_terms, web_searches
        )


def price_completions(
    models: Sequence[str],
    codes: npt.NDArray[np.integer[Any]],
    timestamps: _Ints,
    kinds: _Ints,
    reported: _Floats,
    prices: Prices | None = None,
    requests: Requests | None = None,
) -> PricedCompletions:
    """Return the costs of completions.

    Args:
        models: names of models.
        codes: for each completion, the index of its model in ``models``; -1: unknown.
        timestamps: times of the completions, microseconds since 1970 UTC.
        kinds: token counts; one row for each of KINDS, one column for each completion.
        reported: reported costs, which take precedence; NaN if there is none.
        prices: custom prices, which take precedence over the table, whatever the terms of a
            request. ``input`` and ``output`` are required; a missing kind of cache costs the same
            as input; web searches cost nothing.
        requests: terms and web searches of the completions; None: standard requests without them.

    Raises:
        InvalidEvent: ``prices`` are invalid.
    """
    custom = {model: _custom_rates(model, given) for model, given in (prices or {}).items()}
    requests = requests or Requests.standard(len(codes))
    searches = requests.web_searches
    unpriced = np.isnan(reported) & ((kinds.sum(axis=0) > 0) | (searches > 0))
    # Pairs of a model and terms; the last ones for completions without a model.
    rows = np.flatnonzero(unpriced)
    n_terms = len(requests.terms)
    with_model = np.where(codes < 0, len(models), codes).astype(np.int64)
    used, positions = _unique(
        (with_model * n_terms + requests.codes)[rows], (len(models) + 1) * n_terms
    )
    pairs = [
        (models[pair // n_terms], requests.terms[pair % n_terms])
        for pair in used.tolist()
        if pair < len(models) * n_terms
    ]
    # One column for each set of rates, the first for pairs without a price.
    rates = [np.full((len(KINDS) + 2, 1), np.nan)]
    first = np.zeros(len(used), np.int64)
    guessed, in_table, changing = set(), np.zeros(len(used), np.bool_), []
    for position, (model, terms) in enumerate(pairs):
        priced = None if model in custom else model_price_of(model, terms)
        n_columns = sum(part.shape[1] for part in rates)
        if model in custom:
            first[position] = n_columns
            rates.append(np.concatenate(([0.0], custom[model] / _MILLION, [0.0]))[:, np.newaxis])
        elif priced is not None:
            first[position], in_table[position] = n_columns, True
            rates.append(np.array(priced.price.rates).T)
            if priced.is_guess:
                guessed.add(model)
            if len(priced.price.rates) > 1:
                changing.append((position, priced.price))
    columns = np.zeros(len(codes), np.int64)
    columns[rows] = first[positions]
    for position, price in changing:
        own = rows[positions == position]
        columns[own] += _rate_rows(price, timestamps[own], kinds[:-1, own].sum(axis=0))
    table = np.concatenate(rates, axis=1)
    usd = table[0, columns]
    for kind, rate in zip(kinds, table[1:-1], strict=True):
        usd += kind * rate[columns]
    has_rates = ~np.isnan(usd[rows])
    if searches.any():
        usd += np.where(searches > 0, searches * table[-1, columns], 0.0)
    is_unknown = np.isnan(usd[rows])
    missing = {
        f"{terms.label(model)}{note}"
        for note, unknown in (
            ("", is_unknown & ~has_rates),
            (" (web search)", is_unknown & has_rates),
        )
        for (model, terms), n in zip(
            pairs, np.bincount(positions[unknown], minlength=len(used)).tolist(), strict=False
        )
        if n
    }
    from_table = rows[in_table[positions] & ~is_unknown]
    return PricedCompletions(
        np.where(unpriced, usd, reported),
        sorted(missing),
        sorted(guessed),
        price_table(),
        int(timestamps[from_table].max()) if len(from_table) else None,
    )


def _unique(keys: _Ints, size: int) -> tuple[_Ints, npt.NDArray[np.integer[Any]]]:
    """Return the sorted different keys, and the position of each key among them.

    Args:
        keys: from 0 to ``size`` - 1.
    """
    if size > _MAX_COUNTED:
        used, positions = np.unique(keys, return_inverse=True)
        return used, positions.astype(np.int64)
    used = np.flatnonzero(np.bincount(keys, minlength=size)).astype(np.int64)
    table: npt.NDArray[np.integer[Any]] = np.zeros(
        size, np.int16 if len(used) < 2**15 else np.int32
    )
    table[used] = np.arange(len(used))
    return used, table[keys]


def _custom_rates(model: str, given: Mapping[str, float]) -> _Floats:
    example = '{"my-model": {"input": 3.0, "output": 15.0, "cache_read": 0.3}}'
    if not isinstance(given, Mapping) or not {"input", "output"} <= set(given) <= set(KINDS):
        raise InvalidEvent(
            f"prices: expected input, output and optionally {', '.join(KINDS[1:-1])} for "
            f"{shorten(model)}, got {shorten(str(given))}; example: {example}",
            "prices",
        )
    rates = np.array([given.get(kind, given["input"]) for kind in KINDS], object)
    if not all(type(rate) in (int, float) and 0 <= rate < np.inf for rate in rates):
        raise InvalidEvent(
            f"prices: expected US dollars per million tokens for {shorten(model)}, "
            f"got {shorten(str(given))}; example: {example}",
            "prices",
        )
    return rates.astype(np.float64)


def price_table() -> dict[str, str | int]:
    """Return the ``source``, ``version``, ``date`` and ``age_days`` of the price table.

    The date is that of its latest price change, as an ISO string, and the age the days since.
    """
    today = utc_now().date()
    newest = newest_change(today)
    return {
        "source": "genai-prices",
        "version": metadata.version("genai-prices"),
        "date": newest.isoformat(),
        "age_days": (today - newest).days,
    }


def _rate_rows(price: ModelPrice, timestamps: _Ints, inputs: _Ints) -> _Ints:
    """Return the row in ``rates`` of each completion, by its day, time of day and size."""
    size = np.searchsorted(np.array(price.sizes, np.int64), inputs, side="left")
    day = np.searchsorted(np.array(price.days, np.int64), timestamps, side="right")
    hour = np.searchsorted(np.array(price.times, np.int64), timestamps % DAY_MICROS, side="right")
    rows: _Ints = (day * (len(price.times) + 1) + hour) * (len(price.sizes) + 1) + size
    return rows
