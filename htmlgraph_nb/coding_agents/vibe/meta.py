"""What Mistral Vibe writes about a session into ``meta.json``; see ``session``. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..fields import (
    amount,
    branch_name,
    count,
    identifier,
    label,
    mapping,
    mappings,
    string,
    timestamp,
    whole_path,
)


@dataclass(frozen=True, slots=True)
class Meta:
    """The content of a ``meta.json``; None or 0: unknown.

    Attributes:
        session: id of the session; ``parent``: of the one that it continues, forks or works for.
        title: the name that the user gave it; Vibe's own is the start of the first prompt.
        model: the model that is selected; ``window``: tokens at which Vibe compacts its context.
        prompt_tokens, completion_tokens: of all requests; those of the last one begin with last_.
        input_price, output_price: US dollars per million tokens, as Vibe estimates them.
        n_messages: number of lines of ``messages.jsonl`` when it was written.
    """

    session: str | None = None
    parent: str | None = None
    started_at: datetime | None = None
    written_at: datetime | None = None
    title: str | None = None
    branch: str | None = None
    cwd: str | None = None
    model: str | None = None
    window: int | None = None
    context_tokens: int | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    last_prompt_tokens: int = 0
    last_completion_tokens: int = 0
    input_price: float = 0.0
    output_price: float = 0.0
    n_messages: int = 0

    def cost_of(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return what tokens cost by Vibe's own prices; None if it knows none."""
        if not (self.input_price or self.output_price):
            return None
        millions = prompt_tokens * self.input_price + completion_tokens * self.output_price
        return millions / 1_000_000


def parse_meta(data: bytes) -> Meta | None:
    """Return the content of a ``meta.json``; None if it is no JSON object, as when half written."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return _meta_of(record) if isinstance(record, dict) else None


def _meta_of(record: Mapping[str, Any]) -> Meta:
    stats, config = mapping(record.get("stats")), mapping(record.get("config"))
    manual = record.get("title_source") == "manual"
    model = string(config.get("active_model")) or string(record.get("model"))
    return Meta(
        session=identifier(record.get("session_id")),
        parent=identifier(record.get("parent_session_id")),
        started_at=timestamp(record.get("start_time")),
        written_at=timestamp(record.get("end_time")),
        title=label(record.get("title")) if manual else None,
        branch=branch_name(record.get("git_branch")),
        cwd=whole_path(mapping(record.get("environment")).get("working_directory")),
        model=model,
        window=_window_of(config, model),
        context_tokens=count(stats.get("context_tokens")) or None,
        prompt_tokens=count(stats.get("session_prompt_tokens")) or 0,
        completion_tokens=count(stats.get("session_completion_tokens")) or 0,
        last_prompt_tokens=count(stats.get("last_turn_prompt_tokens")) or 0,
        last_completion_tokens=count(stats.get("last_turn_completion_tokens")) or 0,
        input_price=amount(stats.get("input_price_per_million")) or 0.0,
        output_price=amount(stats.get("output_price_per_million")) or 0.0,
        n_messages=count(record.get("total_messages")) or 0,
    )


def _window_of(config: Mapping[str, Any], model: str | None) -> int | None:
    for each in mappings(config.get("models")):
        if model is not None and each.get("alias") == model:
            own = count(each.get("auto_compact_threshold"))
            if own:
                return own
    return count(config.get("auto_compact_threshold")) or None


def shares(total: int, n: int) -> list[int]:
    """Return a number in ``n`` parts that are nearly equal and add up to it."""
    return [total * (part + 1) // n - total * part // n for part in range(n)]
