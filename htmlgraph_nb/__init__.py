"""htmlgraph-nb: live monitoring of coding agents for notebooks.

Public names are loaded on first use (PEP 562), so that an agent's script pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "SDK": "sdk",
    "AgentGrid": "grid",
    "AgentPresence": "model",
    "ConfigError": "errors",
    "ConnectError": "errors",
    "Event": "model",
    "HtmlgraphError": "errors",
    "InvalidEvent": "errors",
    "PresenceClient": "client",
    "PresenceManager": "presence",
    "PresenceStatus": "model",
    "load_history": "history",
    "load_presence": "history",
    "presence_at": "replay",
    "load_transcripts": "transcripts",
}

__all__ = ["__version__", *sorted(_EXPORTS)]  # noqa: PLE0604

if TYPE_CHECKING:
    from .client import PresenceClient as PresenceClient
    from .errors import ConfigError as ConfigError
    from .errors import ConnectError as ConnectError
    from .errors import HtmlgraphError as HtmlgraphError
    from .errors import InvalidEvent as InvalidEvent
    from .grid import AgentGrid as AgentGrid
    from .history import load_history as load_history
    from .history import load_presence as load_presence
    from .model import AgentPresence as AgentPresence
    from .model import Event as Event
    from .model import PresenceStatus as PresenceStatus
    from .presence import PresenceManager as PresenceManager
    from .replay import presence_at as presence_at
    from .sdk import SDK as SDK
    from .transcripts import load_transcripts as load_transcripts


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'htmlgraph_nb' has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
