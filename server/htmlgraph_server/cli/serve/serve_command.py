"""``htmlgraph-nb serve`` and ``htmlgraph-nb demo``: run a server in this process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable

from htmlgraph_nb import __version__
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ConfigError, HtmlgraphError
from htmlgraph_nb.paths import spool_path

from ...access.local_token import read_token, with_local_token
from ...background.heap import limit_heap
from ...config import SETTINGS, Config, Setting, make_config, setting_value
from ...server import listen, open_manager, run_server, tune_gc
from ...service import Service
from ..browser import has_display, open_page, page_address
from ..options import Print, count_type
from .log_lines import log_as

_SETTING_GROUPS = {
    "address and access": (
        *("host", "port", "token", "token_file", "local_token", "allow_origins", "allow_hosts"),
    ),
    "stored data": ("db", "retain", "synchronous", "seal", "titles"),
    "session files": ("watch", "backfill"),
    "when agents count as idle, offline or gone": (
        *("idle_timeout", "offline_timeout", "open_work_timeout", "forget_after"),
    ),
}
_OTHERS = "limits"
"""Title of the settings that are in no group."""
_OnReady = Callable[[Service, str], None]
"""Called with the service and its URL once the server accepts requests."""


def configure_serve(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``serve``."""
    parser.add_argument(
        "--stop-on-eof",
        action="store_true",
        help="stop when standard input is closed, as when the program that started this one ends",
    )
    _add_settings(parser)
    parser.set_defaults(run=lambda arguments: _serve(arguments, out))


def configure_demo(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``demo``."""
    parser.add_argument(
        "--agents",
        type=count_type(1, 5_000),
        default=9,
        help="number of simulated agents (default: 9)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the simulated behavior (default: 1)"
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, help="speed of the simulated time (default: 1)"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="do not open the page in a browser"
    )
    _add_settings(parser)
    parser.set_defaults(run=lambda arguments: _demo(arguments, out))


def _add_settings(parser: argparse.ArgumentParser) -> None:
    groups = {title: parser.add_argument_group(title) for title in (*_SETTING_GROUPS, _OTHERS)}
    for setting in SETTINGS:
        titles = [title for title, names in _SETTING_GROUPS.items() if setting.name in names]
        _add_setting(groups[titles[0] if titles else _OTHERS], setting)


def _add_setting(parser: argparse._ArgumentGroup, setting: Setting) -> None:
    default = f" (default: {setting.default_text})" if setting.default_text else ""
    dest = f"setting_{setting.name}"
    parser.add_argument(
        setting.flag,
        dest=dest,
        metavar=setting.name.split("_")[-1].upper(),
        help=f"{setting.help}{default}; also {setting.variable}",
        action="append" if setting.is_repeatable else "store",
        nargs="?" if setting.is_switch else None,
        const="on" if setting.is_switch else None,
    )
    if setting.is_switch:
        flag = setting.flag.replace("--", "--no-")
        parser.add_argument(
            flag, dest=dest, action="store_const", const="off", help=argparse.SUPPRESS
        )


def _speed(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1_000:
        raise argparse.ArgumentTypeError(f"expected a number > 0 and <= 1000, got {shorten(text)}")
    return number


def _config(arguments: argparse.Namespace, **defaults: str) -> Config:
    flags = {setting.name: getattr(arguments, f"setting_{setting.name}") for setting in SETTINGS}
    flags = {name: ",".join(v) if isinstance(v, list) else v for name, v in flags.items()}
    for name, value in defaults.items():
        if flags[name] is None:
            flags[name] = value
    token_file = setting_value("token_file", flags["token_file"], os.environ)
    if token_file and flags["token"] is None:
        flags["token"] = read_token(token_file)
    return with_local_token(make_config(flags, os.environ), os.environ)


def _serve(arguments: argparse.Namespace, out: Print) -> int:
    config = _config(arguments)
    stop = asyncio.Event()

    def on_ready(service: Service, url: str) -> None:
        print_line = _line_printer(out, stop)
        _print_ready(service, url, print_line)
        if config.local_token:
            print_line(_sign_in_line(url, config.token))
        service.backfiller.on_line = print_line
        if arguments.stop_on_eof:
            _stop_on_eof(asyncio.get_running_loop(), stop)

    asyncio.run(_run(config, on_ready, stop, spool_path()))
    return 0


def _demo(arguments: argparse.Namespace, out: Print) -> int:
    # A new database each time, so that simulated agents never mix with the history of real ones or
    # of an earlier demo. For the same reason the spool of real agents is not read.
    with tempfile.TemporaryDirectory(
        prefix="htmlgraph-demo-", ignore_cleanup_errors=True
    ) as folder:
        own = arguments.setting_db
        if own is not None and os.path.exists(own):
            raise ConfigError(
                f"--db: expected a new file for the demo, got {own}, which exists; delete it, or "
                "omit --db to use a temporary file"
            )
        own_files = {name: os.path.join(folder, name) for name in ("demo.db", "alerts.toml")}
        # Nobody is notified about simulated agents, unless the file is named.
        config = _config(
            arguments,
            db=own_files["demo.db"],
            watch="off",
            backfill="off",
            alerts=own_files["alerts.toml"],
            # Nothing real is shown.
            local_token="off",  # noqa: S106
        )
        kept = "" if own is None else f", its events stay in {own}"
        asyncio.run(_run_demo(config, arguments, kept, out))
    return 0


async def _run_demo(config: Config, arguments: argparse.Namespace, kept: str, out: Print) -> None:
    # Imported here: no other command needs the simulation.
    from .demo import DemoThread, demo_events

    simulation: list[DemoThread] = []
    stop = asyncio.Event()

    def on_ready(service: Service, url: str) -> None:
        print_line = _line_printer(out, stop)
        _print_ready(service, url, print_line)
        count = arguments.agents
        print_line(f"{count} simulated agents; Ctrl-C ends the demo{kept}")
        events = demo_events(count, arguments.seed, arguments.speed, utc_now())
        simulation.append(DemoThread(service.manager, events))
        simulation[0].start()
        if not arguments.no_browser and has_display():
            # A browser that runs in the terminal blocks its caller.
            page = (url, config.token)
            threading.Thread(target=open_page, args=page, daemon=True).start()

    try:
        await _run(config, on_ready, stop, None)
    finally:
        for thread in simulation:
            thread.stop()


async def _run(config: Config, on_ready: _OnReady, stop: asyncio.Event, spool: str | None) -> None:
    log_as(config.log_format)
    sockets = listen(config)
    try:
        manager = open_manager(config)
    except HtmlgraphError:
        for opened in sockets:
            opened.close()
        raise
    try:
        await run_server(config, sockets, manager, on_ready, stop, spool)
    finally:
        manager.close()


def _print_ready(service: Service, url: str, print_line: Print) -> None:
    tune_gc()
    limit_heap()
    print_line(f"htmlgraph-nb {__version__} at {url}  (database: {service.manager.db_path})")


def _sign_in_line(url: str, token: str) -> str:
    """Return how to open the page; only a terminal gets the token, because others read logs."""
    if sys.stdout.isatty():
        return f"sign in: {page_address(url, token)}"
    return "the page needs a token; open it with: htmlgraph-nb open"


def _line_printer(out: Print, stop: asyncio.Event) -> Print:
    """Return a function that prints a line at once; without a reader it stops the server.

    It may be called in any thread.
    """
    loop = asyncio.get_running_loop()

    def print_line(line: str) -> None:
        try:
            out(line)
            sys.stdout.flush()
        except BrokenPipeError:
            # The line stays in the buffer, so that main() meets the error again.
            loop.call_soon_threadsafe(stop.set)

    return print_line


def _stop_on_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def wait() -> None:
        # Not sys.stdin: Python cannot exit while a thread reads from it.
        with contextlib.suppress(OSError):
            while os.read(0, 4_096):
                pass
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="htmlgraph-stdin", daemon=True).start()
