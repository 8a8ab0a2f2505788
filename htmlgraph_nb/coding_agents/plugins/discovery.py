"""Find the coding agents that installed packages add.

A package adds an agent by an entry point of the group ``htmlgraph_nb.agents``: its name is that of
the agent, its value the subclass of CodingAgent. A broken one is logged with its package, and left
out; it never stops the others.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from .guarded_agent import guard

if TYPE_CHECKING:
    from ..agent import CodingAgent

logger = logging.getLogger(__name__)

GROUP = "htmlgraph_nb.agents"
"""Group of the entry points."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MAX_NAME_CHARS = 32
_RESERVED = frozenset({"otel", "htmlgraph"})
"""Arguments of ``htmlgraph-nb connect`` and ``import`` that name no agent."""
_MAX_PLUGINS = 100


def plugin_agents(taken: Iterable[str]) -> dict[str, CodingAgent]:
    """Return name → agent of the entry points, sorted by name.

    Args:
        taken: names that no plugin can have: those of the built-in agents, and their aliases.
    """
    owners = dict.fromkeys(taken, "htmlgraph-nb") | dict.fromkeys(_RESERVED, "htmlgraph-nb")
    agents: dict[str, CodingAgent] = {}
    found = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package_of(point)))
    if len(found) > _MAX_PLUGINS:
        logger.warning("%d packages add agents; only the first %d count", len(found), _MAX_PLUGINS)
    for point in found[:_MAX_PLUGINS]:
        package = _package_of(point)
        try:
            if point.name in owners:
                raise ValueError(f"the name is taken by {owners[point.name]}; choose another")
            agent = _load(point)
        # Any error can come out of the code of another package; it must not stop the others.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            message = f"{type(error).__name__}: {error}"
            if isinstance(error, ValueError):
                message = str(error)
            logger.warning(
                "the agent %r of the package %s is left out: %s", point.name, package, message
            )
            continue
        owners[point.name] = package
        agents[point.name] = agent
    return agents


def _package_of(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _load(point: EntryPoint) -> CodingAgent:
    """Return the agent of an entry point.

    Raises:
        ValueError: it is not an agent, or incomplete; the message says what was expected.
    """
    from ..agent import CodingAgent

    if not _NAME.fullmatch(point.name) or len(point.name) > _MAX_NAME_CHARS:
        raise ValueError(
            f"expected a name of at most {_MAX_NAME_CHARS} lower-case letters, digits and single "
            "hyphens"
        )
    cls = point.load()
    if not (isinstance(cls, type) and issubclass(cls, CodingAgent)):
        raise ValueError(f"expected {point.value} to be a subclass of CodingAgent, got {cls!r:.80}")
    agent = cls()
    if getattr(agent, "name", None) != point.name:
        got = getattr(agent, "name", None)
        raise ValueError(f"expected its class to have the name of the entry point, got {got!r:.80}")
    if not isinstance(getattr(agent, "label", None), str) or not agent.label:
        raise ValueError("expected a label, the name of the product")
    for attribute in ("aliases", "commands", "packages"):
        if not _is_names(getattr(agent, attribute)):
            raise ValueError(f"{attribute}: expected a tuple of strings")
    re.compile(agent.session_pattern)
    # What the registry asks of each agent at a start works, or the plugin is broken.
    agent.session_roots()
    agent.telemetry()
    agent.hook_settings()
    return guard(agent)


def _is_names(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) and name for name in value)
