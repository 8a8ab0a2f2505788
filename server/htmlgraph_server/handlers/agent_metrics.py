"""Metrics of agents and alerts, with a bounded number of time series."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric

from htmlgraph_nb.core.agent_facts import CANNOT_WORK
from htmlgraph_nb.core.model import AgentPresence

from ..hub.alert_feed import AlertFeed

MAX_LABEL_VALUES = 20
"""Most projects, kinds of agents and rules with series of their own; the rest is OTHER."""
OTHER = "other"
STEP_AGENTS = 1_000
"""Number of agents that one step adds up."""
STATES_OF_AGENTS = ("waiting", "cannot_work", "active", "idle", "offline")


@dataclass(frozen=True, slots=True)
class AgentSums:
    """Sums over all known agents, by kind of agent and project.

    Attributes:
        counts: number of agents by kind, project and state.
    """

    counts: dict[tuple[str, str, str], int]
    tokens: dict[tuple[str, str], int]
    usd: dict[tuple[str, str], float]


def agent_sum_steps(agents: Sequence[AgentPresence]) -> Generator[None, None, AgentSums]:
    """Add up the agents in steps; yield between them, return the sums."""
    project_counts: Counter[str] = Counter()
    kind_counts: Counter[str] = Counter()
    for start in range(0, len(agents), STEP_AGENTS):
        part = agents[start : start + STEP_AGENTS]
        project_counts.update(agent.project or "" for agent in part)
        kind_counts.update(agent.agent_kind or "" for agent in part)
        yield
    projects, kinds = _largest(project_counts), _largest(kind_counts)
    counts: Counter[tuple[str, str, str]] = Counter()
    tokens: defaultdict[tuple[str, str], int] = defaultdict(int)
    usd: defaultdict[tuple[str, str], float] = defaultdict(float)
    for index, agent in enumerate(agents, 1):
        kind = agent.agent_kind or ""
        project = agent.project or ""
        key = kind if kind in kinds else OTHER, project if project in projects else OTHER
        counts[*key, _state(agent)] += 1
        tokens[key] += agent.total_cost_tokens
        usd[key] += agent.cost_usd or 0.0
        if index % STEP_AGENTS == 0:
            yield
    return AgentSums(counts, tokens, usd)


def agent_metrics(sums: AgentSums) -> Iterator[Metric]:
    """Yield agents by kind, project and state, and their tokens and dollars.

    They count the agents that are known now; removed ones no longer count.
    """
    labels = ["agent_kind", "project"]
    by_state = GaugeMetricFamily(
        "htmlgraph_agents_by_state",
        "Agents by kind, project and state",
        labels=[*labels, "state"],
    )
    for three, n in sorted(sums.counts.items()):
        by_state.add_metric(three, n)
    used = GaugeMetricFamily("htmlgraph_agent_tokens", "Tokens of the known agents", labels=labels)
    cost = GaugeMetricFamily(
        "htmlgraph_agent_cost_usd", "Known cost of the known agents", labels=labels
    )
    for key in sorted(sums.tokens):
        used.add_metric(key, sums.tokens[key])
        cost.add_metric(key, sums.usd[key])
    yield from (by_state, used, cost)


def alert_metrics(feed: AlertFeed) -> Iterator[Metric]:
    """Yield the firing alerts by rule and severity, and whether alerts are muted."""
    rules = _largest(Counter(alert.rule for alert in feed.firing.values()))
    counts = Counter(
        (alert.rule if alert.rule in rules else OTHER, alert.severity)
        for alert in feed.firing.values()
    )
    firing = GaugeMetricFamily(
        "htmlgraph_alerts_firing",
        "Alerts that are firing, acknowledged or not",
        labels=["rule", "severity"],
    )
    for key, n in sorted(counts.items()):
        firing.add_metric(key, n)
    yield firing
    yield GaugeMetricFamily(
        "htmlgraph_alerts_muted", "1 if all alerts are muted", value=feed.muted_until is not None
    )
    yield GaugeMetricFamily(
        "htmlgraph_alerts_rules_invalid",
        "1 if the file of rules is invalid",
        value=feed.rules_error is not None,
    )


def _state(agent: AgentPresence) -> str:
    if agent.attention:
        return "waiting"
    return "cannot_work" if agent.detail in CANNOT_WORK else agent.status.value


def _largest(counts: Counter[str]) -> set[str]:
    """Return the MAX_LABEL_VALUES names that occur most."""
    return {name for name, _ in counts.most_common(MAX_LABEL_VALUES)}
