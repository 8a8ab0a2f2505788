"""What the price of a completion depends on besides model and tokens, as fields of an event. Pure.

Speed, service tier and place of inference are None for a standard request. Other words are kept as
the API reports them, so that a request on unknown terms is not priced as a standard one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .fields import count, safe_keyword

MAX_CHARS = 64
_STANDARD_SPEEDS = frozenset({"standard", "normal", "default"})
_TIERS = {
    **dict.fromkeys("standard default auto on_demand traffic_type_unspecified".split()),
    # OpenAI renamed its priority processing to fast mode; the API takes both names.
    "fast": "priority",
    # The traffic types of the Gemini API.
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
}
_ANYWHERE = frozenset({"global", "not_available"})


def speed_of(value: object) -> str | None:
    """Return the speed of a request, such as "fast"; None: standard."""
    word = _word(value)
    return None if word in _STANDARD_SPEEDS else word


def service_tier_of(value: object) -> str | None:
    """Return the service tier of a request, such as "priority"; None: standard."""
    word = _word(value)
    return None if word is None else _TIERS.get(word, word)


def inference_geo_of(value: object) -> str | None:
    """Return where a request ran, such as "us"; None: anywhere."""
    word = _word(value)
    return None if word in _ANYWHERE else word


def web_searches_of(value: object) -> int | None:
    """Return the number of billed web searches; None if there is none."""
    return count(value) or None


def terms_of_usage(usage: Mapping[str, Any]) -> dict[str, str | None]:
    """Return speed, service_tier and inference_geo of a usage object of Anthropic's API."""
    return {
        "speed": speed_of(usage.get("speed")),
        "service_tier": service_tier_of(usage.get("service_tier")),
        "inference_geo": inference_geo_of(usage.get("inference_geo")),
    }


def _word(value: object) -> str | None:
    word = safe_keyword(value)
    return None if word is None else word[:MAX_CHARS].lower()
