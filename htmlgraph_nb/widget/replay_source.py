"""Replay of a stored history: its clock, and its data source for a grid."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ..client.connection_state import ConnectionState
from ..core.model import AgentPresence
from ..core.protocol import Cursor
from ..core.roster import Limits
from ..core.timestamps import from_micros, to_micros, to_rfc3339
from ..errors import ConfigError
from ..history.load import presence_frame
from ..local_zone import Zone
from ..pricing.prices import Prices
from ..replay.index import HistoryIndex, ReplayState
from ..replay.narrow import When, event_json, filter_frame, parse_when
from .sync import View

STEP_S = 0.1
"""Seconds between two steps while a replay plays."""
NOTIFY_INTERVAL_S = 1.0
MAX_SPEED = 86_400.0


def presence_at(
    df: pd.DataFrame,
    when: When,
    limits: Limits | None = None,
    prices: Prices | None = None,
    tz: Zone = None,
) -> pd.DataFrame:
    """Return the presence of every agent at a time of a history.

    Args:
        df: stored events, as ``load_history`` returns them.
        when: ISO text, such as ``"2025-01-14 14:50"``, a datetime or a Timestamp; naive times are
            local.
        limits: decide all statuses again with these timers; None: use the stored decisions, and
            the timers of the server that stored them.
        prices: as for ``token_costs``. Without them costs are those of ``load_presence``.
        tz: time zone of the times in the result, as for ``load_history``.

    Returns:
        One row per agent, as ``load_presence``. context_source, compacted_at, detail_until, unseen
        and alive keep their defaults, because a history does not contain them, and context_window
        is missing unless the agent reported it.

    Raises:
        InvalidEvent: the frame, the time or the prices cannot be read.
    """
    index = HistoryIndex(df, limits, prices)
    return presence_frame(index.presences(index.at(to_micros(parse_when(when)))).values(), tz)


def check_speed(value: object) -> float:
    """Return a valid speed, else raise ConfigError."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < float(value) <= MAX_SPEED:  # type: ignore[arg-type]
        raise ConfigError(
            f"speed is {value!r}, expected seconds of history per second, above 0, up to 86400"
        )
    return float(value)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Playback:
    """The clock of a replay; immutable.

    Attributes:
        start, end: first and last time of the history, microseconds since 1970.
        micros: the time shown at ``since``.
        since: seconds of a monotonic clock.
        speed: seconds of history per second.
    """

    start: int
    end: int
    micros: int
    since: float = 0.0
    playing: bool = False
    speed: float = 60.0

    def at(self, now: float) -> int:
        """Return the time shown, microseconds since 1970; it stops at the end."""
        if not self.playing:
            return self.micros
        return min(self.end, self.micros + round((now - self.since) * self.speed * 1e6))

    def play(self, now: float) -> Playback:
        """Continue; from the start if it is at the end."""
        at = self.at(now)
        return replace(self, micros=self.start if at >= self.end else at, since=now, playing=True)

    def pause(self, now: float) -> Playback:
        """Stop at the time shown."""
        return replace(self, micros=self.at(now), since=now, playing=False)

    def seek(self, micros: int, now: float) -> Playback:
        """Go to a time, limited to the start and end of the history."""
        return replace(self, micros=max(self.start, min(self.end, micros)), since=now)

    def at_speed(self, speed: float, now: float) -> Playback:
        """Continue at another speed."""
        return replace(self, micros=self.at(now), since=now, speed=speed)


@dataclass(frozen=True, slots=True)
class _Shown:
    """The state, agents and cursor of one displayed time."""

    state: ReplayState
    agents: dict[str, AgentPresence]
    cursor: Cursor


class ReplaySource:
    """A history as the data source of a grid, until ``close``.

    One daemon thread advances it while it plays. Callbacks run in the thread that changes the time
    shown, one at a time.

    Args:
        index: the index of the history.
        speed: seconds of history per second.
        clock: monotonic seconds.
    """

    def __init__(
        self, index: HistoryIndex, speed: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.index = index
        self._clock = clock
        self.playback = Playback(index.start, index.end, index.start, speed=speed)
        # Held while seeking and notifying, so that callbacks run in order. Readers use ``_shown``,
        # which is replaced as a whole, without the lock.
        self._turn = threading.RLock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        epoch = secrets.token_hex(8)
        self._notified_at = clock()
        self._on_change: list[Callable[[set[str], Any], object]] = []
        self._on_reset: list[Callable[[], None]] = []
        self._on_playback: list[Callable[[], None]] = []
        noun = "event" if len(index.frame) == 1 else "events"
        self.connection = ConnectionState(
            "connected", None, f"replay of {len(index.frame):,} {noun}"
        )
        self._shown = _Shown(index.at(index.start - 1), {}, Cursor(epoch, 0))
        self._show(index.at(index.start))

    @property
    def shown_state(self) -> ReplayState:
        """The state of the index at the time shown."""
        return self._shown.state

    def settle(self) -> None:
        """Do nothing: all data is loaded."""

    def view(self) -> View:
        """Return the agents at the time shown."""
        shown = self._shown

        def activity() -> dict[str, Any]:
            return self.index.activity(shown.state)

        at = from_micros(shown.state.micros)
        return View(shown.agents, shown.cursor, self.connection, at, activity, replaying=True)

    def on_change(self, callback: Callable[[set[str], Any], object]) -> Callable[[], None]:
        """Call ``callback(changed_ids, agents)`` after changes; return a function to stop it."""
        self._on_change.append(callback)

        def unsubscribe() -> None:
            if callback in self._on_change:
                self._on_change.remove(callback)

        return unsubscribe

    def on_connection(self, callback: Callable[[ConnectionState], object]) -> Callable[[], None]:
        """Do nothing: the connection of a replay never changes."""
        return lambda: None

    def on_reset(self, callback: Callable[[], None]) -> None:
        """Call back after a jump, when a grid needs a snapshot."""
        self._on_reset.append(callback)

    def on_playback(self, callback: Callable[[], None]) -> None:
        """Call back when the playback changes, and every second while it plays."""
        self._on_playback.append(callback)

    def recent(self, agent_id: str, limit: int) -> list[dict[str, Any]]:
        """Return the last events of an agent up to the time shown, newest first."""
        events = self.index.recent(self.shown_state, agent_id, limit)
        return [event_json(row) for row in events.to_dict("records")]

    def mark_viewed(self, agent_id: str) -> None:
        """Do nothing: looking at the past changes nothing."""

    def history(self, **filters: Any) -> pd.DataFrame:
        """Return the events of the replay, filtered as by ``load_history``."""
        return filter_frame(self.index.frame, **filters)

    def play(self) -> None:
        """Play; from the start if it is at the end."""
        with self._turn:
            before = self.playback.at(self._clock())
            self.playback = self.playback.play(self._clock())
            if self.playback.micros < before:
                self._jump()
            if self._thread is None:
                self._wake.clear()
                self._thread = threading.Thread(
                    target=self._run, name="htmlgraph-replay", daemon=True
                )
                self._thread.start()
            self._notify_playback()

    def pause(self) -> None:
        """Stop at the time shown."""
        with self._turn:
            self.playback = self.playback.pause(self._clock())
            self._step()
            self._notify_playback()

    def seek(self, micros: int) -> None:
        """Show a time, microseconds since 1970."""
        with self._turn:
            self.playback = self.playback.seek(micros, self._clock())
            self._jump()
            self._notify_playback()

    def set_speed(self, speed: float) -> None:
        """Set the speed, in seconds of history per second."""
        with self._turn:
            self.playback = self.playback.at_speed(speed, self._clock())
            self._notify_playback()

    def state(self) -> dict[str, Any]:
        """Return the playback as the front end expects it; times are RFC 3339."""
        playback = self.playback
        return {
            "start": to_rfc3339(from_micros(playback.start)),
            "end": to_rfc3339(from_micros(playback.end)),
            "at": to_rfc3339(from_micros(playback.at(self._clock()))),
            "playing": playback.playing,
            "speed": playback.speed,
        }

    def close(self) -> None:
        """Stop the thread. Idempotent."""
        with self._turn:
            self.playback = self.playback.pause(self._clock())
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(STEP_S * 10)

    def _run(self) -> None:
        while not self._wake.wait(STEP_S):
            with self._turn:
                self._step()
                now = self._clock()
                if self.playback.playing and self.playback.at(now) >= self.playback.end:
                    self.playback = self.playback.pause(now)
                    self._step()
                    self._notify_playback()
                elif now - self._notified_at >= NOTIFY_INTERVAL_S:
                    self._notify_playback()
                if not self.playback.playing:
                    break
        with self._turn:
            # ``play`` may have been called since the loop ended.
            if self.playback.playing and not self._wake.is_set():
                self._thread = None
                self.play()
            else:
                self._thread = None

    def _step(self) -> None:
        changed = self._show(self.index.at(self.playback.at(self._clock())))
        if changed:
            for callback in list(self._on_change):
                callback(changed, self._shown.agents)

    def _jump(self) -> None:
        self._step()
        for callback in list(self._on_reset):
            callback()

    def _notify_playback(self) -> None:
        self._notified_at = self._clock()
        for callback in list(self._on_playback):
            callback()

    def _show(self, state: ReplayState) -> set[str]:
        """Show a time and return the ids of the agents that changed."""
        before = self._shown
        changed = state.differs_from(before.state).tolist()
        agents, seq = dict(before.agents) if changed else before.agents, before.cursor.seq
        for agent in changed:
            presence = self.index.presence(state, agent)
            seq += 1
            if presence is None:
                agents.pop(self.index.agents[agent], None)
            else:
                # A page ignores states whose seq is not above the last seq that it received.
                agents[presence.agent_id] = replace(presence, seq=seq)
        self._shown = _Shown(state, agents, Cursor(before.cursor.epoch, seq))
        return {self.index.agents[agent] for agent in changed}
