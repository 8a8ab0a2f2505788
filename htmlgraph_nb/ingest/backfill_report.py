"""How far a backfill is, and what its sessions cost; printed by the child process as JSON lines."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..core.model import TARIFF_FIELDS, TOKEN_FIELDS, Event
from ..core.reducer import PriceFunction
from ..core.timestamps import from_micros, to_micros
from ..storage.database import open_reader, sqlite_errors

RECENT = timedelta(days=7)
_PRICED = ("model", *TOKEN_FIELDS, *TARIFF_FIELDS, "web_searches")
_SELECT = (
    f"SELECT timestamp, cost_tokens, cost_usd, {', '.join(_PRICED)} FROM history "
    "WHERE timestamp >= ? "
    "AND (cost_tokens IS NOT NULL OR cost_usd IS NOT NULL)"
)


@dataclass(slots=True)
class BackfillReport:
    """The progress of a backfill.

    Attributes:
        state: "running" or "done".
        days: age in days up to which files are read; None: all files.
        files, bytes: those to read; files_done, bytes_done: those that are read.
        sessions: agent → number of its sessions of these days, also of those imported before.
        events: number of events that were new.
        cost_7d_usd: known cost of the last seven days, in US dollars; None until the end.
        unpriced_7d_tokens: tokens of the last seven days without a known price.
        sessions_read: number of sessions among the files to read.
        first: whether no session file had been imported before.
    """

    state: str = "running"
    days: float | None = None
    files: int = 0
    files_done: int = 0
    bytes: int = 0
    bytes_done: int = 0
    sessions: dict[str, int] = field(default_factory=dict)
    events: int = 0
    cost_7d_usd: float | None = None
    unpriced_7d_tokens: int = 0
    sessions_read: int = 0
    first: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return asdict(self)


def known_cost(path: str, since: datetime, price: PriceFunction) -> tuple[float, int]:
    """Return the known cost since a time, and the tokens without a known price.

    Args:
        path: the database.
        since: a time with a time zone.
        price: returns the cost of events that report none.

    Raises:
        StoreError: the database cannot be read.
    """
    cost, unpriced = 0.0, 0
    with closing(open_reader(path)) as db, sqlite_errors(path):
        for micros, tokens, reported, *values in db.execute(_SELECT, (to_micros(since),)):
            fields = dict(zip(_PRICED, values, strict=True))
            event = Event(agent_id="", timestamp=from_micros(micros), **fields)
            known = price(event) if reported is None else reported
            if known is None:
                unpriced += tokens or 0
            else:
                cost += known
    return round(cost, 6), unpriced
