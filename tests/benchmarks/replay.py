"""Seeking in a stored history with the replay index, compared with applying all events again.

    python -m tests.benchmarks.replay [--events 1000000] [--agents 200] [--jumps 200] [--json]
        [--quick]

``load`` builds the index of a frame in memory. A jump shows all agents at a random time that was
not visited before; ``step`` is one step of a running replay, 6 s of history later. The peer,
``folding``, applies every event up to that time to a Roster; its times are extrapolated from its
events per second. Memory is the peak of the process, including the frame.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Roster
from htmlgraph_nb.core.timestamps import from_micros
from htmlgraph_nb.replay.index import HistoryIndex
from tests.benchmarks.decided import with_decisions
from tests.benchmarks.table import print_figures, quantile

START = 1_736_866_230_000_000
DAY = 86_400_000_000
TURN = ["prompt", *["tool_start", "tool_execute", "completion"] * 8, "stop"]
SESSION = ["session_start", *TURN * 20, "session_end"]
FOLDED = 20_000
"""Number of events that the peer applies in the measurement."""


@dataclass(frozen=True)
class Figures:
    """Results of one way.

    Attributes:
        load_s: seconds until the first jump is possible.
        jump_p50_ms, jump_p99_ms, jump_max_ms: times of jumps to random times; of the peer, to 50,
            99 and 100 % of the history.
        step_p50_ms: time of a step forward; None for the peer.
        peak_mb: peak resident memory of the process so far, 1 MB = 1,000,000 bytes.
    """

    way: str
    events: int
    agents: int
    load_s: float
    jump_p50_ms: float
    jump_p99_ms: float
    jump_max_ms: float
    step_p50_ms: float | None
    peak_mb: float


def history(n_events: int, n_agents: int) -> pd.DataFrame:
    """Return a typed frame with a week of working agents, each in sessions of 522 events."""
    random = np.random.default_rng(1)
    agents = random.integers(0, n_agents, n_events)
    rank = np.empty(n_events, dtype="int64")
    by_agent = np.argsort(agents, kind="stable")
    counts = np.bincount(agents, minlength=n_agents)
    rank[by_agent] = np.arange(n_events) - np.repeat(np.cumsum(counts) - counts, counts)
    rank += random.integers(0, len(SESSION), n_agents)[agents]
    types, codes = np.unique(SESSION, return_inverse=True)
    type_code = codes[rank % len(SESSION)]
    is_tool = np.char.startswith(types, "tool")[type_code]
    is_completion = types[type_code] == "completion"
    calls = np.where(is_tool, np.char.add("call-", (rank // 3).astype(str)), None)
    sessions = rank // len(SESSION) * n_agents + agents
    tools = np.where(is_tool, rank // 3 % 3, -1)
    frame = pd.DataFrame(
        {
            "seq": np.arange(1, n_events + 1),
            "timestamp": pd.to_datetime(
                START + np.sort(random.integers(0, 7 * DAY, n_events)), unit="us", utc=True
            ),
            "agent_id": _names(agents, [f"agent-{number}" for number in range(n_agents)]),
            "event_type": _names(type_code, list(types)),
            "session_id": pd.Series(sessions).astype(str).astype("category"),
            "tool_name": _names(tools, ["Bash", "Edit", "Read"]),
            "tool_use_id": pd.Series(calls, dtype="string"),
            "cost_tokens": pd.Series(np.where(is_completion, 1200, 0), dtype="Int64"),
            "cost_usd": np.where(is_completion, 0.0125, np.nan),
        }
    )
    return with_decisions(frame)


def _names(codes: np.ndarray, names: list[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=names)


def measure_index(frame: pd.DataFrame, n_agents: int, jumps: int) -> Figures:
    """Measure the index."""
    started = time.perf_counter()
    index = HistoryIndex(frame)
    load_s = time.perf_counter() - started
    random = np.random.default_rng(2)
    times = random.integers(index.start, index.end, jumps).tolist()
    jump_ms = sorted(_ms(lambda at=at: index.presences(index.at(at))) for at in times)
    previous = index.at(START + DAY)
    steps = []
    for number in range(jumps):
        started = time.perf_counter()
        following = index.at(START + DAY + (number + 1) * 6_000_000)
        for agent in following.differs_from(previous).tolist():
            index.presence(following, agent)
        previous = following
        steps.append((time.perf_counter() - started) * 1e3)
    return Figures(
        "index",
        len(frame),
        n_agents,
        load_s,
        quantile(jump_ms, 0.5) or 0.0,
        quantile(jump_ms, 0.99) or 0.0,
        jump_ms[-1],
        quantile(sorted(steps), 0.5),
        _peak_mb(),
    )


def measure_folding(frame: pd.DataFrame, n_agents: int) -> Figures:
    """Measure a Roster that applies the events from the start; extrapolate from its speed."""
    started = time.perf_counter()
    n = min(FOLDED, len(frame))
    head = frame.head(n)
    stamps = head["timestamp"].dt.tz_localize(None).to_numpy("datetime64[us]").view("int64")
    columns = [
        head[name].astype(object).where(head[name].notna(), None).tolist()
        for name in ("agent_id", "event_type", "session_id", "tool_name", "tool_use_id")
    ]
    events = [
        Event(
            agent_id=agent,
            event_type=event_type,
            timestamp=from_micros(at),
            session_id=session,
            tool_name=tool,
            tool_use_id=call,
        )
        for at, agent, event_type, session, tool, call in zip(
            stamps.tolist(), *columns, strict=True
        )
    ]
    load_s = (time.perf_counter() - started) * len(frame) / n
    roster = Roster()
    started = time.perf_counter()
    for seq, event in enumerate(events, 1):
        roster.apply(event, seq, event.timestamp or from_micros(0))
    roster.commit()
    total_ms = (time.perf_counter() - started) * 1e3 * len(frame) / n
    return Figures(
        "folding",
        len(frame),
        n_agents,
        load_s,
        total_ms / 2,
        total_ms * 0.99,
        total_ms,
        None,
        _peak_mb(),
    )


def _ms(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return (time.perf_counter() - started) * 1e3


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    """Measure both ways and print a table, or figures with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--jumps", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="20,000 events and 20 jumps")
    task = parser.parse_args()
    n_events, jumps = (20_000, 20) if task.quick else (task.events, task.jumps)
    frame = history(n_events, task.agents)
    figures = [measure_index(frame, task.agents, jumps), measure_folding(frame, task.agents)]
    print_figures(
        figures,
        ["way", "events", "agents", "load s", "jump p50 ms", "p99", "max", "step ms", "peak MB"],
        lambda row: (
            row.way,
            row.events,
            row.agents,
            row.load_s,
            row.jump_p50_ms,
            row.jump_p99_ms,
            row.jump_max_ms,
            row.step_p50_ms,
            row.peak_mb,
        ),
        as_json=task.json,
    )


if __name__ == "__main__":
    main()
