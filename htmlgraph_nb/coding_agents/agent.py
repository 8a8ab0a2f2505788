"""Base class of the coding agents that the project supports.

``htmlgraph-hook`` imports this module and each agent's package on every tool call, so their top
level imports nothing but the standard library. An agent's modules are imported on first use.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .input_hash import no_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ..core.model import Event
    from .coverage.declaration import Coverage
    from .databases.session_database import SessionDatabase
    from .hook_settings import HookSettings
    from .input_hash import HashInput
    from .session import SessionReader, SessionRoot
    from .telemetry import AgentTelemetry


_MAX_SETTINGS_CHARS = 1 << 20


class CodingAgent:
    """One kind of coding agent.

    Only ``name`` and ``label`` are required. What an agent lacks keeps its default: an agent
    without hooks does not set ``has_hooks``, one without session files has no ``roots_in``.

    The package that defines the class contains these modules, as far as the agent has them:

    - ``constants`` (``has_hooks``): SENT_FIELDS, HOOKS_AFTER_WRITE, and other constants that need
      no import.
    - ``hooks`` (``has_hooks``): ``events_from_hook(payload, *, received_at)``.
    - ``settings`` (``has_hooks``): SETTINGS, a HookSettings.
    - ``session`` (``session_reader``): the reader of its session files.
    - ``telemetry`` (``has_telemetry``): TELEMETRY, an AgentTelemetry.
    - ``coverage``: COVERAGE, what is seen of it and from which source; see
      ``coverage/declaration.py``.

    Attributes:
        name: its name in ``/api/hooks/NAME`` and ``htmlgraph-nb connect NAME``, and the prefix of
            the ids of its agents.
        label: the name of the product.
        aliases: other names that programs use for it.
        folder: its folder below the user's home folder, such as ``.claude``; "" if there is none.
        home_variable: environment variable that names this folder; "" if there is none.
        home_is_parent: whether the variable names the folder that contains ``folder``.
        has_hooks: whether htmlgraph-hook can report it.
        has_telemetry: whether its OpenTelemetry logs and metrics are read.
        project_variable: environment variable of its hooks that holds the project folder; "" if
            there is none.
        shares_call_ids: whether its hooks, session files and telemetry use the same tool call ids.
        subagents_are_sessions: whether telemetry reports each subagent as a separate session.
        session_pattern: regular expression of the end of a session file's path below its folder;
            "" if there are no session files.
        has_databases: whether it keeps its sessions in a database.
        commands: names of its program, by which its processes are recognized.
        packages: names of its npm packages, whose scripts run it as well.
    """

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    folder: str = ""
    home_variable: str = ""
    home_is_parent: bool = False
    has_hooks: bool = False
    has_telemetry: bool = False
    project_variable: str = ""
    shares_call_ids: bool = True
    subagents_are_sessions: bool = False
    session_pattern: str = ""
    has_databases: bool = False
    commands: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def hook_source(self) -> str:
        """The ``source`` of events that its hooks report."""
        return f"{self.name}-hook"

    @property
    def session_source(self) -> str:
        """The ``source`` of events that are read from its session files or databases."""
        return f"{self.name}-session"

    @property
    def hook_fields(self) -> Mapping[str, tuple[str, ...]]:
        """Hook → the fields that ``htmlgraph-hook`` sends in addition to those of every hook."""
        fields: Mapping[str, tuple[str, ...]] = (
            self._load("constants", "SENT_FIELDS") if self.has_hooks else {}
        )
        return fields

    @property
    def hooks_after_write(self) -> frozenset[str]:
        """Hooks that run after the agent has written to its session file."""
        hooks: frozenset[str] = (
            self._load("constants", "HOOKS_AFTER_WRITE") if self.has_hooks else frozenset()
        )
        return hooks

    def events_from_hook(self, payload: Mapping[str, Any], *, received_at: datetime) -> list[Event]:
        """Return the events that one hook input reports; see ``hooks.events_from_payload``.

        Raises:
            InvalidEvent: as ``hooks.events_from_payload``, and if the agent has no hooks.
        """
        if not self.has_hooks:
            from ..errors import InvalidEvent

            raise InvalidEvent(f"{self.label} has no hooks")
        translate = self._load("hooks", "events_from_hook")
        events: list[Event] = translate(payload, received_at=received_at)
        return events

    def hook_session(self, payload: Mapping[str, Any]) -> str | None:
        """Return the session of a hook input if it names another one by mistake; None: it does not.

        It can read the session file that the input names.
        """
        return None

    def leaves_out_hook(self, payload: Mapping[str, Any], options: Sequence[str]) -> bool:
        """Return whether a hook input is no event: it names no session, or another hook reports it.

        Args:
            options: the arguments of ``htmlgraph-hook`` after the name of the agent.
        """
        return False

    def homes(self) -> list[str]:
        """Return its folders, which may not exist; the first is the one that it uses itself."""
        if not self.folder:
            return []
        return home_folders(os.environ, self.home_variable, self.folder, self.home_is_parent)

    def roots_in(self, home: str) -> list[SessionRoot]:
        """Return the folders of session files in one of its folders; they may not exist."""
        return []

    def session_roots(self) -> list[SessionRoot]:
        """Return the folders of session files in all of its folders; they may not exist."""
        return [root for home in self.homes() for root in self.roots_in(home)]

    def sidecars(self, path: str) -> tuple[str, ...]:
        """Return the paths of the other files of a session, which its reader gets as a whole.

        They may not exist. A reader for which this returns any is a SidecarReader.

        Args:
            path: the session file.
        """
        return ()

    def session_databases(self, home: str) -> list[str]:
        """Return the session databases in one of its folders; they may not exist.

        A folder among them holds sessions that older versions stored as files.
        """
        return []

    def session_database(self) -> SessionDatabase:
        """Return the format of its session databases; only if ``has_databases``."""
        database: SessionDatabase = self._load("database", "DATABASE")
        return database

    def status_dir(self, home: str) -> str | None:
        """Return the folder with a status file for each running process, in one of its folders.

        None: it writes none.
        """
        return None

    def kept_days(self) -> int | None:
        """Return the days after which it deletes its session files; None: it keeps them."""
        return None

    def session_place(self, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the session id and the working folder that a line of a session file names."""
        return None, None

    def is_session_record(self, record: Mapping[str, Any]) -> bool:
        """Return whether a JSON object is a line of its session files, and of no other agent's."""
        return False

    def session_reader(self, path: str, hash_input: HashInput = no_hash) -> SessionReader:
        """Return a new reader for the session file at ``path``.

        Args:
            hash_input: returns the ``input_hash`` of tool calls.
        """
        raise NotImplementedError(f"{self.label} has no session files")

    def telemetry(self) -> AgentTelemetry | None:
        """Return how its OpenTelemetry logs and metrics are read; None: it has none."""
        telemetry: AgentTelemetry | None = (
            self._load("telemetry", "TELEMETRY") if self.has_telemetry else None
        )
        return telemetry

    def hook_settings(self) -> HookSettings | None:
        """Return how ``htmlgraph-nb connect`` registers its hooks; None: it cannot be connected."""
        settings: HookSettings | None = (
            self._load("settings", "SETTINGS") if self.has_hooks else None
        )
        return settings

    def settings_paths(self, environ: Mapping[str, str], project: str | None) -> list[str]:
        """Return the paths of the file with its hooks: of the user one in each of its folders.

        They are followed by the other files that exist, if hooks are added to these, too.

        Args:
            project: the project folder; None: the settings of the user.

        Returns:
            An empty list if it cannot be connected, or not in a project.
        """
        settings = self.hook_settings()
        if settings is None:
            return []
        folder = settings.folder or self.folder
        if project is not None:
            below = settings.project_folder
            below = folder if below is None else below
            return _settings_files(settings, [os.path.join(project, below)] if below else [])
        variable = settings.home_variable or self.home_variable
        homes = home_folders(environ, variable, folder, self.home_is_parent)
        return _settings_files(settings, homes)

    def coverage(self) -> Coverage | None:
        """Return what is seen of it; None: it does not say."""
        try:
            coverage: Coverage = self._load("coverage", "COVERAGE")
        except ModuleNotFoundError as error:
            if error.name != f"{type(self).__module__}.coverage":
                raise
            return None
        return coverage

    def _load(self, module: str, name: str) -> Any:
        """Return a name that a module in the agent's package defines."""
        return getattr(import_module(f"{type(self).__module__}.{module}"), name)


def home_folders(
    environ: Mapping[str, str], variable: str, folder: str, is_parent: bool = False
) -> list[str]:
    """Return the folders of an agent, which may not exist.

    The variable can list several, separated by commas. A folder whose name contains a comma can be
    named alone.

    Args:
        variable: environment variable that names the folder; "": there is none.
        folder: the folder below the user's home folder if the variable is not set.
        is_parent: whether the variable names the folder that contains ``folder``.
    """
    value = os.path.expanduser(environ.get(variable, "")) if variable else ""
    parts = [value] if os.path.isdir(value) else value.split(",")
    homes = [os.path.expanduser(part.strip()) for part in parts if part.strip()]
    homes = [os.path.join(home, folder) if is_parent else home for home in homes]
    return homes or [os.path.join(os.path.expanduser("~"), folder)]


def _settings_files(settings: HookSettings, folders: list[str]) -> list[str]:
    folders = list(map(os.path.abspath, folders))
    paths = [os.path.join(folder, settings.file) for folder in folders]
    if settings.existing is None:
        return paths
    from glob import escape, glob

    patterns = (os.path.join(escape(folder), settings.existing.file) for folder in folders)
    return [*paths, *(path for pattern in patterns for path in sorted(glob(pattern)))]


def json_settings(path: str) -> Mapping[str, Any]:
    """Return the JSON object in an agent's settings file; {} if there is none or it is invalid."""
    import json

    try:
        with open(path, encoding="utf-8-sig") as file:
            settings = json.loads(file.read(_MAX_SETTINGS_CHARS))
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}
