"""The live grid in JupyterLab: latency of changes, and main-thread time per drawing.

    python -m tests.benchmarks.grid [--part latency|drawing] [--agents 100 1000 10000]
        [--only AgentGrid …] [--seconds 10] [--profile] [--json] [--quick]

``latency`` times 20 changes a second, each from before its POST to the changed document, while the
kernel is idle, sleeps in a cell and runs a busy loop. ``drawing`` sends 1,000 changes a second in
ten requests and counts what Chromium's main thread does per drawing, for the grid and its peers:
the page at ``/``, HTML boxes of ipywidgets and a DataFrame that is displayed repeatedly. Compare
their milliseconds per drawing. Everything runs on this machine at once, and without a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.benchmarks.change_times import AGENT, change_times
from tests.benchmarks.grid_load import BATCHES_PER_S, Changes
from tests.benchmarks.grid_peers import LARGEST, PEERS, START_CELLS, cell
from tests.benchmarks.main_thread import MainThread
from tests.benchmarks.table import print_table, quantile
from tests.e2e.browser import Watched, chromium
from tests.e2e.jupyter import Jupyter, Notebook, running_jupyter
from tests.helpers.server_process import Server, running

CELLS = {
    "idle": "",
    "time.sleep": "import time\ntime.sleep(3600)",
    "busy loop": "n = 0\nwhile True:\n    n += 1",
}
RATE = 20.0
CHANGES_PER_S = 1_000.0
PAGE = "page at /"
OUTPUT = '[data-cell-index="0"] .jp-OutputArea'
_HAS_AGENTS = "(selector) => document.querySelector(selector)?.textContent.includes('agent-')"
VIEWPORT = {"width": 1_280, "height": 900}
OPEN_S = 120.0
LONG_TASK_MS = 50.0


@dataclass(frozen=True)
class Latency:
    """Latencies from request to document, in milliseconds."""

    kernel: str
    max_rate: float
    events: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass(frozen=True)
class Drawing:
    """Main-thread time per drawing.

    Attributes:
        drawn_per_s: drawings a second, at most one per request (10).
        script_ms, layout_ms, task_ms: CPU milliseconds per drawing, as in ``main_thread.Work``;
            None if nothing was drawn.
        busy: share of the time in which the thread was computing.
        long_tasks: tasks of more than 50 ms of CPU time, per second.
        longest_cpu_ms, longest_ms: CPU time and real time of the longest task; real time grows
            when other processes compete for the cores.
    """

    shown_by: str
    agents: int
    drawn_per_s: float
    script_ms: float | None
    layout_ms: float | None
    task_ms: float | None
    busy: float
    long_tasks: float
    longest_cpu_ms: float | None
    longest_ms: float


@contextmanager
def _notebook(jupyter: Jupyter, browser: Browser, *cells: str) -> Iterator[Notebook]:
    """Open a notebook in its own browser profile; shut its kernel down at the end."""
    context = browser.new_context(viewport=VIEWPORT)
    try:
        page = context.new_page()
        page.set_default_timeout(OPEN_S * 1_000)
        name = f"{time.time_ns()}.ipynb"
        n_cells = jupyter.write(name, *cells)
        page.goto(jupyter.address(name))
        notebook = Notebook(Watched(page), n_cells, jupyter.folder / name)
        yield notebook
        notebook.shut_down()
    finally:
        context.close()


def measure_latency(
    jupyter: Jupyter, browser: Browser, server: Server, options: argparse.Namespace
) -> Iterator[Latency]:
    """Time changes while each kind of cell runs."""
    server.send(AGENT)
    for max_rate in options.max_rate:
        for kernel in options.kernel:
            source = CELLS[kernel]
            show = cell("AgentGrid", server.url, 1, max_rate)
            with _notebook(jupyter, browser, show, source) as notebook:
                notebook.run(0)
                notebook.card(AGENT).wait_for()
                if source:
                    notebook.start(1)
                page = notebook.page
                times = change_times(page, server.url, options.events, RATE, [])["document"]
                if source:
                    assert notebook.running(1), "the cell ended before the last change"
            figures = [quantile(times, 0.5), quantile(times, 0.99), times[-1]]
            yield Latency(kernel, max_rate, len(times), *figures)


def measure_drawing(
    jupyter: Jupyter, browser: Browser, folder: Path, options: argparse.Namespace
) -> Iterator[Drawing]:
    """Measure the main thread for each way to show each number of agents."""
    for agents in options.agents:
        for name in (PAGE, *PEERS):
            if agents > LARGEST.get(name, agents) or (options.only and name not in options.only):
                continue
            with running(folder / f"{time.time_ns()}") as server:
                changes = Changes(server.url, agents, CHANGES_PER_S)
                changes.create_agents()
                with _show_agents(name, jupyter, browser, server, agents) as (page, selector):
                    yield _measure_drawing(page, selector, name, agents, changes, options)


@contextmanager
def _show_agents(
    name: str, jupyter: Jupyter, browser: Browser, server: Server, agents: int
) -> Iterator[tuple[Page, str]]:
    """Show the agents; yield the page and a selector of the element that contains them."""
    if name == PAGE:
        context = browser.new_context(viewport=VIEWPORT)
        try:
            page = context.new_page()
            page.goto(server.url)
            page.locator("[data-agent-id]").first.wait_for()
            yield page, ".htmlgraph-grid"
        finally:
            context.close()
        return
    source = cell(name, server.url, agents, BATCHES_PER_S)
    with _notebook(jupyter, browser, source, START_CELLS.get(name, "")) as notebook:
        notebook.run(0)
        notebook.output(0)
        notebook.page.wait_for_function(_HAS_AGENTS, arg=OUTPUT)
        notebook.run(1)
        yield notebook.page, OUTPUT


def _measure_drawing(
    page: Page, selector: str, name: str, agents: int, changes: Changes, options: argparse.Namespace
) -> Drawing:
    thread = MainThread(page, profile=options.profile)
    changes.start()
    time.sleep(options.settle)
    thread.start(selector)
    started, sent = time.monotonic(), changes.sent
    time.sleep(options.seconds)
    work = thread.stop()
    elapsed, offered = time.monotonic() - started, changes.sent - sent
    changes.stop()
    for own_ms, function in work.functions:
        print(f"{own_ms:10.1f} ms  {function}", file=sys.stderr)
    drawn = min(work.frames, offered)
    totals_ms = (work.script_ms, work.layout_ms, work.task_ms)
    return Drawing(
        name,
        agents,
        drawn / elapsed,
        *(ms / drawn if drawn else None for ms in totals_ms),
        work.task_ms / 1_000 / elapsed,
        sum(cpu_ms > LONG_TASK_MS for cpu_ms in work.tasks_ms) / elapsed,
        work.tasks_ms[-1] if work.tasks_ms else None,
        work.longest_ms,
    )


def _print_latency(rows: list[Latency]) -> None:
    print(f"From POST to document, {RATE:g} changes a second, milliseconds")
    heads = ["kernel", "max_rate", "p50", "p99", "max"]
    print_table(heads, [[r.kernel, r.max_rate, r.p50_ms, r.p99_ms, r.max_ms] for r in rows])


def _print_drawing(rows: list[Drawing]) -> None:
    print(
        f"{CHANGES_PER_S:,.0f} changes a second in {BATCHES_PER_S} batches, CPU ms for each drawing"
    )
    heads = "shown by,agents,drawn/s,script,layout,all tasks,busy,> 50 ms/s,longest,longest (real)"
    table = []
    for r in rows:
        per_drawing = [r.script_ms, r.layout_ms, r.task_ms]
        busy = f"{r.busy:.0%}"
        first = [r.shown_by, r.agents, r.drawn_per_s]
        table.append([*first, *per_drawing, busy, r.long_tasks, r.longest_cpu_ms, r.longest_ms])
    print_table(heads.split(","), table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; ``arguments`` default to the command line."""
    options = _options(arguments)
    latency: list[Latency] = []
    drawing: list[Drawing] = []
    with (
        tempfile.TemporaryDirectory(prefix="htmlgraph-bench-") as folder,
        running(Path(folder) / "home") as server,
        running_jupyter("lab", Path(folder) / "jupyter", {}) as jupyter,
        chromium() as browser,
    ):
        if options.part in (None, "latency"):
            latency.extend(measure_latency(jupyter, browser, server, options))
        if options.part in (None, "drawing"):
            drawing.extend(measure_drawing(jupyter, browser, Path(folder), options))
    if options.json:
        parts = {"latency": latency, "drawing": drawing}
        print(json.dumps({part: [asdict(row) for row in rows] for part, rows in parts.items()}))
        return 0
    if latency:
        _print_latency(latency)
    if drawing:
        _print_drawing(drawing)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", choices=["latency", "drawing"], help="run only this part")
    parser.add_argument("--events", type=int, default=300, help="events to time (default 300)")
    parser.add_argument(
        "--max-rate",
        type=float,
        nargs="+",
        default=[10.0, 30.0, 60.0],
        help="max_rate of AgentGrid (default 10, 30 and 60)",
    )
    parser.add_argument("--kernel", nargs="+", choices=[*CELLS], default=[*CELLS])
    parser.add_argument("--agents", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--only", nargs="+", choices=[PAGE, *PEERS], help="ways to show the agents")
    parser.add_argument(
        "--seconds", type=float, default=10, help="duration of the measurement (default 10)"
    )
    parser.add_argument(
        "--settle", type=float, default=5, help="seconds to wait before it (default 5)"
    )
    parser.add_argument(
        "--profile", action="store_true", help="print the slowest functions to stderr"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--quick", action="store_true", help="one latency run, 100 agents for 2 seconds"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.events, options.agents, options.seconds = 20, [100], 2.0
        options.settle = 0.5
        options.max_rate, options.kernel = options.max_rate[-1:], options.kernel[-1:]
    return options


if __name__ == "__main__":
    sys.exit(main())
