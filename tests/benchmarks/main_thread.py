"""What a page's main thread does in a while, as Chromium's own trace tells it.

Times are the thread's CPU time, so that other processes on the machine do not count. Chromium's
sums (Performance.getMetrics) would be shorter to read, but leave out what runs in microtasks, as
most of JupyterLab does.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

# Mutations of one frame are one drawing: what is told between two frames is drawn by the second.
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
    # Where a WebSocket's messages arrive: microtasks that follow have no event of their own.
    "Receive mojo message",
    "SimpleWatcher::OnHandleReady",
}
_LAYOUT = {"Layout", "UpdateLayoutTree"}


@dataclass(frozen=True)
class Work:
    """What the main thread did, in milliseconds of its CPU time unless said otherwise.

    Attributes:
        script_ms: in scripts and what they cause, as parsing, without the layout that they asked
            for.
        layout_ms: in layout and style.
        task_ms: in all tasks, painting and the browser's own among them.
        tasks_ms: of each task of more than 50 ms of real time, ascending.
        longest_ms: real time of the longest task.
        frames: frames in which the watched element had changed.
        functions: own milliseconds of the functions that took most; empty without profiling.
    """

    script_ms: float
    layout_ms: float
    task_ms: float
    tasks_ms: list[float]
    longest_ms: float
    frames: int
    functions: list[tuple[float, str]]


class MainThread:
    """Watches a page's main thread between :meth:`begin` and :meth:`end`.

    Args:
        page: whose documents it is to be.
        profile: sample the stack as well, which makes scripts slower.
    """

    def __init__(self, page: Page, profile: bool = False) -> None:
        self._page = page
        self._profile = profile
        self._session = page.context.new_cdp_session(page)
        if profile:
            self._session.send("Profiler.enable")
            self._session.send("Profiler.setSamplingInterval", {"interval": 200})

    def begin(self, selector: str) -> None:
        """Begin; ``selector`` names the element whose changes are drawings."""
        self._page.evaluate(_WATCH, selector)
        if self._profile:
            self._session.send("Profiler.start")
        _browser(self._page).start_tracing(page=self._page, categories=_CATEGORIES)

    def end(self) -> Work:
        """End and return what happened since."""
        # The page answers between two tasks: the last one is then whole in the trace.
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
    """Return the complete events of the renderer's main thread that ran most scripts, in order."""
    names = {}
    events: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in trace:
        thread = event["pid"], event["tid"]
        if event["name"] == "thread_name":
            names[thread] = event["args"]["name"]
        elif event["ph"] == "X":
            events[thread].append(event)
    mains = [events[thread] for thread, name in names.items() if name == "CrRendererMain"]
    busiest = max(mains, key=lambda found: _outermost(found, _SCRIPT))
    return sorted(busiest, key=lambda event: (event["ts"], -event["dur"]))


def _cpu_ms(event: dict[str, Any]) -> float:
    return float(event.get("tdur", 0)) / 1_000


def _outermost(
    events: list[dict[str, Any]], names: set[str], within: set[str] | None = None
) -> float:
    """Add up the events of these names that lie in none of the same names.

    Args:
        within: count only those that lie in an event of these names; None: all.
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
        place = f"{frame['url'].rsplit('/', 1)[-1][:40]}:{frame['lineNumber'] + 1}"
        names[node["id"]] = f"{frame['functionName'] or '(anonymous)'} {place}"
    spent: Counter[str] = Counter()
    for node_id, delta_us in zip(profile["samples"], profile["timeDeltas"], strict=True):
        spent[names[node_id]] += delta_us
    return [(us / 1_000, name) for name, us in spent.most_common(n)]
