"""Base class of the coding agents that the project supports.

``htmlgraph-hook`` imports this module and each agent's package on every tool call, so their top
level imports nothing but the standard library. An agent's modules are imported on first use.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .input_hash import no_hash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..core.model import Event
    from .hook_settings import HookSettings
    from .input_hash import HashInput
    from .session import SessionReader, SessionRoot
    from .telemetry import AgentTelemetry


_MAX_SETTINGS_CHARS = 1 << 20


class CodingAgent(ABC):
    """One kind of coding agent.

    Its folder has the name of the agent and contains these modules:

    - ``constants``: SENT_FIELDS, HOOKS_AFTER_WRITE, and other constants that need no import.
    - ``hooks``: ``events_from_hook(payload, *, received_at)``.
    - ``session``: the reader of its session files.
    - ``telemetry``: TELEMETRY, an AgentTelemetry.
    - ``settings``: SETTINGS, a HookSettings.

    Attributes:
        name: its name in ``/api/hooks/NAME`` and ``htmlgraph-nb connect NAME``, and the prefix of
            the ids of its agents.
        label: the name of the product.
        aliases: other names that programs use for it.
        project_variable: environment variable of its hooks that holds the project folder; "" if
            there is none.
        shares_call_ids: whether its hooks, session files and telemetry use the same tool call ids.
        subagents_are_sessions: whether telemetry reports each subagent as a separate session.
        session_pattern: regular expression of the end of a session file's path below its folder.
        commands: names of its program, by which its processes are recognized.
        package: name of its npm package, whose scripts run it as well.
    """

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    project_variable: str = ""
    shares_call_ids: bool = True
    subagents_are_sessions: bool = False
    session_pattern: str
    commands: tuple[str, ...]
    package: str

    @property
    def hook_source(self) -> str:
        """The ``source`` of events that its hooks report."""
        return f"{self.name}-hook"

    @property
    def session_source(self) -> str:
        """The ``source`` of events that are read from its session files."""
        return f"{self.name}-session"

    @property
    def hook_fields(self) -> Mapping[str, tuple[str, ...]]:
        """Hook → the fields that ``htmlgraph-hook`` sends in addition to those of every hook."""
        fields: Mapping[str, tuple[str, ...]] = self._load("constants", "SENT_FIELDS")
        return fields

    @property
    def hooks_after_write(self) -> frozenset[str]:
        """Hooks that run after the agent has written to its session file."""
        hooks: frozenset[str] = self._load("constants", "HOOKS_AFTER_WRITE")
        return hooks

    def events_from_hook(self, payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
        """Return the events that one hook input reports; see ``hooks.events_from_payload``."""
        translate = self._load("hooks", "events_from_hook")
        events: list[Event] = translate(payload, received_at=received_at)
        return events

    def hook_session(self, payload: Mapping[str, Any]) -> str | None:
        """Return the session of a hook input if it names another one by mistake; None: it does not.

        It can read the session file that the input names.
        """
        return None

    def homes(self) -> list[str]:
        """Return its folders, which may not exist; the first is the one that it uses itself."""
        return self.hook_settings().homes(os.environ)

    @abstractmethod
    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return the folders of session files in one of its folders; they may not exist."""

    def session_roots(self) -> list[SessionRoot]:
        """Return the folders of session files in all of its folders; they may not exist."""
        return [root for home in self.homes() for root in self.roots_in(home)]

    def status_dir(self, home: str) -> str | None:
        """Return the folder with a status file for each running process, in one of its folders.

        None: it writes none.
        """
        return None

    def kept_days(self) -> int | None:
        """Return the days after which it deletes its session files; None: it keeps them."""
        return None

    @abstractmethod
    def session_place(self, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the session id and the working folder that a line of a session file names."""

    @abstractmethod
    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is a line of its session files, and of no other agent's."""

    @abstractmethod
    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader for the session file at ``path``.

        Args:
            hash_input: returns the ``input_hash`` of tool calls.
        """

    def telemetry(self) -> AgentTelemetry:
        """Return how its OpenTelemetry logs and metrics are read."""
        telemetry: AgentTelemetry = self._load("telemetry", "TELEMETRY")
        return telemetry

    def hook_settings(self) -> HookSettings:
        """Return where and how ``htmlgraph-nb connect`` registers its hooks."""
        settings: HookSettings = self._load("settings", "SETTINGS")
        return settings

    def _load(self, module: str, name: str) -> Any:
        """Return a name that a module in the agent's folder defines."""
        return getattr(import_module(f"{__package__}.{self.name}.{module}"), name)


def json_settings(path: str) -> Mapping[str, Any]:
    """Return the JSON object in an agent's settings file; {} if there is none or it is invalid."""
    import json

    try:
        with open(path, encoding="utf-8-sig") as file:
            settings = json.loads(file.read(_MAX_SETTINGS_CHARS))
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}
