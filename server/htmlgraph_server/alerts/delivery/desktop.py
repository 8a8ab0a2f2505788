"""Shows an alert on the desktop of this machine: ``notify-send``, or ``osascript`` on macOS.

The texts are arguments of the program: no shell sees them.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import shutil
import sys
from collections.abc import Callable

from htmlgraph_nb.alerts.channels import AlertChannel
from htmlgraph_nb.alerts.fired_alert import Delivery

from .alert_text import alert_body, alert_title
from .outcome import Outcome

APP_NAME = "htmlgraph-nb"
_URGENCY = {"info": "low", "warning": "normal", "critical": "critical"}
_APPLESCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
_MAX_ERROR_BYTES = 4_096


def desktop_command(
    delivery: Delivery,
    platform: str = sys.platform,
    which: Callable[[str], str | None] = shutil.which,
) -> list[str] | str:
    """Return the command that shows an alert, or why there is none.

    Args:
        delivery: the alert.
        platform: as ``sys.platform``.
        which: finds a program, as ``shutil.which``.
    """
    title, body = alert_title(delivery.alert), alert_body(delivery.alert)
    if platform == "darwin":
        program = which("osascript")
        if program is None:
            return "osascript was not found"
        script = [part for line in _APPLESCRIPT for part in ("-e", line)]
        # The fixed prefix: a text that begins with - would be an option.
        return [program, *script, f"{APP_NAME}: {title}", f" {body}"]
    if platform == "win32":
        return "Windows has no notification program; use the page's notifications or type apprise"
    program = which("notify-send")
    if program is None:
        return "notify-send was not found; install it (Debian: apt install libnotify-bin)"
    return [
        program,
        f"--app-name={APP_NAME}",
        f"--urgency={_URGENCY[delivery.alert.severity]}",
        "--",
        title,
        # The body, unlike the title, may contain markup.
        html.escape(body, quote=False),
    ]


async def send_desktop(channel: AlertChannel, delivery: Delivery) -> Outcome:
    """Show one alert; never raises."""
    command = desktop_command(delivery)
    if isinstance(command, str):
        return Outcome(command, final=True)
    return await run_program(command, channel.timeout_s)


async def run_program(command: list[str], timeout_s: float) -> Outcome:
    """Run a program and return its outcome; it is killed after ``timeout_s``."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return Outcome(f"cannot start {command[0]}: {error.strerror}")
    try:
        async with asyncio.timeout(timeout_s):
            stderr = b""
            if process.stderr is not None:
                while piece := await process.stderr.read(_MAX_ERROR_BYTES):
                    stderr = (stderr + piece)[:_MAX_ERROR_BYTES]
            status = await process.wait()
    except TimeoutError:
        return Outcome(f"{command[0]} did not end in {timeout_s:g} s")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # Shutdown must not leave a zombie.
            await asyncio.shield(process.wait())
    if status == 0:
        return Outcome()
    first_line = stderr.decode(errors="replace").strip().partition("\n")[0]
    return Outcome(f"{command[0]} failed: {first_line[:200] or f'status {status}'}")
