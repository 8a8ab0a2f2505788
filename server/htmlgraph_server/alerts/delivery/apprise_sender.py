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

_MODULE = "htmlgraph_server.alerts.delivery.apprise_worker"
_MAX_ANSWER_BYTES = 65_536


class AppriseSender:
    """Sends the alerts of one channel in a child process.

    The process runs as long as the channel is in force: an alert does not wait until the library
    is loaded.

    Args:
        channel: the channel.
    """

    def __init__(self, channel: AlertChannel) -> None:
        self._channel = channel
        self._process: asyncio.subprocess.Process | None = None
        self._done: dict[int, set[int]] = {}

    async def start(self) -> None:
        """Start the child process, if the library is installed."""
        if importlib.util.find_spec("apprise") is not None:
            # Otherwise the first alert tries again, and reports it.
            with contextlib.suppress(OSError):
                await self._running()

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
            if not complete:
                # Also if this task is cancelled: a late answer would be taken for the next one.
                await asyncio.shield(self.close())

    async def _running(self) -> asyncio.subprocess.Process:
        """Return the child process; start it if it does not run."""
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
        return process

    async def _exchange(self, line: bytes) -> bytes:
        process = await self._running()
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
        process = self._kill()
        if process is not None:
            await process.wait()
