"""Keep errors in an agent of another package from stopping the server.

The methods of the agent and of its readers never raise anything but what their documentation says.
Another error is logged once for each method; the call then returns what an agent without the
feature returns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from ...core.model import Event
from ...errors import InvalidEvent
from ..session import parse_record

if TYPE_CHECKING:
    from ..agent import CodingAgent
    from ..session import SessionReader

logger = logging.getLogger(__name__)

_DEFAULTS: dict[str, Callable[[], Any]] = {
    "homes": list,
    "roots_in": list,
    "sidecars": tuple,
    "status_dir": lambda: None,
    "kept_days": lambda: None,
    "session_place": lambda: (None, None),
    "is_session_record": lambda: False,
    "hook_session": lambda: None,
    "leaves_out_hook": lambda: False,
    "coverage": lambda: None,
    "telemetry": lambda: None,
}
"""Method → what it returns instead of raising."""


def guard(agent: CodingAgent) -> CodingAgent:
    """Return the agent, whose methods no longer raise unexpected errors."""
    for name, default in _DEFAULTS.items():
        setattr(agent, name, _safe(agent.name, getattr(agent, name), default))
    read = agent.session_reader

    @wraps(read)
    def session_reader(path: str, *arguments: Any, **named: Any) -> SessionReader:
        reader: SessionReader | None
        try:
            reader = read(path, *arguments, **named)
        except Exception as error:  # noqa: BLE001  any error of another package
            _log(agent.name, "session_reader", error)
            reader = None
        return cast("SessionReader", GuardedReader(agent.name, reader))

    translate = agent.events_from_hook

    @wraps(translate)
    def events_from_hook(payload: Any, **named: Any) -> list[Event]:
        try:
            return _checked(agent.name, translate(payload, **named))
        except InvalidEvent:
            raise
        except Exception as error:
            _log(agent.name, "events_from_hook", error)
            raise InvalidEvent(f"{agent.label}: its reader failed: {_text(error)}") from error

    vars(agent).update(session_reader=session_reader, events_from_hook=events_from_hook)
    return agent


class GuardedReader:
    """A reader whose errors are logged once and return no events.

    Args:
        agent: name of the agent.
        reader: None: it could not be made.
    """

    def __init__(self, agent: str, reader: SessionReader | None) -> None:
        self.QUIET_THRESHOLDS_S = () if reader is None else reader.QUIET_THRESHOLDS_S
        self._agent = agent
        self._reader = reader

    def feed(self, line: bytes) -> list[Event]:
        """Return the events of a line; see ``SessionReader.feed``."""
        return self._call("feed", line)

    def feed_sidecar(self, name: str, data: bytes) -> list[Event]:
        """Return the events of a further file; see ``SidecarReader.feed_sidecar``."""
        return self._call("feed_sidecar", name, data)

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the events that silence completes; see ``SessionReader.on_quiet``."""
        return self._call("on_quiet", quiet_s)

    def finish(self) -> list[Event]:
        """Return the events that still wait; see ``SessionReader.finish``."""
        return self._call("finish")

    def _call(self, method: str, *arguments: Any) -> list[Event]:
        if self._reader is None:
            return []
        try:
            return _checked(self._agent, getattr(self._reader, method)(*arguments))
        except Exception as error:  # noqa: BLE001  any error of another package
            if method == "feed" and isinstance(error, InvalidEvent):
                # The line is broken, unless it is a JSON object.
                parse_record(arguments[0])
            _log(self._agent, method, error)
            return []


_logged: set[tuple[str, str]] = set()


def _log(agent: str, method: str, error: Exception) -> None:
    """Log the first error of a method."""
    if (agent, method) not in _logged:
        _logged.add((agent, method))
        logger.warning(
            "the plugin of the agent %s failed in %s, which is logged once: %s",
            agent,
            method,
            _text(error),
        )


def _text(error: Exception) -> str:
    # The message of an arbitrary error can quote a prompt.
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return type(error).__name__
    name = place.tb_frame.f_code.co_name
    return f"{type(error).__name__} in line {place.tb_lineno} of {name}"


def _checked(agent: str, events: Iterable[Event]) -> list[Event]:
    """Return the valid events of a plugin."""
    valid = []
    for event in events:
        try:
            valid.append(event.checked())
        except (InvalidEvent, AttributeError) as error:
            _log(agent, "an event", error)
    return valid


def _safe(agent: str, method: Callable[..., Any], default: Callable[[], Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return method(*arguments, **named)
        except Exception as error:  # noqa: BLE001  any error of another package
            _log(agent, method.__name__, error)
            return default()

    return call
