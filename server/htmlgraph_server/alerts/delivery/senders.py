"""The sender of each type of channel."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from htmlgraph_nb.alerts.channels import AlertChannel
from htmlgraph_nb.alerts.fired_alert import Delivery

from .apprise_sender import AppriseSender
from .desktop import send_desktop
from .outcome import Outcome
from .webhook import send_webhook


class ChannelSender(Protocol):
    """Sends the alerts of one channel."""

    async def start(self) -> None:
        """Prepare for the first alert; never raises."""

    async def send(self, delivery: Delivery, now: datetime) -> Outcome:
        """Send one alert within the timeout of the channel; never raises."""

    async def close(self) -> None:
        """Release what the sender holds."""


class _FunctionSender:
    """A sender without state."""

    def __init__(self, channel: AlertChannel) -> None:
        self._channel = channel

    async def start(self) -> None:
        """Nothing is prepared."""

    async def send(self, delivery: Delivery, now: datetime) -> Outcome:
        if self._channel.type == "desktop":
            return await send_desktop(self._channel, delivery)
        return await send_webhook(self._channel, delivery, now)

    async def close(self) -> None:
        """Nothing is held."""


def make_sender(channel: AlertChannel) -> ChannelSender:
    """Return the sender of a channel."""
    return AppriseSender(channel) if channel.type == "apprise" else _FunctionSender(channel)
