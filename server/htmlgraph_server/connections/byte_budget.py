"""One budget for the bytes of all connections that the server holds in memory.

These are bodies and messages that have not arrived completely, and responses that clients have not
read. Each connection has an account. When all accounts together pass the limit, the connections
with the most bytes are given up until an eighth of the budget is free, as Redis does with
``maxmemory-clients``: clients with few bytes are not refused because of others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class ByteBudget:
    """The accounts of all connections.

    Args:
        limit: maximum number of bytes.

    Attributes:
        used: current number of bytes; bytes that several accounts share count once.
        n_evicted: number of connections that were given up.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.n_evicted = 0
        self._accounts: dict[ByteAccount, None] = {}
        # Number of accounts that hold a shared object, by its id.
        self._holders: dict[int, int] = {}

    def open(self, evict: Callable[[], object]) -> ByteAccount:
        """Return a new account.

        Args:
            evict: gives up the connection and releases its bytes; called at most once.
        """
        return ByteAccount(self, evict)

    def _enforce(self) -> None:
        """Give up the largest accounts."""
        target = self.limit - self.limit // 8
        for account in sorted(self._accounts, key=self._size, reverse=True):
            if self.used <= target:
                return
            if account.is_pinned:
                continue
            self.n_evicted += 1
            logger.warning(
                "connections hold %d bytes, more than --max-buffered-bytes: "
                "giving up one that holds %d",
                self.used,
                account.n_bytes,
            )
            account.evict()

    def _size(self, account: ByteAccount) -> float:
        shared = sum(len(data) / self._holders[id(data)] for data in account.shared)
        return account.n_bytes - sum(map(len, account.shared)) + shared


class ByteAccount:
    """The bytes of one connection.

    Attributes:
        n_bytes: current number of bytes, shared ones included.
        shared: objects that other connections may hold, too.
        is_pinned: whether the bytes are being processed: giving them up would free nothing.
    """

    __slots__ = ("_budget", "_evict", "is_pinned", "n_bytes", "shared")

    def __init__(self, budget: ByteBudget, evict: Callable[[], object]) -> None:
        self._budget = budget
        self._evict: Callable[[], object] | None = evict
        self.n_bytes = 0
        self.shared: list[bytes] = []
        self.is_pinned = False

    def add(self, n_bytes: int) -> None:
        """Count further bytes; this may give up this or another connection."""
        budget = self._budget
        if not self.n_bytes:
            budget._accounts[self] = None
        self.n_bytes += n_bytes
        budget.used += n_bytes
        if budget.used > budget.limit:
            budget._enforce()

    def subtract(self, n_bytes: int) -> None:
        """Count bytes that were added as released."""
        n_bytes = min(n_bytes, self.n_bytes)
        self.n_bytes -= n_bytes
        self._budget.used -= n_bytes
        if not self.n_bytes:
            self._budget._accounts.pop(self, None)

    def hold(self, data: bytes) -> None:
        """Count an object that other accounts may hold, too; it counts once for the budget."""
        holders = self._budget._holders
        n_holders = holders.get(id(data), 0)
        holders[id(data)] = n_holders + 1
        self.shared.append(data)
        if not self.n_bytes:
            self._budget._accounts[self] = None
        self.n_bytes += len(data)
        if not n_holders:
            self._budget.used += len(data)
            if self._budget.used > self._budget.limit:
                self._budget._enforce()

    def release(self, data: bytes) -> None:
        """Release an object that was held."""
        for index, held in enumerate(self.shared):
            if held is data:
                del self.shared[index]
                self._forget(data)
                return

    def _forget(self, data: bytes) -> None:
        budget = self._budget
        self.n_bytes -= len(data)
        budget._holders[id(data)] -= 1
        if not budget._holders[id(data)]:
            del budget._holders[id(data)]
            budget.used -= len(data)
        if not self.n_bytes:
            budget._accounts.pop(self, None)

    def evict(self) -> None:
        """Release all bytes and give up the connection."""
        evict, self._evict = self._evict, None
        self.clear()
        if evict is not None:
            evict()

    def close(self) -> None:
        """Release all bytes, and forget the connection, which refers to this account, too.

        A cycle would keep both in memory until a garbage collection.
        """
        self._evict = None
        self.clear()

    def clear(self) -> None:
        """Release all bytes."""
        shared, self.shared = self.shared, []
        for data in shared:
            self._forget(data)
        self.subtract(self.n_bytes)
