"""AgentGrid: the agents of a server as a live notebook widget.

It owns the widget's traits and its life; what is sent when is decided in feed.py, and where the
agents come from is its source's affair: a server (live.py) or a stored history (replay.py).
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from ..client.connection_state import ConnectionState
from ..core.model import AgentPresence
from ..errors import ConfigError
from . import snapshot
from .alerts import Alert, Do, When
from .bundle import agent_grid_module
from .cell_tracker import cell_tracker, cell_watch, parent_message
from .data_source import DataSource
from .requests import answer_history
from .server_source import ServerSource
from .settings import (
    check_columns,
    check_filter,
    check_group,
    check_selected,
    check_sort,
    check_view,
)
from .sync import SyncThread, UpdateScheduler, View, WidgetSink

if TYPE_CHECKING:
    from pandas import DataFrame

    from .replay_grid import ReplayGrid

MAX_RATE = 60.0
_CHECKS: dict[str, Callable[[object], Any]] = {
    "view": check_view,
    "filter": check_filter,
    "sort": check_sort,
    "group_by": check_group,
    "columns": check_columns,
    "selected": check_selected,
}


def _static(name: str) -> str:
    # As text: with a path, anywidget holds every closed widget for ever.
    return (files("htmlgraph_nb") / "static" / name).read_text(encoding="utf-8")


class AgentGrid(anywidget.AnyWidget):
    """Shows the agents of a server and keeps them up to date, also while a cell runs.

    One thread of the kernel follows the server for all grids of the same address; no cell waits
    for it. Where no server answers, the grid says what was tried and what to type, and goes on
    trying. ``close()`` ends it; so does leaving ``with AgentGrid() as grid:``, and running the
    cell again that made it, in front ends that name the cell (JupyterLab, Notebook, VS Code). A
    page that is reloaded while a cell runs shows the grid again when that cell ends; the server's
    own page in a browser does not depend on the kernel.

    What the person at the page sets (search, filters, order, groups, columns, layout, selection)
    is in the traits of the same name, and setting a trait shows on the page. ``observe`` any of
    them; observers of what the page sets run when the kernel is free.

    A saved notebook shows the last state as a table. ``jupyter nbconvert --execute --to html``
    needs ``--ExecutePreprocessor.store_widget_state=False`` for that: with the widget's state in
    the file, a page that is offline shows neither. ``snapshot()`` shows everywhere.

    Args:
        url: the server; None looks for one, as :class:`PresenceClient` does.
        token: the server's token; None: what is known for that server.
        filter: which agents are shown: a text to search for, or a dict of "text" and of lists of
            values of status ("active", "idle", "offline", "waiting"), feature, session, project,
            model, host, agent and parent. Values of one key are alternatives; "" means none.
        sort: "attention" (who waits for a person first), "agent", "status", "activity", "since",
            "feature", "session", "project", "model", "tool", "tools", "tokens", "cost" or
            "errors"; a leading "-" reverses.
        group_by: "status", "feature", "session", "project", "model", "host" or "parent"; None:
            no groups.
        columns: of the table, in their order: agent, status, feature, tool, session, activity,
            tools, tokens, cost, model, project, host, errors, sparkline, since, reason, parent;
            None: a selection.
        view: "cards", "table" or "compact".
        max_rate: most updates of the page a second, above 0, up to 60.
        height: CSS length, or an int as pixels; None: as high as its cards.
        **kwargs: traits of every widget, as ``layout``.

    Attributes:
        url: the server's address; "" before the first connection where none was given.
        status: "connecting", "connected", "reconnecting", "closed", or "error" where the page
            cannot be reached; ``observe`` it. Observers run in a thread and must not block.
        view, filter, sort, group_by, columns: as the arguments; assign a new value, a change
            inside of the dict or list is not seen.
        selected: id of the agent whose details are open; None: none. ``observe`` it to drive other
            widgets.
        state: what the page shows after a reload and in a saved notebook: epoch, seq, agents,
            connection, at, activity. Written every few seconds if anything changed.

    Raises:
        ConfigError: the URL has another form or carries a secret, or an argument is out of its
            bounds; the text lists what is possible.
    """

    _esm = agent_grid_module()
    _css = _static("agent_grid.css")

    url = traitlets.Unicode("", read_only=True).tag(sync=True)
    status = traitlets.Unicode("connecting", read_only=True)
    state = traitlets.Dict().tag(sync=True)
    max_rate = traitlets.Float(30.0)
    # Of no type of traitlets', so that each value, None included, comes to _validate_setting.
    view: Any = traitlets.TraitType("cards").tag(sync=True)
    filter: Any = traitlets.TraitType().tag(sync=True)
    sort: Any = traitlets.TraitType("attention").tag(sync=True)
    group_by: Any = traitlets.TraitType(None).tag(sync=True)
    columns: Any = traitlets.TraitType(None).tag(sync=True)
    selected: Any = traitlets.TraitType(None).tag(sync=True)
    # The page knows it as "replay", which in Python is the way to make one.
    _replay = traitlets.Any(None).tag(sync=True)

    _stop: Callable[[], object] | None = None
    _own_layout: Any = None

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
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
            "filter": filter,
            "sort": sort,
            "group_by": group_by,
            "columns": columns,
            "view": view,
        }

        def live() -> DataSource:
            source = ServerSource(url, token)
            self._client = source.client
            return source

        self._open(live, settings, max_rate, height, kwargs)

    @classmethod
    def replay(
        cls, source: Any = None, *, speed: float = 60.0, token: str | None = None, **kwargs: Any
    ) -> ReplayGrid:
        """Return a grid that shows a stored history as if it happened now, at its start, paused.

        Args:
            source: a DataFrame as ``load_history`` returns it; or what ``load_history`` takes: a
                database file, a server's URL, or None to look for one.
            speed: seconds of history a second, above 0, up to 86400.
            token: of a server.
            **kwargs: arguments of ReplayGrid: since, until, limits, and those of the grid.

        Raises:
            InvalidEvent: the history is empty or lacks a column.
            ConfigError: an argument is out of its bounds.
            StoreError, ConnectError: as for ``load_history``.
        """
        from .replay_grid import ReplayGrid

        return ReplayGrid(source, speed=speed, token=token, **kwargs)

    def _open(
        self,
        make_source: Callable[[], DataSource],
        settings: Mapping[str, Any],
        max_rate: float,
        height: str | int | None,
        kwargs: Mapping[str, Any],
    ) -> None:
        """Check everything, then make the source and begin to feed the page."""
        checked = {name: _CHECKS[name](value) for name, value in settings.items()}
        if "selected" in kwargs:
            check_selected(kwargs["selected"])
        length = _css_length(height)
        _check_rate(max_rate)
        source = self._source = make_source()
        self._trouble: str | None = None
        self._last: View | None = None
        try:
            source.settle()
            state = self._view().to_state()
            super().__init__(state=state, max_rate=max_rate, **checked, **kwargs)
        except BaseException:
            source.close()
            raise
        self._own_layout = None if "layout" in kwargs else self.layout
        if length is not None:
            self.layout.height = length
        self._show_connection(source.connection)
        self._start(source)

    def _start(self, source: DataSource) -> None:
        self._outlet = _outlet_of(weakref.ref(self), self.max_rate)
        # Neither the source's callbacks nor the finalizer may hold the widget itself.
        self._ends = _follow(source, self._outlet)
        self._stop = weakref.finalize(self, _stop_feeding, self._outlet, self._ends, source)
        self.on_msg(_on_message)
        cell_watch()
        _feeder.add(self._outlet)
        cell_tracker.note(self, parent_message())

    def __enter__(self) -> AgentGrid:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        view = self._view()
        return snapshot.summary(view.agents, view.connection)

    @property
    def agents(self) -> dict[str, AgentPresence]:
        """A copy of what is known now: agent_id → AgentPresence; after ``close()``: of then.

        All agents, also those that the filter hides.
        """
        return dict(self._view().agents)

    @property
    def detail(self) -> str:
        """The connection in words: the address, or what was tried and what to type."""
        return str(self._view().connection.detail)

    def to_frame(self) -> DataFrame:
        """Return the agents as a DataFrame, one row each, with the columns of load_presence."""
        from ..history.load import presence_frame

        return presence_frame(list(self.agents.values()))

    def history(self, **filters: Any) -> DataFrame:
        """Return stored events of the grid's server, as ``load_history``; it waits for them.

        Args:
            **filters: those of ``load_history``: since, until, agents, sessions, tools, features,
                event_types, columns, limit.

        Raises:
            ServerNotFound: no server has been found so far.
            InvalidEvent, ConnectError: as for ``load_history``.
        """
        return self._source.history(**filters)

    def snapshot(self) -> snapshot.Snapshot:
        """Return the agents of this moment as a table that stays: it shows wherever HTML does."""
        view = self._view()
        return snapshot.Snapshot(
            snapshot.summary(view.agents, view.connection),
            snapshot.table(view.agents, view.connection, view.at),
        )

    def on_attention(self, callback: Do) -> Callable[[], None]:
        """Call ``callback(presence)`` when an agent begins to wait for a person.

        It is ``alert("attention", callback)``; see there.
        """
        return self.alert("attention", callback)

    def alert(
        self, when: When, do: Do, agents: str | Iterable[str] | None = None
    ) -> Callable[[], None]:
        """Call ``do(presence)`` each time that a condition begins to hold for an agent.

        It is called again only after the condition ceased to hold in between. For agents of whom
        it holds already it is called at once, in the caller's thread; later in the thread that
        follows the server, also while a cell runs, so it must be quick and must not wait for the
        kernel. What it raises is logged and ends nothing.

        Args:
            when: "attention" (waits for a person); "error" (each further error of an agent); a
                status, "active", "idle" or "offline"; a dict of budgets that must all be passed:
                tokens_over, cost_over (US dollars), tools_over, errors_over; or a function of an
                AgentPresence.
            do: called with the AgentPresence.
            agents: an agent's id or several: only these; None: all.

        Returns:
            A function that ends the alert. ``close()`` ends all.

        Raises:
            ConfigError: the condition cannot be read; the text lists what is possible.
        """
        alert, source = Alert(when, do, agents), self._source

        def look(changed: Iterable[str], known: Mapping[str, AgentPresence]) -> None:
            # What arrives before the first complete state is not news.
            alert.look(changed, known, first=source.connection.state == "connecting")

        end = source.on_change(look)
        self._ends.append(end)
        known = self._view().agents
        alert.look(list(known), known, first=True)
        return end

    def close(self) -> None:
        """Stop the updates, release the connection and remove the grid from the page. Idempotent.

        The agents stay as last known.
        """
        if self._stop is not None:
            stop, self._stop = self._stop, None
            view = self._view()
            closed = ConnectionState("closed", view.at, "closed by its user", view.connection.url)
            self._last = replace(view, connection=closed, activity=None)
            stop()
            self.set_trait("status", "closed")
        super().close()
        if self._own_layout is not None:
            self._own_layout.close()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Return the synced traits; asked for all, as a reloaded page does, ``state`` is of now."""
        found: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None and self._stop is not None:
            found["state"] = self._view().to_state()
        if "_replay" in found:
            found["replay"] = found.pop("_replay")
        return found

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        now = self.snapshot()
        data["text/plain"], data["text/html"] = now.text, now.html
        return data, metadata

    @traitlets.default("filter")
    def _no_filter(self) -> dict[str, Any]:
        return {}

    @traitlets.validate(*_CHECKS)
    def _validate_setting(self, proposal: Any) -> Any:
        return _CHECKS[proposal["trait"].name](proposal["value"])

    @traitlets.validate("max_rate")
    def _validate_max_rate(self, proposal: Any) -> float:
        return _check_rate(proposal["value"])

    @traitlets.observe("max_rate")
    def _set_rate(self, change: Any) -> None:
        if self._stop is not None:
            rate = change["new"]
            _feeder.tell(self._outlet, lambda feed: setattr(feed, "max_rate", rate))

    def _view(self) -> View:
        if self._last is not None:
            return self._last
        view = self._source.view()
        if self._trouble is None:
            return view
        detail = f"{self._trouble}\n{view.connection.detail}"
        connection = replace(view.connection, state="reconnecting", detail=detail)
        return replace(view, connection=connection)

    def _heard(self, kind: str, content: dict[str, Any]) -> None:
        """Take in a message of the page; Jupyter may call it beside a running cell."""
        if kind == "ping":
            now = time.monotonic()
            _feeder.tell(self._outlet, lambda feed: feed.ping(now))
        elif kind == "history":
            answer_history(content, self._source.recent, self.send)

    # The feeder's thread calls what follows.

    def _deliver(self, message: dict[str, Any]) -> None:
        self.send(message)
        if message["kind"] == "keyframe":
            self.state = message["state"]
        self._show_connection(self._source.connection)

    def _failed(self, error: Exception | None) -> None:
        if error is None:
            self._trouble = None
            self._show_connection(self._source.connection)
        else:
            self._trouble = f"the page cannot be reached: {type(error).__name__}: {error}"
            self.set_trait("status", "error")

    def _show_connection(self, connection: ConnectionState) -> None:
        self.set_trait("url", connection.url)
        self.set_trait("status", connection.state)


def _outlet_of(grid_of: Callable[[], AgentGrid | None], max_rate: float) -> WidgetSink:
    def view() -> View:
        grid = grid_of()
        if grid is None:
            return View({}, None, ConnectionState("closed"), datetime.now(UTC))
        return grid._view()

    def deliver(message: dict[str, Any]) -> None:
        grid = grid_of()
        if grid is not None:
            grid._deliver(message)

    def failed(error: Exception | None) -> None:
        grid = grid_of()
        if grid is not None:
            grid._failed(error)

    return WidgetSink(UpdateScheduler(max_rate, time.monotonic()), view, deliver, failed)


def _follow(source: DataSource, outlet: WidgetSink) -> list[Callable[[], None]]:
    source.on_whole(lambda: _feeder.tell(outlet, UpdateScheduler.request_snapshot))
    return [
        source.on_change(lambda changed, _: _feeder.tell(outlet, lambda feed: feed.note(changed))),
        source.on_connection(lambda _: _feeder.tell(outlet, UpdateScheduler.note_connection)),
    ]


def _stop_feeding(outlet: WidgetSink, ends: list[Callable[[], None]], source: DataSource) -> None:
    for end in ends:
        end()
    _feeder.remove(outlet)
    source.close()


def _on_message(grid: AgentGrid, content: Any, _: Any) -> None:
    if isinstance(content, dict) and grid._stop is not None:
        grid._heard(str(content.get("kind")), content)


def _check_rate(rate: float) -> float:
    if not isinstance(rate, int | float) or not 0 < rate <= MAX_RATE:
        raise ConfigError(f"max_rate is {rate!r}, expected updates a second, above 0, up to 60")
    return float(rate)


def _css_length(height: str | int | None) -> str | None:
    if height is None or isinstance(height, str):
        return height
    if isinstance(height, bool) or not isinstance(height, int) or height <= 0:
        raise ConfigError(f'height is {height!r}, expected pixels as 400, or CSS as "60vh"')
    return f"{height}px"


_feeder = SyncThread(lambda: cell_watch().busy)
