"""The limits of the hub, which settings and defaults give."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Limits of the hub.

    Attributes:
        max_clients: maximum number of dashboards.
        max_clients_per_session: maximum number of dashboards that name the same session.
        max_filter_values: maximum number of values in all different filters together.
        max_queue_bytes: a dashboard with more unsent bytes is slow and receives no more messages.
        stall_timeout_s: seconds after which a slow dashboard is closed.
        tick_s: seconds between two messages under load; changes in between are merged.
        drain_check_s: seconds between two checks of the slow dashboards.
    """

    max_clients: int = 5_000
    max_clients_per_session: int = 10
    max_filter_values: int = 100_000
    max_queue_bytes: int = 1_048_576
    stall_timeout_s: float = 30.0
    tick_s: float = 0.02
    drain_check_s: float = 0.05
