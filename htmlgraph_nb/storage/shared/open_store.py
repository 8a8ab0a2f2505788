"""Opens the store of a path or an address."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from ...core.timestamps import utc_now
from ..commit.write_queue import TransactionListener
from ..postgres.location import is_postgres
from ..store import Store
from ..transaction import Transaction
from .database_clock import DatabaseClock

if TYPE_CHECKING:
    from .postgres_store import PostgresStore

AnyStore: TypeAlias = "Store | PostgresStore"


def clock_for(location: str, clock: Callable[[], datetime]) -> Callable[[], datetime]:
    """Return the clock of a store: that of the database where servers share it.

    Args:
        clock: the clock of the caller; any but the system's is kept.
    """
    return DatabaseClock() if is_postgres(location) and clock is utc_now else clock


def open_any_store(
    location: str,
    listener: TransactionListener[Transaction],
    synchronous: str,
    clock: Callable[[], datetime],
) -> AnyStore:
    """Open a file, or a PostgreSQL database, for writing.

    Args:
        location: path or address.
        listener: called in every transaction.
        synchronous: of a file; PostgreSQL has its own setting.
        clock: what ``clock_for`` returned.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: it cannot be used.
    """
    if not is_postgres(location):
        return Store(location, listener, synchronous=synchronous)
    # psycopg is an extra.
    from .postgres_store import PostgresStore

    own = clock if isinstance(clock, DatabaseClock) else DatabaseClock()
    return PostgresStore(location, listener, own)
