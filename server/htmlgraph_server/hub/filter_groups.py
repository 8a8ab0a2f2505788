"""The clients grouped by equal filters, with an index from agents to the groups they concern."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.core.protocol import MATCH_ALL, Filter
from htmlgraph_nb.errors import CapacityError

from .clients import Client, FilterGroup

_INDEXED = (
    ("agents", "agent_id"),
    ("sessions", "session_id"),
    ("features", "current_feature_id"),
)
"""Lists of a filter and the fields that they select; the first that is set is indexed."""


class FilterGroups:
    """All groups of a hub. The group of MATCH_ALL always exists.

    Args:
        max_values: maximum number of values in all different filters together.
    """

    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._n_values = 0
        everything = FilterGroup(MATCH_ALL)
        self._groups: dict[Filter, FilterGroup] = {MATCH_ALL: everything}
        # Groups that every change may concern.
        self._unindexed: dict[FilterGroup, None] = {everything: None}
        self._index: dict[tuple[str, str], list[FilterGroup]] = {}

    def __iter__(self) -> Iterator[FilterGroup]:
        return iter(list(self._groups.values()))

    @property
    def filters(self) -> list[Filter]:
        """The different filters."""
        return list(self._groups)

    def check_room(self, filter_: Filter) -> None:
        """Check that there is room for a filter.

        Raises:
            CapacityError: the clients' filters would have too many values together.
        """
        if filter_ in self._groups or self._n_values + _n_values(filter_) <= self._max_values:
            return
        raise CapacityError(
            f"the filters of all dashboards have {self._n_values} values, and at most "
            f"{self._max_values} are allowed; send a shorter filter, or raise --max-filter-values",
            "too_many_filters",
        )

    def join(self, client: Client, filter_: Filter) -> FilterGroup:
        """Make a client a member of the group of a filter; return the group."""
        group = self._groups.get(filter_)
        if group is None:
            group = self._groups[filter_] = FilterGroup(filter_)
            self._n_values += _n_values(filter_)
            keys = _index_keys(filter_)
            if not keys:
                self._unindexed[group] = None
            for key in keys:
                self._index.setdefault(key, []).append(group)
        group.n_members += 1
        client.group = group
        return group

    def leave(self, client: Client) -> None:
        """Remove a client from its group, and the group with its last member."""
        group, client.group = client.group, None
        if group is None:
            return
        group.clients.pop(client, None)
        group.n_members -= 1
        if group.n_members or group.filter == MATCH_ALL:
            return
        del self._groups[group.filter]
        self._n_values -= _n_values(group.filter)
        self._unindexed.pop(group, None)
        for key in _index_keys(group.filter):
            groups = self._index[key]
            groups.remove(group)
            if not groups:
                del self._index[key]

    def concerned(
        self, before: AgentPresence | None, after: AgentPresence | None
    ) -> Iterable[FilterGroup]:
        """Return the groups whose filters may select an agent before or after a change."""
        index = self._index
        if not index:
            return self._unindexed
        groups = dict(self._unindexed)
        for presence in (before, after):
            if presence is not None:
                for name, field in _INDEXED:
                    found = index.get((name, getattr(presence, field)))
                    if found is not None:
                        groups.update(dict.fromkeys(found))
        return groups


def _n_values(filter_: Filter) -> int:
    return sum(len(getattr(filter_, name)) for name in Filter.__slots__)


def _index_keys(filter_: Filter) -> list[tuple[str, str]]:
    for name, _ in _INDEXED:
        values: frozenset[str] = getattr(filter_, name)
        if values:
            return [(name, value) for value in values]
    return []
