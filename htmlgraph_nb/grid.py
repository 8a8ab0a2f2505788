"""AgentGrid: the agents of a server as a live notebook widget.

It owns the widget's traits and its life; what is sent when is decided in feed.py.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
from IPython import get_ipython

from . import snapshot
from .bundle import agent_grid_module
from .client import Lease, PresenceClient, shared_client
from .connection import Connection
from .errors import ConfigError
from .feed import Feed, Feeder, Outlet, View
from .model import AgentPresence

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_RATE = 60.0
SETTLE_S = 1.0


def _static(name: str) -> str:
    # As text: with a path, anywidget holds every closed widget for ever.
    return (files(__package__) / "static" / name).read_text(encoding="utf-8")


class AgentGrid(anywidget.AnyWidget):
    """Shows the agents of a server and keeps them up to date, also while a cell runs.

    One thread of the kernel follows the server for all grids of the same address; no cell waits
    for it. Where no server answers, the grid says what was tried and what to type, and goes on
    trying. ``close()`` ends it; so does leaving ``with AgentGrid() as grid:``. A page that is
    reloaded while a cell runs shows the grid again when that cell ends; the server's own page in
    a browser does not depend on the kernel.

    Args:
        url: the server; None looks for one, as :class:`PresenceClient` does.
        token: the server's token; None: what is known for that server.
        max_rate: most updates of the page a second, above 0, up to 60.
        height: CSS length, or an int as pixels; None: as high as its cards.
        **kwargs: traits of every widget, as ``layout``.

    Attributes:
        url: the server's address; "" before the first connection where none was given.
        status: "connecting", "connected", "reconnecting", "closed", or "error" where the page
            cannot be reached; ``observe`` it. Observers run in a thread and must not block.
        state: what the page shows after a reload and in a saved notebook: epoch, seq, agents,
            connection, at. Written every few seconds if anything changed.

    Raises:
        ConfigError: the URL has another form or carries a secret, or ``max_rate`` or ``height``
            is out of its bounds.
    """

    _esm = agent_grid_module()
    _css = _static("agent_grid.css")

    url = traitlets.Unicode("", read_only=True).tag(sync=True)
    status = traitlets.Unicode("connecting", read_only=True)
    state = traitlets.Dict().tag(sync=True)
    max_rate = traitlets.Float(10.0)

    _stop: Callable[[], object] | None = None

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        max_rate: float = 10.0,
        height: str | int | None = None,
        **kwargs: Any,
    ) -> None:
        length = _css_length(height)
        _check_rate(max_rate)
        lease = shared_client(url, token)
        self._client: PresenceClient = lease.client
        self._trouble: str | None = None
        self._last: View | None = None
        try:
            self._client.wait_settled(SETTLE_S)
            super().__init__(state=self._view().to_state(), max_rate=max_rate, **kwargs)
        except BaseException:
            lease.release()
            raise
        if length is not None:
            self.layout.height = length
        self._show_connection(self._client.connection)
        self._start(lease)

    def _start(self, lease: Lease) -> None:
        self._outlet = _outlet_of(weakref.ref(self), self.max_rate)
        # Neither the client's callbacks nor the finalizer may hold the widget itself.
        ends = _follow(self._client, self._outlet)
        self._stop = weakref.finalize(self, _stop_feeding, self._outlet, ends, lease)
        self.on_msg(_on_message)
        _cells()
        _feeder.add(self._outlet)

    def __enter__(self) -> AgentGrid:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        view = self._view()
        return snapshot.summary(view.agents, view.connection)

    @property
    def agents(self) -> dict[str, AgentPresence]:
        """A copy of what is known now: agent_id → AgentPresence; after ``close()``: of then."""
        return dict(self._view().agents)

    @property
    def detail(self) -> str:
        """The connection in words: the address, or what was tried and what to type."""
        return self._view().connection.detail

    def to_frame(self) -> DataFrame:
        """Return the agents as a DataFrame, one row each, with the columns of load_presence."""
        from .history import presence_frame

        return presence_frame(list(self.agents.values()))

    def close(self) -> None:
        """Stop the updates, release the connection and remove the grid from the page. Idempotent.

        The agents stay as last known.
        """
        if self._stop is not None:
            stop, self._stop = self._stop, None
            view = self._view()
            closed = Connection("closed", view.at, "closed by its user", view.connection.url)
            self._last = View(view.agents, view.cursor, closed, view.at)
            stop()
            self.set_trait("status", "closed")
        super().close()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """Return the synced traits; asked for all, as a reloaded page does, ``state`` is of now."""
        found: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None and self._stop is not None:
            found["state"] = self._view().to_state()
        return found

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        view = self._view()
        data["text/plain"] = snapshot.summary(view.agents, view.connection)
        data["text/html"] = snapshot.table(view.agents, view.connection, view.at)
        return data, metadata

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
        agents, cursor, connection = self._client.snapshot()
        if self._trouble is not None:
            detail = f"{self._trouble}\n{connection.detail}"
            connection = replace(connection, state="reconnecting", detail=detail)
        return View(agents, cursor, connection, datetime.now(UTC))

    # The feeder's thread calls what follows.

    def _deliver(self, message: dict[str, Any]) -> None:
        self.send(message)
        if message["kind"] == "keyframe":
            self.state = message["state"]
        self._show_connection(self._client.connection)

    def _failed(self, error: Exception | None) -> None:
        if error is None:
            self._trouble = None
            self._show_connection(self._client.connection)
        else:
            self._trouble = f"the page cannot be reached: {type(error).__name__}: {error}"
            self.set_trait("status", "error")

    def _show_connection(self, connection: Connection) -> None:
        self.set_trait("url", connection.url)
        self.set_trait("status", connection.state)


def _outlet_of(grid_of: Callable[[], AgentGrid | None], max_rate: float) -> Outlet:
    def view() -> View:
        grid = grid_of()
        if grid is None:
            return View({}, None, Connection("closed"), datetime.now(UTC))
        return grid._view()

    def deliver(message: dict[str, Any]) -> None:
        grid = grid_of()
        if grid is not None:
            grid._deliver(message)

    def failed(error: Exception | None) -> None:
        grid = grid_of()
        if grid is not None:
            grid._failed(error)

    return Outlet(Feed(max_rate, time.monotonic()), view, deliver, failed)


def _follow(client: PresenceClient, outlet: Outlet) -> tuple[Callable[[], None], ...]:
    return (
        client.on_change(lambda changed, _: _feeder.tell(outlet, lambda feed: feed.note(changed))),
        client.on_connection(lambda _: _feeder.tell(outlet, lambda feed: feed.note_connection())),
    )


def _stop_feeding(outlet: Outlet, ends: tuple[Callable[[], None], ...], lease: Lease) -> None:
    for end in ends:
        end()
    _feeder.remove(outlet)
    lease.release()


def _on_message(grid: AgentGrid, content: Any, _: Any) -> None:
    # Jupyter may call this in a thread of its own, at the same time as a cell.
    if isinstance(content, dict) and content.get("kind") == "ping" and grid._stop is not None:
        now = time.monotonic()
        _feeder.tell(grid._outlet, lambda feed: feed.ping(now))


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


class CellWatch:
    """Knows whether a cell is running, from IPython's own events.

    Args:
        events: IPython's event manager; None outside of IPython, where no cell ever runs.
    """

    def __init__(self, events: Any) -> None:
        # Made inside of a running cell, whose end is the first thing that will be heard.
        self.busy = events is not None
        if events is not None:
            events.register("pre_execute", self._begin)
            events.register("post_execute", self._end)

    def _begin(self) -> None:
        self.busy = True

    def _end(self) -> None:
        self.busy = False


@cache
def _cells() -> CellWatch:
    shell = get_ipython()
    return CellWatch(None if shell is None else shell.events)


_feeder = Feeder(lambda: _cells().busy)
