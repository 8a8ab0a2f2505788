"""One folder per coding agent, and their shared modules.

The names below are the interface for packages that add an agent; see notebooks/ADD_AGENT.md. They
are loaded on first use, because the hook imports this package on every tool call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_INTERFACE = {
    "AgentTelemetry": "coding_agents.telemetry",
    "CodingAgent": "coding_agents.agent",
    "Coverage": "coding_agents.coverage.declaration",
    "Event": "core.model",
    "HookFormat": "coding_agents.hooks",
    "HookSettings": "coding_agents.hook_settings",
    "InvalidEvent": "errors",
    "NOT_READ": "coding_agents.coverage.declaration",
    "NOT_REPORTED": "coding_agents.coverage.declaration",
    "SessionReader": "coding_agents.session",
    "SessionRoot": "coding_agents.session",
    "SidecarReader": "coding_agents.session",
    "agent_id_of": "core.ids",
    "branch_name": "coding_agents.fields",
    "call_key": "core.ids",
    "count": "coding_agents.fields",
    "events_from_payload": "coding_agents.hooks",
    "label": "coding_agents.fields",
    "mapping": "coding_agents.fields",
    "milliseconds": "coding_agents.fields",
    "parse_record": "coding_agents.session",
    "project_name": "coding_agents.fields",
    "shorten_id": "core.ids",
    "string": "coding_agents.fields",
    "timestamp": "coding_agents.fields",
    "timestamp_of_seconds": "coding_agents.fields",
    "whole_path": "coding_agents.fields",
}
"""Public name → its module below htmlgraph_nb."""

__all__ = sorted(_INTERFACE)  # noqa: PLE0605

if TYPE_CHECKING:
    from ..core.ids import agent_id_of as agent_id_of
    from ..core.ids import call_key as call_key
    from ..core.ids import shorten_id as shorten_id
    from ..core.model import Event as Event
    from ..errors import InvalidEvent as InvalidEvent
    from .agent import CodingAgent as CodingAgent
    from .coverage.declaration import NOT_READ as NOT_READ
    from .coverage.declaration import NOT_REPORTED as NOT_REPORTED
    from .coverage.declaration import Coverage as Coverage
    from .fields import branch_name as branch_name
    from .fields import count as count
    from .fields import label as label
    from .fields import mapping as mapping
    from .fields import milliseconds as milliseconds
    from .fields import project_name as project_name
    from .fields import string as string
    from .fields import timestamp as timestamp
    from .fields import timestamp_of_seconds as timestamp_of_seconds
    from .fields import whole_path as whole_path
    from .hook_settings import HookSettings as HookSettings
    from .hooks import HookFormat as HookFormat
    from .hooks import events_from_payload as events_from_payload
    from .session import SessionReader as SessionReader
    from .session import SessionRoot as SessionRoot
    from .session import SidecarReader as SidecarReader
    from .session import parse_record as parse_record
    from .telemetry import AgentTelemetry as AgentTelemetry


def __getattr__(name: str) -> Any:
    module = _INTERFACE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"..{module}", __name__), name)
    globals()[name] = value
    return value
