"""The price table of genai-prices, as it is installed: what a model cost at a time.

Nothing is fetched. It is loaded with the first question, because it takes a quarter of a second and
18 MB; ``load`` does it before one is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from math import inf
from operator import mul
from typing import Any

from .model import Event
from .times import EPOCH, utc_now


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """A model of the table.

    Attributes:
        name, provider: what the table knows it by.
        entry: the package's own description of it.
    """

    name: str
    provider: str | None
    entry: Any

    @property
    def limits(self) -> list[Any]:
        """What its prices depend on: days and times of day."""
        return limits_of(self.entry)

    @property
    def sizes(self) -> list[int]:
        """Tokens of input beyond which a request has other prices."""
        changes = self.entry.prices if isinstance(self.entry.prices, list) else [self.entry]
        return [
            tier.start
            for change in changes
            for price in vars(change.prices).values()
            for tier in getattr(price, "tiers", ())
        ]


def limits_of(entry: Any) -> list[Any]:
    """Return what the prices of a model of the package depend on."""
    changes = entry.prices if isinstance(entry.prices, list) else []
    return [change.constraint for change in changes if change.constraint is not None]


def load() -> None:
    """Load the table, so that no event waits for it."""
    listed("")


@cache
def listed(model: str) -> Listed | None:
    """Return the table's entry of a model; None where it has none."""
    for name, provider in _references(model):
        try:
            return Listed(name, provider, calculate(name, provider, EPOCH, {}).model)
        except LookupError:
            continue
    return None


def _references(model: str) -> Iterator[tuple[str, str | None]]:
    """Yield the names, with their provider, by which the table may know a model."""
    yield model, None
    provider, slash, name = model.partition("/")
    if slash:
        yield name, provider
    if "anthropic." in model:
        # As AWS writes them: us.anthropic.claude-opus-4-5-20251101-v1:0.
        yield model, "aws"


def calculate(model: str, provider: str | None, at: datetime, usage: Mapping[str, int]) -> Any:
    """Return the package's calculation of one request.

    Raises:
        LookupError: the table does not know the model.
    """
    from genai_prices import Usage, calc_price

    return calc_price(Usage(**usage), model, provider_id=provider, genai_request_timestamp=at)


def price_of(event: Event) -> float | None:
    """Return the US dollars of an answer that does not tell them itself.

    Returns:
        None where the model is not in the table, or the event tells no tokens by kind.
    """
    model = event.model
    fresh, output = event.input_tokens or 0, event.output_tokens or 0
    read = event.cache_read_tokens or 0
    short, long = event.cache_write_5m_tokens or 0, event.cache_write_1h_tokens or 0
    if model is None or not fresh + output + read + short + long:
        return None
    entry = listed(model)
    if entry is None:
        return None
    kinds = (fresh, read, short, long, output)
    most, rates = _flat_rates(entry)
    if fresh + read + short + long >= most:
        return _asked(entry, event.timestamp or utc_now(), kinds)
    return float(sum(map(mul, kinds, rates)))


@cache
def _flat_rates(entry: Listed) -> tuple[float, tuple[float, ...]]:
    """Return below how many tokens of input prices depend on nothing, and those of one token.

    The package takes long to answer, and it is asked for each event of a model.
    """
    most = min(entry.sizes, default=inf)
    many = min(entry.sizes, default=2_000_000) // 2
    if entry.limits or not many:
        return 0, (0.0,) * 5
    at = datetime(2025, 1, 1, tzinfo=UTC)
    units = [tuple(many if kind == place else 0 for kind in range(5)) for place in range(5)]
    return most, tuple(_asked(entry, at, unit) / many for unit in units)


def _asked(entry: Listed, at: datetime, kinds: tuple[int, ...]) -> float:
    fresh, read, short, long, output = kinds
    usage = {
        "input_tokens": fresh + read + short + long,
        "cache_read_tokens": read,
        "cache_write_tokens": short + long,
        "cache_write_5m_tokens": short,
        "cache_write_1h_tokens": long,
        "output_tokens": output,
    }
    told = {name: n for name, n in usage.items() if n or name in ("input_tokens", "output_tokens")}
    return float(calculate(entry.name, entry.provider, at, told).total_price)
