"""Forwarding from one server to another: faults under load, and the latency to a dashboard.

    python -m tests.benchmarks.forwarding [--rounds 20] [--json]

Each round kills the edge, cuts its connection, and kills the centre (SIGKILL), in turn, while
events are posted to the edge; then both databases and a dashboard of the centre must agree. The
latency is measured without faults, from the request to the edge until a dashboard of the centre
has the change; the peer is a dashboard of the edge's own server in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import htmlgraph_nb as hg
from tests.benchmarks.table import print_table, quantile
from tests.helpers.forwarding_rounds import FAULTS, ForwardingRounds, forwarding_rounds


def measure(rounds: ForwardingRounds) -> dict[str, float | None]:
    """Return the latencies in ms, to a dashboard of the centre and to one of the edge."""
    own: list[float] = []

    def on_change(changed: set[str], agents: dict[str, hg.AgentPresence]) -> None:
        load = rounds.load
        if "probe" in changed and load is not None:
            sent = load.sent.get(agents["probe"].title or "")
            if sent is not None:
                own.append(time.monotonic() - sent)

    rounds.latencies.clear()
    client = hg.PresenceClient(rounds.edge.url)
    client.on_change(on_change)
    with client:
        rounds.run("none", n_posts=200)
    figures = {}
    for name, values in (("centre", rounds.latencies), ("edge", own)):
        for q in (0.5, 0.99):
            value = quantile(sorted(values), q)
            figures[f"{name}_p{q * 100:g}_ms"] = None if value is None else round(1_000 * value, 1)
    return figures


def main() -> int:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, forwarding_rounds(Path(folder)) as rounds:
        figures = measure(rounds)
        for _ in range(arguments.rounds):
            for fault in FAULTS:
                rounds.run(fault)
        figures |= {"rounds": arguments.rounds, "events": rounds.n_events}
    # A round that finds a difference raises.
    figures |= {"missing": 0, "twice": 0}
    if arguments.json:
        print(json.dumps(figures))
    else:
        print_table(["figure", "value"], [*figures.items()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
