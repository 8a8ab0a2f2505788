"""BaseGrid: the traits, lifecycle and alerts that AgentGrid and ReplayGrid share.

``sync.py`` decides what is sent to the page and when. A :class:`DataSource` supplies the agents.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import anywidget
import traitlets

from ..client.connection_state import ConnectionState
from ..core.model import AgentPresence
from ..errors import ConfigError
from . import snapshot
from .alerts import Action, Condition, make_alert
from .bundle import agent_grid_module, agent_grid_styles
from .cell_tracker import cell_tracker, cell_watch, parent_message
from .data_source import DataSource
from .requests import handle_history_request, handle_viewed_request
from .settings import (
    check_columns,
    check_filter,
    check_group,
    check_names,
    check_selected,
    check_sort,
    check_view,
)
from .sync import SyncThread, UpdateScheduler, View, WidgetSink

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_RATE = 60.0
_ARGUMENTS = ("url", "token", "max_rate", "height")
_INHERITED = {"layout", "observe", "unobserve"}
"""Inherited names that users of a grid need."""
_CHECKS: dict[str, Callable[[object], Any]] = {
    "view": check_view,
    "filter": check_filter,
    "sort": check_sort,
    "group_by": check_group,
    "columns": check_columns,
    "selected": check_selected,
}


class BaseGrid(anywidget.AnyWidget):
    """Displays the agents of a data source.

    Args:
        make_source: returns the source; called after the other arguments are checked.
        filter, sort, group_by, columns, view, max_rate, height, **kwargs: as for AgentGrid.
    """

    # Text, because anywidget keeps every closed widget alive if it gets a path.
    _esm = agent_grid_module()
    _css = agent_grid_styles()

    url = traitlets.Unicode("", read_only=True).tag(sync=True)
    status = traitlets.Unicode("connecting", read_only=True)
    state = traitlets.Dict().tag(sync=True)
    max_rate = traitlets.Float(30.0)
    # Plain TraitType, so that every value, None included, reaches _validate_setting.
    view: Any = traitlets.TraitType("cards").tag(sync=True)
    filter: Any = traitlets.TraitType().tag(sync=True)
    sort: Any = traitlets.TraitType("attention").tag(sync=True)
    group_by: Any = traitlets.TraitType(None).tag(sync=True)
    columns: Any = traitlets.TraitType(None).tag(sync=True)
    selected: Any = traitlets.TraitType(None).tag(sync=True)
    # Sent to the page as "replay". In Python that name is AgentGrid's classmethod.
    _replay = traitlets.Any(None).tag(sync=True)

    _source: DataSource
    _stop: Callable[[], object] | None = None
    _own_layout: Any = None

    def __init__(
        self,
        make_source: Callable[[], DataSource],
        *,
        filter: str | Mapping[str, Any] | None = None,
        sort: str = "attention",
        group_by: str | None = None,
        columns: Sequence[str] | None = None,
        view: str = "cards",
        max_rate: float = 30.0,
        height: str | int | None = None,
        **kwargs: Any,
    ) -> None:
        settings = {
            "filter": check_filter(filter),
            "sort": check_sort(sort),
            "group_by": check_group(group_by),
            "columns": check_columns(columns),
            "view": check_view(view),
        }
        check_names(kwargs, {*_ARGUMENTS, *self.class_trait_names()})
        if "selected" in kwargs:
            check_selected(kwargs["selected"])
        css_height = _css_length(height)
        _check_rate(max_rate)
        source = self._source = make_source()
        self._error: str | None = None
        self._final_view: View | None = None
        try:
            source.settle()
            state = self._view().to_state()
            super().__init__(state=state, max_rate=max_rate, **settings, **kwargs)
        except BaseException:
            source.close()
            raise
        self._own_layout = None if "layout" in kwargs else self.layout
        if css_height is not None:
            self.layout.height = css_height
        self._show_connection(source.connection)
        self._start(source)

    def _start(self, source: DataSource) -> None:
        self._sink = _GridSink(self, source)
        self._stop = weakref.finalize(self, self._sink.stop)
        self.on_msg(_dispatch_message)
        cell_watch()
        _sync_thread.add(self._sink)
        cell_tracker.register(self, parent_message())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        view = self._view()
        return snapshot.summary_line(view.agents, view.connection)

    def __dir__(self) -> list[str]:
        """List the names of the grid for completion, without the inherited ones of all widgets."""
        own = {
            name for cls in type(self).__mro__ if issubclass(cls, BaseGrid) for name in vars(cls)
        }
        return [name for name in super().__dir__() if name[0] == "_" or name in own | _INHERITED]

    @property
    def agents(self) -> dict[str, AgentPresence]:
        """A copy of the current agents by id; after ``close()``, as last known.

        It includes agents that the filter hides.
        """
        return dict(self._view().agents)

    @property
    def detail(self) -> str:
        """The connection as text: the address, or the addresses tried and how to start a server."""
        return str(self._view().connection.detail)

    def to_frame(self) -> DataFrame:
        """Return the agents as a DataFrame, one row each, with the columns of load_presence."""
        from ..history.load import presence_frame

        return presence_frame(list(self.agents.values()))

    def history(self, **filters: Any) -> DataFrame:
        """Return stored events of the grid's server, as ``load_history``. Blocks.

        Args:
            **filters: as for ``load_history``: since, until, agents, sessions, tools, features,
                event_types, models, projects, hosts, branches, columns, limit.

        Raises:
            ServerNotFound: no server has been found so far.
            InvalidEvent, ConnectError: as for ``load_history``.
        """
        return self._source.history(**filters)

    def snapshot(self) -> snapshot.Snapshot:
        """Return the current agents as a static table. It displays wherever HTML does."""
        view = self._view()
        return snapshot.Snapshot(
            snapshot.summary_line(view.agents, view.connection),
            snapshot.html_table(view.agents, view.connection, view.at),
        )

    def on_attention(self, callback: Action) -> Callable[[], None]:
        """Call ``callback(presence)`` when an agent starts waiting for a person.

        Short for ``alert("attention", callback)``; see :meth:`alert`.
        """
        return self.alert("attention", callback)

    def alert(
        self, when: Condition, do: Action, agents: str | Iterable[str] | None = None
    ) -> Callable[[], None]:
        """Call ``do(presence)`` each time a condition becomes true for an agent.

        It is called again only after the condition was false in between. For agents that already
        meet the condition it is called at once, in the caller's thread. Later calls come from the
        thread that follows the server, also while a cell runs, so ``do`` must be quick and must
        not wait for the kernel. Exceptions are logged.

        Args:
            when: "attention" (waits for a person); "error" (each further error of an agent); a
                status, "active", "idle" or "offline"; a dict of budgets that must all be exceeded:
                tokens_over, cost_over (US dollars), tools_over, errors_over; or a function of an
                AgentPresence. Or a rule as in alerts.toml: ``{"kind": "waits", "for": "60s"}``.
            do: called with the AgentPresence; for a rule with the FiredAlert.
            agents: an agent id, or several, to watch; None: all.

        Returns:
            A function that removes the alert. ``close()`` removes all.

        Raises:
            ConfigError: the condition is invalid; the message lists the valid ones.
        """
        alert, source = make_alert(when, do, agents), self._source

        def check(changed: Iterable[str], presences: Mapping[str, AgentPresence]) -> None:
            # Errors in the first complete state are not new.
            alert.check(changed, presences, initial=source.connection.state == "connecting")

        unsubscribe = source.on_change(check)

        def remove() -> None:
            unsubscribe()
            alert.close()

        self._sink.unsubscribe.append(remove)
        current = self._view().agents
        alert.check(list(current), current, initial=True)
        return remove

    def close(self) -> None:
        """Stop the updates, release the connection and remove the grid from the page. Idempotent.

        The agents stay as last known.
        """
        if self._stop is not None:
            stop, self._stop = self._stop, None
            view = self._view()
            closed = ConnectionState("closed", view.at, "closed by its user", view.connection.url)
            self._final_view = replace(view, connection=closed, activity=None)
            stop()
            self.set_trait("status", "closed")
        super().close()
        if self._own_layout is not None:
            self._own_layout.close()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Return the synced traits. Without a key, as for a reloaded page, ``state`` is current."""
        traits: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None and self._stop is not None:
            traits["state"] = self._view().to_state()
        if "_replay" in traits:
            traits["replay"] = traits.pop("_replay")
        return traits

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        current = self.snapshot()
        data["text/plain"], data["text/html"] = current.text, current.html
        return data, metadata

    @traitlets.default("filter")
    def _default_filter(self) -> dict[str, Any]:
        return {}

    @traitlets.validate(*_CHECKS)
    def _validate_setting(self, proposal: Any) -> Any:
        return _CHECKS[proposal["trait"].name](proposal["value"])

    @traitlets.validate("max_rate")
    def _validate_max_rate(self, proposal: Any) -> float:
        return _check_rate(proposal["value"])

    @traitlets.observe("max_rate")
    def _set_max_rate(self, change: Any) -> None:
        if self._stop is not None:
            rate = change["new"]
            _sync_thread.update(self._sink, lambda scheduler: setattr(scheduler, "max_rate", rate))

    def _view(self) -> View:
        if self._final_view is not None:
            return self._final_view
        view = self._source.view()
        if self._error is None:
            return view
        detail = f"{self._error}\n{view.connection.detail}"
        connection = replace(view.connection, state="reconnecting", detail=detail)
        return replace(view, connection=connection)

    def _on_message(self, kind: str, content: dict[str, Any]) -> None:
        """Handle a message of the page. Jupyter may call this while a cell runs."""
        if kind == "ping":
            now = time.monotonic()
            _sync_thread.update(self._sink, lambda scheduler: scheduler.on_ping(now))
        elif kind == "history":
            handle_history_request(content, self._source.recent, self.send)
        elif kind == "viewed":
            handle_viewed_request(content, self._source.mark_viewed)

    # The sync thread calls the following methods.

    def _deliver(self, message: dict[str, Any]) -> None:
        self.send(message)
        if message["kind"] == "snapshot":
            self.state = message["state"]
        self._show_connection(self._source.connection)

    def _show_error(self, error: Exception | None) -> None:
        if error is None:
            self._error = None
            self._show_connection(self._source.connection)
        else:
            self._error = f"the page cannot be reached: {type(error).__name__}: {error}"
            self.set_trait("status", "error")

    def _show_connection(self, connection: ConnectionState) -> None:
        self.set_trait("url", connection.url)
        self.set_trait("status", connection.state)


class _GridSink(WidgetSink):
    """Connects a source to a grid.

    It holds the grid weakly: the source's callbacks and the finalizer must not keep it alive.

    Attributes:
        unsubscribe: functions that end the subscriptions to the source.
    """

    def __init__(self, grid: BaseGrid, source: DataSource) -> None:
        super().__init__(UpdateScheduler(grid.max_rate, time.monotonic()))
        self._grid = weakref.ref(grid)
        self._source = source
        source.on_reset(lambda: _sync_thread.update(self, UpdateScheduler.request_snapshot))
        self.unsubscribe = [
            source.on_change(self._on_change),
            source.on_connection(
                lambda _: _sync_thread.update(self, UpdateScheduler.on_connection)
            ),
        ]

    def _on_change(self, changed: Iterable[str], _: object) -> None:
        _sync_thread.update(self, lambda scheduler: scheduler.on_change(changed))

    def view(self) -> View | None:
        grid = self._grid()
        return None if grid is None else grid._view()

    def deliver(self, message: dict[str, Any]) -> None:
        grid = self._grid()
        if grid is not None:
            grid._deliver(message)

    def show_error(self, error: Exception | None) -> None:
        grid = self._grid()
        if grid is not None:
            grid._show_error(error)

    def stop(self) -> None:
        for unsubscribe in self.unsubscribe:
            unsubscribe()
        _sync_thread.remove(self)
        self._source.close()


def _dispatch_message(grid: BaseGrid, content: Any, _: Any) -> None:
    if isinstance(content, dict) and grid._stop is not None:
        grid._on_message(str(content.get("kind")), content)


def _check_rate(rate: float) -> float:
    if not isinstance(rate, int | float) or not 0 < rate <= MAX_RATE:
        raise ConfigError(
            f"max_rate must be > 0 and <= {MAX_RATE:g} (updates per second), got {rate!r}"
        )
    return float(rate)


def _css_length(height: str | int | None) -> str | None:
    if height is None or isinstance(height, str):
        return height
    if isinstance(height, bool) or not isinstance(height, int) or height <= 0:
        raise ConfigError(
            f'height: expected pixels, such as 400, or CSS, such as "60vh", got {height!r}'
        )
    return f"{height}px"


_sync_thread = SyncThread(lambda: cell_watch().busy)
