"""ByteBudget: what is counted, and who is given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_server.connections.byte_budget import ByteAccount, ByteBudget


class Holder:
    """A connection with an account."""

    def __init__(self, budget: ByteBudget) -> None:
        self.account: ByteAccount = budget.open(self.evict)
        self.evicted = False

    def evict(self) -> None:
        """Note that the connection was given up."""
        assert not self.evicted
        self.evicted = True


def test_budget_gives_up_the_largest() -> None:
    """Small ones stay, and an eighth of the budget becomes free."""
    budget = ByteBudget(800)
    small, large, larger = (Holder(budget) for _ in range(3))
    for holder, n_bytes in ((small, 10), (large, 300), (larger, 480), (small, 20)):
        holder.account.add(n_bytes)
    assert (small.evicted, large.evicted, larger.evicted) == (False, False, True)
    assert (budget.used, budget.n_evicted) == (330, 1)


def test_budget_counts_shared_bytes_once() -> None:
    """A thousand connections that are sent the same state hold it once."""
    budget = ByteBudget(1_000)
    state = b"x" * 900
    holders = [Holder(budget) for _ in range(1_000)]
    for holder in holders:
        holder.account.hold(state)
    assert (budget.used, budget.n_evicted) == (900, 0)
    for holder in holders[1:]:
        holder.account.release(state)
    assert budget.used == 900
    holders[0].account.clear()
    assert budget.used == 0


def test_budget_spares_what_is_processed() -> None:
    """Giving up a body that is being parsed would free nothing."""
    budget = ByteBudget(1_000)
    pinned, other = Holder(budget), Holder(budget)
    pinned.account.add(900)
    pinned.account.is_pinned = True
    other.account.add(200)
    assert (pinned.evicted, other.evicted, budget.used) == (False, True, 900)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(["add", "subtract", "hold", "release", "clear"]),
            st.integers(0, 300),
        )
    )
)
def test_budget_returns_to_zero(steps: list[tuple[int, str, int]]) -> None:
    """It never passes its limit, is the sum of its accounts, and is 0 after their end."""
    budget = ByteBudget(1_000)
    holders = [Holder(budget) for _ in range(5)]
    shared = [bytes(size) for size in (100, 200, 300)]
    for index, action, n_bytes in steps:
        account = holders[index].account
        if action in ("hold", "release"):
            getattr(account, action)(shared[n_bytes % 3])
        elif action == "clear":
            account.clear()
        elif action == "add":
            account.add(n_bytes)
        else:
            own = account.n_bytes - sum(map(len, account.shared))
            account.subtract(min(n_bytes, own))
        held = {id(data): len(data) for h in holders for data in h.account.shared}
        own_bytes = sum(
            holder.account.n_bytes - sum(map(len, holder.account.shared)) for holder in holders
        )
        assert budget.used == own_bytes + sum(held.values()) <= 1_000
    for holder in holders:
        holder.account.clear()
    assert (budget.used, budget._accounts, budget._holders) == (0, {}, {})
