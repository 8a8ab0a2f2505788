"""What a page's main thread does in a while, as Chromium's own counters tell it."""

from __future__ import annotations

from collections import Counter
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
  const tasks = [];
  const long = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) tasks.push(entry.duration);
  });
  long.observe({ entryTypes: ["longtask"] });
  globalThis.mainThread = () => {
    watched.disconnect();
    for (const entry of long.takeRecords()) tasks.push(entry.duration);
    long.disconnect();
    return { frames: frames.size, tasks };
  };
}"""
_COUNTERS = {
    "script_ms": ("ScriptDuration",),
    "layout_ms": ("LayoutDuration", "RecalcStyleDuration"),
    "task_ms": ("TaskDuration",),
}


@dataclass(frozen=True)
class Work:
    """What the main thread did.

    Attributes:
        script_ms: in scripts, without the layout that they asked for.
        layout_ms: in layout and style.
        task_ms: in all tasks, painting and the browser's own among them.
        frames: frames in which the watched element had changed.
        long_ms: durations of the tasks of more than 50 ms.
        functions: own milliseconds of the functions that took most; empty without profiling.
    """

    script_ms: float
    layout_ms: float
    task_ms: float
    frames: int
    long_ms: list[float]
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
        self._session.send("Performance.enable")
        if profile:
            self._session.send("Profiler.enable")
            self._session.send("Profiler.setSamplingInterval", {"interval": 200})
        self._before: dict[str, float] = {}

    def begin(self, selector: str) -> None:
        """Begin; ``selector`` names the element whose changes are drawings."""
        self._page.evaluate(_WATCH, selector)
        if self._profile:
            self._session.send("Profiler.start")
        self._before = self._counters()

    def end(self) -> Work:
        """End and return what happened since."""
        after = self._counters()
        functions = (
            _hottest(self._session.send("Profiler.stop")["profile"]) if self._profile else []
        )
        seen = self._page.evaluate("mainThread()")
        spent = {
            kind: 1_000 * sum(after[name] - self._before[name] for name in names)
            for kind, names in _COUNTERS.items()
        }
        return Work(
            **spent,
            frames=seen["frames"],
            long_ms=sorted(seen["tasks"]),
            functions=functions,
        )

    def _counters(self) -> dict[str, float]:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in metrics}


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
