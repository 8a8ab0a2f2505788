"""``htmlgraph-nb``: serve, demo, status; the one place that reads argv and the environment."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from typing import Any, NoReturn

from htmlgraph_nb import __version__
from htmlgraph_nb.client.discovery import candidates
from htmlgraph_nb.client.rest import Rest
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.paths import data_dir, spool_path

from ..config import SETTINGS, Config, Setting, make_config
from ..server import listen, open_manager, run, tune_gc
from ..service import Service
from .connect.connect_command import add_parser as add_connect_parser
from .demo import SimulatedAgent, simulated_agents
from .explain import add_parser as add_why_parser
from .history_commands import add_parsers as add_history_parsers
from .import_sessions import add_parser as add_import_parser
from .status_report import status_lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, or 2 with one line of text."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        return int(arguments.run(arguments))
    except HtmlgraphError as error:
        print(f"htmlgraph-nb: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the list of all flags is what --help is for."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="htmlgraph-nb", description="Live monitoring of coding agents.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the server")
    serve.set_defaults(run=_serve)
    serve.add_argument(
        "--stop-on-eof",
        action="store_true",
        help="stop when standard input ends, as it does with the program that started this one",
    )
    demo = commands.add_parser("demo", help="run the server with simulated agents")
    demo.set_defaults(run=_demo)
    demo.add_argument("--agents", type=_count, default=9, help="how many (default: 9)")
    demo.add_argument("--seed", type=int, default=1, help="of their behaviour (default: 1)")
    demo.add_argument("--speed", type=_speed, default=1.0, help="of their time (default: 1)")
    demo.add_argument("--no-browser", action="store_true", help="do not open the page")
    for command in (serve, demo):
        for setting in SETTINGS:
            _add_setting(command, setting)
    status = commands.add_parser("status", help="what the running server says of itself")
    status.set_defaults(run=_status)
    status.add_argument("--url", help="of the server (default: the one that runs here)")
    status.add_argument("--token", help="its secret; also HTMLGRAPH_TOKEN")
    status.add_argument("--json", action="store_true", help="as JSON")
    connect = add_connect_parser(commands, print)
    importer = add_import_parser(commands, print)
    history = add_history_parsers(commands, print)
    why = add_why_parser(commands, print)
    for verbose in (serve, demo, status, connect, importer, *history, why):
        verbose.add_argument("--verbose", action="store_true", help="log everything")
    return parser


def _add_setting(command: argparse.ArgumentParser, setting: Setting) -> None:
    shown = f" (default: {setting.default_text})" if setting.default_text else ""
    dest = f"setting_{setting.name}"
    command.add_argument(
        setting.flag,
        dest=dest,
        metavar=setting.name.split("_")[-1].upper(),
        help=f"{setting.help}{shown}; also {setting.variable}",
        nargs="?" if setting.is_switch else None,
        const="on" if setting.is_switch else None,
    )
    if setting.is_switch:
        flag = setting.flag.replace("--", "--no-")
        command.add_argument(
            flag, dest=dest, action="store_const", const="off", help=argparse.SUPPRESS
        )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 5_000):
        raise argparse.ArgumentTypeError(f"{shorten(text)}, expected 1 to 5000")
    return int(text)


def _speed(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1_000:
        raise argparse.ArgumentTypeError(f"{shorten(text)}, expected more than 0, at most 1000")
    return number


def _config(arguments: argparse.Namespace, **defaults: str) -> Config:
    flags = {setting.name: getattr(arguments, f"setting_{setting.name}") for setting in SETTINGS}
    for name, value in defaults.items():
        if flags[name] is None:
            flags[name] = value
    return make_config(flags, os.environ)


def _say(service: Service, url: str) -> None:
    print(f"htmlgraph-nb {__version__} at {url}  (database: {service.manager.db_path})", flush=True)


def _serve(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    asyncio.run(_run(config, stop_on_eof=arguments.stop_on_eof))
    return 0


async def _run(config: Config, *, stop_on_eof: bool = False, **demo: Any) -> None:
    sockets = listen(config)
    try:
        manager = open_manager(config)
    except HtmlgraphError:
        for opened in sockets:
            opened.close()
        raise
    tasks: list[asyncio.Task[None]] = []

    def on_ready(service: Service, url: str) -> None:
        tune_gc()
        _say(service, url)
        if demo:
            _start_demo(service, url, tasks, **demo)

    stop = asyncio.Event()
    if stop_on_eof:
        _stop_on_eof(asyncio.get_running_loop(), stop)
    try:
        # What real agents left for a server is not for a play.
        await run(config, sockets, manager, on_ready, stop, None if demo else spool_path())
    finally:
        for task in tasks:
            task.cancel()
        manager.close()


def _stop_on_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def wait() -> None:
        # Not sys.stdin: a thread that is left reading from it is an error at Python's end.
        with contextlib.suppress(OSError):
            while os.read(0, 4_096):
                pass
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="htmlgraph-stdin", daemon=True).start()


def _demo(arguments: argparse.Namespace) -> int:
    # Simulated agents get a file of their own: they shall not mix with anybody's real history.
    config = _config(arguments, db=os.path.join(data_dir(), "demo.db"), watch="off")
    agents = simulated_agents(arguments.agents, arguments.seed)
    asyncio.run(
        _run(config, agents=agents, speed=arguments.speed, browser=not arguments.no_browser)
    )
    return 0


def _start_demo(
    service: Service,
    url: str,
    tasks: list[asyncio.Task[None]],
    *,
    agents: list[SimulatedAgent],
    speed: float,
    browser: bool,
) -> None:
    tasks.extend(asyncio.create_task(_live(service, agent, speed)) for agent in agents)
    token = service.config.token
    if browser and _has_browser():
        page = f"{url}/?token={token}" if token else url
        # A browser of a terminal keeps its caller waiting until it is left.
        threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()


async def _live(service: Service, agent: SimulatedAgent, speed: float) -> None:
    for pause_s, event in agent.steps():
        await asyncio.sleep(pause_s / speed)
        try:
            await asyncio.wrap_future(service.manager.submit([event], time.monotonic()))
        except HtmlgraphError as error:
            logging.getLogger("htmlgraph.demo").warning("%s", error)


def _has_browser() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _status(arguments: argparse.Namespace) -> int:
    report = Rest(lambda: candidates(arguments.url, arguments.token)).status_report()
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        print("\n".join(status_lines(report)))
    return 0
