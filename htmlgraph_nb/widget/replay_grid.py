"""ReplayGrid: an agent grid that is driven by stored history in place of a server."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pandas as pd

from ..core.roster import Limits
from ..core.timestamps import from_micros, to_micros, to_rfc3339
from ..core.validation import parse_time
from ..errors import ConfigError, InvalidEvent
from ..history.load import load_history, presence_frame
from ..pricing.prices import Prices
from ..replay.index import HistoryIndex
from ..replay.narrow import When, filter_frame, parse_when
from .base_grid import BaseGrid
from .replay_source import ReplaySource, check_speed


class ReplayGrid(BaseGrid):
    """Replays a stored history; made by AgentGrid.replay.

    All members of AgentGrid refer to the time shown: ``agents``, ``to_frame``, ``alert``,
    ``selected`` and so on. Statuses are those that the server stored. The replay is paused at the
    start until ``play()`` or its button starts it.

    Args:
        source: a DataFrame as ``load_history`` returns it, or what ``load_history`` takes.
        speed: seconds of history per second, above 0, up to 86400.
        since, until: as for ``load_history``; they also filter a DataFrame.
        token: of a server.
        limits: decide all statuses again with these timers; None: use the stored decisions.
        prices: as for ``token_costs``.
        filter, sort, group_by, columns, view, max_rate, height, **kwargs: as for AgentGrid.

    Raises:
        InvalidEvent: the history is empty or lacks a column, or a time cannot be read.
        ConfigError: an argument is out of its bounds.
        StoreError, ConnectError: as for ``load_history``.
    """

    _source: ReplaySource

    def __init__(
        self,
        source: Any = None,
        *,
        speed: float = 60.0,
        since: Any = None,
        until: Any = None,
        token: str | None = None,
        limits: Limits | None = None,
        prices: Prices | None = None,
        **kwargs: Any,
    ) -> None:
        checked = check_speed(speed)

        def stored() -> ReplaySource:
            frame = _frame_of(source, since, until, token)
            return ReplaySource(HistoryIndex(frame, limits, prices), checked)

        super().__init__(stored, **kwargs)
        self._source.on_playback(_weak_callback(self._show_playback))
        self._show_playback()

    @property
    def now(self) -> pd.Timestamp:
        """The time shown, UTC."""
        return pd.Timestamp(self._source.state()["at"])

    @property
    def playing(self) -> bool:
        """Whether it plays."""
        return self._source.playback.playing

    @property
    def speed(self) -> float:
        """Seconds of history a second, above 0, up to 86400; it can be set while it plays."""
        return self._source.playback.speed

    @speed.setter
    def speed(self, value: float) -> None:
        self._source.set_speed(check_speed(value))

    # The following return None: the last expression of a cell would draw a second grid.

    def play(self) -> None:
        """Play, from the start if it is at the end."""
        if self._stop is not None:
            self._source.play()

    def pause(self) -> None:
        """Pause."""
        self._source.pause()

    def at(self, when: When) -> None:
        """Show a time; a replay that plays continues from there.

        Args:
            when: ISO text as ``"2025-01-14 14:50"``, a datetime or a Timestamp; naive times are
                local.

        Raises:
            InvalidEvent: the time cannot be read, or is outside the history.
        """
        micros, playback = to_micros(parse_when(when)), self._source.playback
        if not playback.start <= micros <= playback.end:
            first, last = (to_rfc3339(from_micros(one)) for one in (playback.start, playback.end))
            raise InvalidEvent(
                f"when: expected a time from {first} to {last}, got {when!s}", "when"
            )
        self._source.seek(micros)

    def to_frame(self) -> pd.DataFrame:
        """Return the agents at the time shown, with the columns of load_presence."""
        index = self._source.index
        return presence_frame(index.presences(self._source.shown_state).values())

    def _on_message(self, kind: str, content: dict[str, Any]) -> None:
        if kind != "replay":
            super()._on_message(kind, content)
            return
        # After an invalid command the controls of the page are reset.
        try:
            self._apply_command(content)
        except (InvalidEvent, ConfigError):
            self._show_playback()

    def _apply_command(self, content: dict[str, Any]) -> None:
        if "speed" in content:
            self.speed = content["speed"]
        if "seek" in content:
            self._source.seek(to_micros(parse_time(content["seek"], "seek")))
        if content.get("play") is True:
            self.play()
        elif content.get("play") is False:
            self.pause()

    def _show_playback(self) -> None:
        if self._stop is not None:
            self._replay = self._source.state()


def _frame_of(source: Any, since: Any, until: Any, token: str | None) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        frame = source
        if "timestamp" in frame and (since is not None or until is not None):
            frame = filter_frame(frame, since=since, until=until)
    else:
        # A progress bar in a notebook is a widget, which would be left behind if the cell reruns.
        frame = load_history(source, since=since, until=until, progress=False, token=token)
    if not len(frame):
        raise InvalidEvent("source: expected events to replay, the history is empty")
    return frame


def _weak_callback(method: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls a bound method as long as its object exists."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        bound = reference()
        if bound is not None:
            bound()

    return call
