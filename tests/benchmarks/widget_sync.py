"""CPU time of a notebook kernel to update a grid: a batch, and a snapshot with the activity counts.

    python -m tests.benchmarks.widget_sync [--agents 10000] [--changes 100 1000] [--json] [--quick]

``take`` builds the message from the state of the client, ``encode`` serializes it as the kernel
does. The peer ``one text`` encodes the same message with its changes as one JSON string, which
avoids the kernel's own cleaning of messages: compare it with ``encode``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ipykernel.jsonutil import json_clean

from htmlgraph_nb.client.connection_state import ConnectionState
from htmlgraph_nb.core.activity import Activity
from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.core.protocol import Cursor, encode_json
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.widget.sync import UpdateScheduler, View
from tests.benchmarks.table import print_figures, quantile

ROUNDS = 30


@dataclass(frozen=True)
class Figures:
    """Results of one kind of message.

    Attributes:
        take_ms, encode_ms, one_text_ms: medians; None if it does not apply.
        kb: size of the JSON text, 1 KB = 1,000 bytes.
    """

    message: str
    agents: int
    changes: int
    take_ms: float
    encode_ms: float
    one_text_ms: float | None
    kb: float


def make_agents(n_agents: int) -> dict[str, AgentPresence]:
    """Return agents with a value in every field."""
    now = utc_now()
    return {
        f"agent-{number}": AgentPresence(
            f"agent-{number}",
            PresenceStatus.ACTIVE,
            current_feature_id=f"feature-{number % 50}",
            last_tool_name="Bash",
            last_activity=now,
            total_tools_executed=number,
            total_cost_tokens=number * 1000,
            session_id=f"session-{number}",
            detail="tool",
            reason="Bash is running",
            since=now,
            model="claude-opus-4",
            project="checkout",
            host="desk",
            cost_usd=1.25,
            seq=number + 1,
        )
        for number in range(n_agents)
    }


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the median time of ``rounds`` calls."""
    times_ms = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times_ms.append((time.perf_counter() - started) * 1e3)
    return quantile(sorted(times_ms), 0.5) or 0.0


def measure(agents: dict[str, AgentPresence], changes: int, rounds: int) -> Figures:
    """Measure a batch of ``changes`` changes, or with 0 a snapshot with the activity counts."""
    activity = Activity()
    now = utc_now()
    for agent in agents.values():
        activity.count(agent.agent_id, now, 3)
    view = View(
        agents,
        Cursor("e", len(agents)),
        ConnectionState("connected", None, "", "http://h"),
        now,
        lambda: activity.to_dict(now),
    )
    scheduler, clock = UpdateScheduler(10.0, 0.0), iter(range(1, 10**9))
    scheduler.next_message(0.0, view)
    names = list(agents)[:changes]
    seq = len(agents)

    def take() -> dict[str, object]:
        if changes:
            scheduler.on_change(names)
        else:
            scheduler.request_snapshot()
        current = replace(view, cursor=Cursor("e", seq))
        message = scheduler.next_message(next(clock) * 100.0, current) if not changes else None
        return message or scheduler._batch(current)

    message = take()

    def encode_one_text() -> str:
        return json.dumps(json_clean({**message, "messages": encode_json(message["messages"])}))

    return Figures(
        "batch" if changes else "snapshot",
        len(agents),
        changes,
        median_ms(take, rounds),
        median_ms(lambda: json.dumps(json_clean(message)), rounds),
        median_ms(encode_one_text, rounds) if changes else None,
        len(encode_json(message)) / 1e3,
    )


def main() -> None:
    """Measure and print a table, or figures with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--changes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    task = parser.parse_args()
    agents = make_agents(task.agents)
    rounds = 3 if task.quick else ROUNDS
    figures = [measure(agents, changes, rounds) for changes in [*task.changes, 0]]
    print_figures(
        figures,
        ["message", "agents", "changes", "take ms", "encode ms", "one text ms", "KB"],
        lambda row: (
            row.message,
            row.agents,
            row.changes,
            row.take_ms,
            row.encode_ms,
            row.one_text_ms,
            row.kb,
        ),
        as_json=task.json,
    )


if __name__ == "__main__":
    main()
