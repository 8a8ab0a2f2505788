"""What alerts cost: the evaluation alone, and a server with and without rules.

    python -m tests.benchmarks.alerts [--agents 10000] [--changes 1000] [--clients 200]
        [--seconds 5] [--json] [--quick]

``evaluate`` applies changes of many agents to an Evaluator: tool calls that cost tokens and
dollars, and one in fifty that waits for a person or works again. ``core`` is its share of a core at
``changes`` a second. The servers get the same load as in the benchmark ``fanout``: ``without`` has
no rules, ``default`` the default ones, ``all`` one rule of each kind. ``delivery_ms`` is the median
time from an event, with a rule without a duration, until a local webhook has received the alert;
one second of it is the time in which alerts of a rule are collected. ``load`` is the load average
of the machine at the start: compare runs with a low one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from htmlgraph_nb.alerts.alert_rule import DEFAULT_RULES, RULE_KINDS, AlertRule
from htmlgraph_nb.alerts.evaluation.evaluate import Evaluator
from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus
from htmlgraph_nb.core.timestamps import to_rfc3339
from tests.benchmarks.load import Load
from tests.benchmarks.machine import allow_open_files, pin, shared_out, usage
from tests.benchmarks.servers import Poster, Running, htmlgraph, preload
from tests.benchmarks.table import print_figures
from tests.helpers.alert_receiver import AlertReceiver, alert_receiver

BATCH = 10
AGENTS_OF_SERVER = 200
N_DELIVERIES = 5
DRAIN_S = 30.0
"""How long a busy machine may take to deliver the rest."""
ALL_RULES = (
    *(
        AlertRule(name=kind, kind=kind, threshold=known.default or 1e9, for_s=known.for_s)
        for kind, known in RULE_KINDS.items()
    ),
    AlertRule(name="day", kind="budget", threshold=1e9, by="project", period="day"),
)
_ALL_TOML = "".join(
    f'[[rule]]\nkind = "{kind}"\n'
    + ("threshold = 1e9\n" if known.threshold and known.default is None else "")
    for kind, known in RULE_KINDS.items()
)
RULES = {
    "without": "rule = []\n",
    "default": "",
    "all": f'{_ALL_TOML}[[rule]]\nkind = "budget"\nthreshold = 1e9\nby = "project"\n',
}
_DELIVERY = '[[rule]]\nkind = "waits"\nname = "delivery"\nfor = "0s"\nagents = ["delivery-*"]\n'


@dataclass(frozen=True)
class Figures:
    """Results of one case.

    Attributes:
        case: what ran.
        us_per_change: microseconds of evaluation for each change; None for servers.
        core: cores used.
        p99_ms: 99th percentile of the latency of dashboards; None for ``evaluate``.
        delivered: share of all frames that arrived; None for ``evaluate``.
        delivery_ms: from an event to the received webhook; None without rules.
        load: load average over one minute at the start.
    """

    case: str
    us_per_change: float | None
    core: float
    p99_ms: float | None
    delivered: float | None
    delivery_ms: float | None
    load: float


def evaluate(name: str, rules: Sequence[AlertRule], agents: int, changes: float) -> Figures:
    """Measure the evaluation of changes of many agents."""
    load, now = os.getloadavg()[0], datetime(2026, 11, 30, 12, tzinfo=UTC)
    known = [
        AgentPresence(
            f"agent-{n:05d}",
            PresenceStatus.ACTIVE,
            last_activity=now,
            detail="working",
            detail_since=now,
            project=f"project-{n % 50}",
            agent_kind="claude",
            host=f"host-{n % 20}",
            cost_usd=0.0,
        )
        for n in range(agents)
    ]
    evaluator = Evaluator(rules)
    evaluator.start(known, now)
    if evaluator.budgets.needs_totals:
        evaluator.budgets.begin()
        evaluator.budgets.finish([], 0, now)
    work: list[tuple[AgentPresence, Event, datetime]] = []
    for number in range(20 * agents):
        index = (number * 7) % agents
        now += timedelta(microseconds=int(1e6 / changes))
        asks = number % 50 == 0
        before = known[index]
        presence = known[index] = replace(
            before,
            last_activity=now,
            attention=asks,
            detail="waiting_permission" if asks else "working",
            detail_since=now if asks != before.attention else before.detail_since,
            total_cost_tokens=before.total_cost_tokens + 100,
            cost_usd=(before.cost_usd or 0.0) + 0.001,
            context_tokens=number % 200_000,
            context_window=200_000,
            seq=number,
        )
        event = Event(
            agent_id=presence.agent_id,
            event_type="tool_execute",
            timestamp=now,
            tool_name="Bash",
            duration_ms=50,
            input_hash=number % 1_000,
        )
        work.append((presence, event, now))
    started = time.process_time()
    for start in range(0, len(work), BATCH):
        for presence, event, at in work[start : start + BATCH]:
            evaluator.apply(presence.agent_id, presence, at, event, {})
        due = evaluator.next_due
        if due is not None and due <= at:
            evaluator.tick(at)
            evaluator.take()
    us = 1e6 * (time.process_time() - started) / len(work)
    return Figures(name, us, us * changes / 1e6, None, None, None, load)


@contextlib.contextmanager
def _server(case: str, receiver: AlertReceiver, serving: Sequence[int]) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="htmlgraph-bench-") as folder:
        path = Path(folder) / "alerts.toml"
        path.write_text(RULES[case])
        if case != "without":
            text = "".join(
                f'[[rule]]\nkind = "{rule.kind}"\n' for rule in DEFAULT_RULES if case == "default"
            )
            channel = f'[channels.hook]\ntype = "webhook"\nurl = "{receiver.url}"\n'
            path.write_text(RULES[case] + text + _DELIVERY + channel)
        with htmlgraph(serving, "--alerts", str(path)) as server:
            yield server


def serve(case: str, options: argparse.Namespace) -> Figures:
    """Measure a server under load, then how long an alert takes."""
    serving, loading = shared_out()
    pin(*loading)
    average = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(alert_receiver("ok"))
        server = stack.enter_context(_server(case, receiver, serving))
        preload(server, loading, AGENTS_OF_SERVER)
        load = Load(server.address, "/ws/broadcasts", has_state=True)
        stack.callback(load.close)
        load.connect(options.clients)
        load.run(time.monotonic() + 0.5)
        flags = ["--rate", str(options.changes), "--batch", str(BATCH)]
        flags += ["--agents", str(AGENTS_OF_SERVER), "--seconds", str(options.seconds + 1)]
        poster = stack.enter_context(contextlib.closing(Poster(server, loading, *flags)))
        load.run(time.monotonic() + 1)
        own_cores = serving if serving != loading else ()
        first, wall = usage(server.process.pid, own_cores), time.time()
        load.run(time.monotonic() + options.seconds)
        last, wall_end = usage(server.process.pid, own_cores), time.time()

        def all_received() -> bool:
            figures = poster.figures()
            return figures is not None and load.n_frames >= figures["accepted"] * options.clients

        load.run(time.monotonic() + DRAIN_S, all_received)
        figures = poster.figures()
        expected = (figures["accepted"] if figures else 0) * options.clients
        _, p99 = load.latencies_ms(wall, wall_end)
        delivery = None if case == "without" else _delivery_ms(server, receiver)
        return Figures(
            case,
            None,
            last.cores_since(first),
            p99,
            load.n_frames / expected if expected else 0.0,
            delivery,
            average,
        )


def _delivery_ms(server: Running, receiver: AlertReceiver) -> float:
    """Return the median time from an event to the webhook about it."""
    times = []
    for number in range(N_DELIVERIES):
        before, agent = len(receiver.requests), f"delivery-{number}"
        started = time.monotonic()
        event = {
            "agent_id": agent,
            "event_type": "permission_request",
            "timestamp": to_rfc3339(datetime.now(UTC)),
        }
        server.post("/api/events", event)
        deadline = started + 30
        while not any(agent in r.body.decode() for r in receiver.requests[before:]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no webhook about {agent} within 30 s")
            time.sleep(0.002)
        times.append(1_000 * (time.monotonic() - started))
    return statistics.median(times)


HEADS = ("case", "µs/change", "core", "p99 ms", "delivered", "delivery ms", "load")


def row(figures: Figures) -> list[object]:
    """Return the row of the table."""
    return [
        figures.case,
        figures.us_per_change,
        f"{100 * figures.core:.1f} %",
        figures.p99_ms,
        None if figures.delivered is None else f"{100 * figures.delivered:.2f} %",
        figures.delivery_ms,
        figures.load,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, default=10_000, help="of the evaluation alone")
    parser.add_argument("--changes", type=float, default=1_000, help="changes a second")
    parser.add_argument("--clients", type=int, default=200, help="dashboards of the servers")
    parser.add_argument("--seconds", type=float, default=5, help="measured, after a warm-up of 1")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="a small load")
    options = parser.parse_args()
    if options.quick:
        options.agents, options.clients, options.seconds = 500, 20, 0.7
        options.changes = 200.0
    allow_open_files(2 * options.clients + 4_096)
    results = [
        evaluate("evaluate, default", DEFAULT_RULES, options.agents, options.changes),
        evaluate("evaluate, all", ALL_RULES, options.agents, options.changes),
        *(serve(case, options) for case in RULES),
    ]
    print_figures(results, HEADS, row, as_json=options.json)


if __name__ == "__main__":
    main()
