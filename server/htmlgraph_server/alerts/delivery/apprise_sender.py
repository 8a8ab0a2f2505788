"""Sends alerts through apprise: ntfy, Slack, Discord, Telegram, mail and about a hundred more."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
from datetime import datetime

from htmlgraph_nb.alerts.channels import AlertChannel
from htmlgraph_nb.alerts.fired_alert import Delivery
from htmlgraph_nb.errors import ConfigError

from .alert_text import alert_body, alert_title, plain
from .apprise_worker import INVALID, MISSING
from .outcome import Outcome

APPRISE_IDLE_S = 60.0
"""How long the child process lives without a request; its memory is free afterwards."""
_MODULE = "htmlgraph_server.alerts.delivery.apprise_worker"
_MAX_ANSWER_BYTES = 65_536


class AppriseSender:
    """Sends the alerts of one channel in a child process, which the first alert starts.

    Args:
        channel: the channel.
        idle_s: how long the child process lives without a request.
    """

    def __init__(self, channel: AlertChannel, idle_s: float = APPRISE_IDLE_S) -> None:
        self._channel = channel
        self._idle_s = idle_s
        self._process: asyncio.subprocess.Process | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._done: dict[int, set[int]] = {}

    async def send(self, delivery: Delivery, now: datetime) -> Outcome:
        """Send one alert to the addresses that have not received it; never raises."""
        if importlib.util.find_spec("apprise") is None:
            return Outcome(MISSING, final=True)
        done = self._done.get(delivery.delivery_id, set())
        try:
            urls = {n: url.reveal() for n, url in enumerate(self._channel.urls) if n not in done}
        except ConfigError as error:
            return Outcome(str(error))
        request = {
            "urls": list(urls.values()),
            "title": plain(alert_title(delivery.alert)),
            "body": plain(alert_body(delivery.alert)),
            "severity": delivery.alert.severity,
        }
        errors = await self._ask(json.dumps(request).encode() + b"\n")
        if isinstance(errors, str):
            return Outcome(errors)
        failed = [error for error in errors if error]
        if not failed:
            self._done.pop(delivery.delivery_id, None)
            return Outcome()
        done |= {n for n, error in zip(urls, errors, strict=True) if not error}
        # Only of the delivery that is tried now: memory must not grow.
        self._done = {delivery.delivery_id: done}
        return Outcome(failed[0], final=all(error in (INVALID, MISSING) for error in failed))

    async def _ask(self, line: bytes) -> list[str] | str:
        """Return the errors of a request, or why there was no answer."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        complete = False
        try:
            async with asyncio.timeout(self._channel.timeout_s):
                answer = await self._exchange(line)
            errors: list[str] = json.loads(answer)
            complete = True
            return errors
        except TimeoutError:
            return f"apprise sent nothing in {self._channel.timeout_s:g} s"
        except (OSError, ValueError):
            return "the process of apprise ended"
        finally:
            if complete:
                loop = asyncio.get_running_loop()
                self._idle_timer = loop.call_later(self._idle_s, self._kill)
            else:
                # Also if this task is cancelled: a late answer would be taken for the next one.
                await asyncio.shield(self.close())

    async def _exchange(self, line: bytes) -> bytes:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _MODULE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_MAX_ANSWER_BYTES,
            )
        if process.stdin is None or process.stdout is None:
            raise OSError("it has no pipes")
        process.stdin.write(line)
        await process.stdin.drain()
        return await process.stdout.readline()

    def _kill(self) -> asyncio.subprocess.Process | None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return process

    async def close(self) -> None:
        """End the child process."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        process = self._kill()
        if process is not None:
            await process.wait()
