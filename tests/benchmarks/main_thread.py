"""CPU time of a page's main thread, from Chromium's trace.

Times are the CPU time of the thread, so other processes on the machine do not count. The sums of
Performance.getMetrics would be simpler to read, but omit what runs in microtasks, as most of
JupyterLab does.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

# Mutations between two frames count as one drawing: the second frame shows all of them.
_WATCH = """(selector) => {
  const frames = new Set();
  const watched = new MutationObserver(() => frames.add(document.timeline.currentTime));
  watched.observe(document.querySelector(selector), {
    subtree: true, childList: true, attributes: true, characterData: true,
  });
  globalThis.framesOfChange = () => {
    watched.disconnect();
    return frames.size;
  };
}"""
_CATEGORIES = ["-*", "devtools.timeline", "toplevel"]
_TASK = "ThreadControllerImpl::RunTask"
_SCRIPT = {
    "BlinkScheduler_PerformMicrotaskCheckpoint",
    "EvaluateScript",
    "EventDispatch",
    "FireAnimationFrame",
    "FunctionCall",
    "MajorGC",
    "MinorGC",
    "RunMicrotasks",
    "TimerFire",
    "V8.GC_MC_INCREMENTAL",
    # WebSocket messages arrive here; the microtasks that follow have no event of their own.
    "Receive mojo message",
    "SimpleWatcher::OnHandleReady",
}
_LAYOUT = {"Layout", "UpdateLayoutTree"}


@dataclass(frozen=True)
class Work:
    """Work of the main thread, in milliseconds of CPU time unless noted.

    Attributes:
        script_ms: scripts and what they cause, such as parsing, except forced layout.
        layout_ms: layout and style.
        task_ms: all tasks, including painting and the browser's own.
        tasks_ms: each task with more than 50 ms of real time, ascending.
        longest_ms: real time of the longest task.
        frames: number of frames in which the watched element had changed.
        functions: self time and name of the slowest functions; empty without profiling.
    """

    script_ms: float
    layout_ms: float
    task_ms: float
    tasks_ms: list[float]
    longest_ms: float
    frames: int
    functions: list[tuple[float, str]]


class MainThread:
    """Measures a page's main thread between :meth:`start` and :meth:`stop`.

    Args:
        page: the page.
        profile: also sample the stack, which slows scripts down.
    """

    def __init__(self, page: Page, profile: bool = False) -> None:
        self._page = page
        self._profile = profile
        self._session = page.context.new_cdp_session(page)
        if profile:
            self._session.send("Profiler.enable")
            self._session.send("Profiler.setSamplingInterval", {"interval": 200})

    def start(self, selector: str) -> None:
        """Start; changes of the element at ``selector`` count as drawings."""
        self._page.evaluate(_WATCH, selector)
        if self._profile:
            self._session.send("Profiler.start")
        _browser(self._page).start_tracing(page=self._page, categories=_CATEGORIES)

    def stop(self) -> Work:
        """Stop and return the work since the start."""
        # The page evaluates this between two tasks, so the trace holds all of the last task.
        frames = self._page.evaluate("framesOfChange()")
        trace = json.loads(_browser(self._page).stop_tracing())["traceEvents"]
        functions = (
            _hottest(self._session.send("Profiler.stop")["profile"]) if self._profile else []
        )
        events = _main_thread(trace)
        tasks = [event for event in events if event["name"] == _TASK]
        return Work(
            script_ms=_outermost(events, _SCRIPT) - _outermost(events, _LAYOUT, within=_SCRIPT),
            layout_ms=_outermost(events, _LAYOUT),
            task_ms=_outermost(events, {_TASK}),
            tasks_ms=sorted(_cpu_ms(task) for task in tasks if task["dur"] > 50_000),
            longest_ms=max((task["dur"] / 1_000 for task in tasks), default=0.0),
            frames=frames,
            functions=functions,
        )


def _browser(page: Page) -> Any:
    return page.context.browser


def _main_thread(trace: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the complete events of the busiest renderer's main thread, in order."""
    names = {}
    events: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in trace:
        thread = event["pid"], event["tid"]
        if event["name"] == "thread_name":
            names[thread] = event["args"]["name"]
        elif event["ph"] == "X":
            events[thread].append(event)
    mains = [events[thread] for thread, name in names.items() if name == "CrRendererMain"]
    busiest = max(mains, key=lambda thread_events: _outermost(thread_events, _SCRIPT))
    return sorted(busiest, key=lambda event: (event["ts"], -event["dur"]))


def _cpu_ms(event: dict[str, Any]) -> float:
    return float(event.get("tdur", 0)) / 1_000


def _outermost(
    events: list[dict[str, Any]], names: set[str], within: set[str] | None = None
) -> float:
    """Return the CPU milliseconds of events with these names, nested events counted once.

    Args:
        events: events of one thread, in order.
        names: names of the events to count.
        within: count only events nested in an event with one of these names; None for all.
    """
    total, end, outer_end = 0.0, -1.0, -1.0
    for event in events:
        if within is not None and event["name"] in within:
            outer_end = max(outer_end, event["ts"] + event["dur"])
        if event["name"] in names and event["ts"] >= end:
            end = event["ts"] + event["dur"]
            if within is None or event["ts"] < outer_end:
                total += _cpu_ms(event)
    return total


def _hottest(profile: dict[str, Any], n: int = 30) -> list[tuple[float, str]]:
    names = {}
    for node in profile["nodes"]:
        frame = node["callFrame"]
        location = f"{frame['url'].rsplit('/', 1)[-1][:40]}:{frame['lineNumber'] + 1}"
        names[node["id"]] = f"{frame['functionName'] or '(anonymous)'} {location}"
    self_us: Counter[str] = Counter()
    for node_id, delta_us in zip(profile["samples"], profile["timeDeltas"], strict=True):
        self_us[names[node_id]] += delta_us
    return [(us / 1_000, name) for name, us in self_us.most_common(n)]
