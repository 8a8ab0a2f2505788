"""Alerts: rules, what fired, and the channels on which a person is notified.

``htmlgraph_nb.alerts`` has the functions ``list``, ``acknowledge``, ``mute`` and ``rules``, and the
classes AlertRule and FiredAlert; they are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "AlertRule": "alert_rule",
    "FiredAlert": "fired_alert",
    "acknowledge": "alert_api",
    "list": "alert_api",
    "mute": "alert_api",
    "rules": "alert_api",
}

__all__ = ["AlertRule", "FiredAlert", "acknowledge", "list", "mute", "rules"]

if TYPE_CHECKING:
    from .alert_api import acknowledge as acknowledge
    from .alert_api import list as list
    from .alert_api import mute as mute
    from .alert_api import rules as rules
    from .alert_rule import AlertRule as AlertRule
    from .fired_alert import FiredAlert as FiredAlert


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> Any:
    return sorted({*globals(), *_EXPORTS})
