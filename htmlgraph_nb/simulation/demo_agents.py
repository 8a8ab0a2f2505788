"""The agents of ``htmlgraph-nb demo``: each shows something that real agents do.

Most work in turns: they search and read, then edit and run tests until these pass. Others wait for
permission, repeat a call that fails, reach a usage limit, or retry while the provider is
overloaded. All of it depends only on the seed and on the number of the agent.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..core.ids import agent_id_of
from ..core.model import Event
from .assignments import (
    CONTEXT_WINDOWS,
    MODELS,
    PLACES,
    SUBAGENT_MODEL,
    TASKS,
    Task,
    folder_of,
    random_session_id,
)
from .scripted_agent import ScriptedAgent, TimeOf, timestamp_of


class SimulatedQuota(NamedTuple):
    """The usage of an account, as a function of the time.

    Args:
        account, plan: as in an event of the type ``quota``.
        starts_s: when a window of five hours starts, in simulated seconds.
        full_after_s: seconds after the start of a window at which it is used up.
        week: share of the week that has passed, and of its quota that is used, at 0 s.
    """

    account: str
    plan: str
    starts_s: float
    full_after_s: float
    week: float

    def window_of(self, now_s: float) -> float:
        """Return the start of the current window of five hours."""
        return self.starts_s + (now_s - self.starts_s) // _FIVE_HOURS_S * _FIVE_HOURS_S

    def used_percent(self, now_s: float) -> float:
        """Return the percentage of the current window that is used, 0 to 100."""
        used_s = now_s - self.window_of(now_s)
        return float(min(100, int(100 * used_s / self.full_after_s)))


_FIVE_HOURS_S = 18_000.0
_WEEK_S = 604_800.0
CLAUDE_QUOTA = SimulatedQuota("claude", "max", -10_100.0, 16_400.0, 0.35)
CODEX_QUOTA = SimulatedQuota("codex", "plus", -15_600.0, 15_080.0, 0.72)
"""Reaches 100 % at -520 s, and starts again at 2,400 s."""


class Member(NamedTuple):
    """One simulated agent and its script.

    Attributes:
        agent: its events.
        script: yields after each step, when events can be taken.
    """

    agent: ScriptedAgent
    script: Iterator[None]

    def events(self) -> Iterator[Event]:
        """Yield the events in time order, without an end."""
        for _ in self.script:
            yield from self.agent.take_events()


class _Role(NamedTuple):
    """A script, and when it starts as a share of the time before 0 (1: at the beginning)."""

    kind: str
    script: Callable[[ScriptedAgent, Task], Iterator[None]]
    start: float
    context: int = 20_000
    growth: int = 700


def simulated_events(
    count: int, seed: int, time_of: TimeOf, warm_up_s: float = 0.0
) -> Iterator[Event]:
    """Yield the events of ``count`` agents and their subagents, in time order and without an end.

    Args:
        count: number of agents; the first nine show all that there is to see.
        seed: the same seed gives the same events. More agents do not change those of the others.
        time_of: returns the timestamp of a simulated second.
        warm_up_s: number of seconds before 0 at which the first agents start.
    """
    members = (simulated_agent(number, seed, time_of, warm_up_s) for number in range(count))
    return heapq.merge(*(member.events() for member in members), key=timestamp_of)


def simulated_agent(number: int, seed: int, time_of: TimeOf, warm_up_s: float = 0.0) -> Member:
    """Return one of the agents of ``simulated_events``, by its number from 0."""
    rng = random.Random(seed * 100_003 + number)  # noqa: S311 - no secret
    first = number < len(_CAST)
    role = _CAST[number] if first else rng.choices(_OTHERS, _WEIGHTS)[0]
    kind, task = role.kind, TASKS[number] if first else rng.choice(TASKS)
    session = random_session_id(rng, kind)
    user, host = PLACES[number % 5 == 1]
    agent = ScriptedAgent(
        agent_id_of(session, kind),
        kind,
        rng,
        time_of,
        -warm_up_s * (role.start if first else rng.random()) + rng.uniform(0.0, 3.0),
        context=role.context + rng.randint(0, 8_000),
        window=CONTEXT_WINDOWS[kind],
        growth=role.growth,
        session_id=session,
        model=rng.choice(MODELS[kind]),
        project=task.project,
        branch=task.branch,
        cwd=folder_of(task, user),
        worktree=task.worktree,
        feature_id=task.feature_id,
        pr=task.pr,
        user=user,
        host=host,
    )
    return Member(agent, role.script(agent, task))


# Scripts


def _work(agent: ScriptedAgent, task: Task) -> Iterator[None]:
    """Work in turns; after some of them the session ends, and is resumed later."""
    yield from _start(agent)
    titled = False
    while True:
        for _ in range(agent.rng.randint(6, 10)):
            yield from _turn(agent, task)
            if not titled and agent.kind != "gemini":
                agent.report("session_info", title=task.title, extra={"title_generated": True})
                titled = True
            agent.now_s += agent.rng.uniform(8.0, 70.0)
        agent.report("session_end")
        yield
        agent.now_s += agent.rng.uniform(60.0, 200.0)
        yield from _start(agent)


def _start(agent: ScriptedAgent) -> Iterator[None]:
    agent.report("session_start")
    agent.report("process_start", source="process")
    agent.now_s += agent.rng.uniform(1.0, 4.0)
    yield


def _turn(agent: ScriptedAgent, task: Task) -> Iterator[None]:
    """Explore, then edit and test until the tests pass."""
    rng = agent.rng
    agent.report("prompt")
    yield
    agent.steps("search", *["read"] * rng.randint(1, 3))
    yield
    if agent.kind == "claude" and rng.random() < 0.2:
        agent.delegate(task.questions[: rng.randint(1, len(task.questions))], SUBAGENT_MODEL)
        yield
    if rng.random() < 0.15:
        agent.steps("fetch")
        yield
    for _ in range(rng.randint(1, 3)):
        yield from _edit_and_test(agent)
    if rng.random() < 0.03:
        agent.report("interrupt", 2.0)
    elif rng.random() < 0.03:
        agent.report("error", 2.0, extra={"error": "invalid_request"})
    else:
        agent.think()
        agent.report("stop", extra={"question": True} if rng.random() < 0.08 else None)
    yield


def _edit_and_test(agent: ScriptedAgent) -> Iterator[None]:
    rng = agent.rng
    agent.steps(*["edit"] * rng.randint(1, 2), *["write"] * (rng.random() < 0.15))
    for _ in range(3):
        failed = rng.random() < 0.3
        # Session files do not show requests for permission.
        asks = rng.random() < 0.06 and not _from_file_only(agent)
        agent.think()
        agent.use("run", failed=failed, wait_s=rng.uniform(5.0, 45.0) if asks else 0.0)
        yield
        if not failed:
            return
        agent.steps("read", "edit")
        yield


def _from_file_only(agent: ScriptedAgent) -> bool:
    return str(agent.source).endswith("-session")


def _work_from_file(agent: ScriptedAgent, task: Task) -> Iterator[None]:
    """Work like the others, but without hooks: only the session file reports it."""
    agent.source = f"{agent.kind}-session"
    yield from _work(agent, task)


def _work_and_report_quota(agent: ScriptedAgent, task: Task) -> Iterator[None]:
    """Work like the others, and report the usage of the account when it changes."""
    reported = -1.0
    for _ in _work(agent, task):
        reported = _report_quota(agent, CLAUDE_QUOTA, reported)
        yield


def _report_quota(agent: ScriptedAgent, quota: SimulatedQuota, reported: float) -> float:
    """Report the usage of an account if it changed, and return it."""
    used = quota.used_percent(agent.now_s)
    if used == reported:
        return reported
    resets_in = quota.window_of(agent.now_s) + _FIVE_HOURS_S - agent.now_s
    week_s = (agent.now_s + quota.week * _WEEK_S) % _WEEK_S
    windows = [
        {
            "window": "5h",
            "minutes": 300,
            "used_percent": used,
            "resets_at": agent.time_in(resets_in),
        },
        {
            "window": "weekly",
            "minutes": 10_080,
            "used_percent": float(int(100 * week_s / _WEEK_S)),
            "resets_at": agent.time_in(_WEEK_S - week_s),
        },
    ]
    account = {"account": quota.account, "plan": quota.plan, "official": True}
    agent.report("quota", extra={**account, "windows": windows})
    return used


def _wait_for_permission(agent: ScriptedAgent, task: Task) -> Iterator[None]:
    """Ask for permission in each turn, and get it after many minutes."""
    yield from _start(agent)
    agent.report("session_info", title=task.title, extra={"title_generated": True})
    while True:
        agent.report("prompt")
        agent.steps("search", "read")
        yield
        agent.think()
        agent.use("run", wait_s=agent.rng.uniform(540.0, 900.0))
        yield
        yield from _edit_and_test(agent)
        agent.think()
        agent.report("stop")
        yield
        agent.now_s += agent.rng.uniform(20.0, 90.0)


def _repeat_a_failing_call(agent: ScriptedAgent, task: Task) -> Iterator[None]:
    """Run the same test again and again, although it fails each time."""
    yield from _start(agent)
    agent.report("session_info", title=task.title, extra={"title_generated": True})
    while True:
        agent.report("prompt")
        agent.steps("search", "read", "edit")
        yield
        for _ in range(agent.rng.randint(150, 250)):
            agent.think(output=agent.rng.randint(40, 90))
            agent.use("run", failed=True)
            yield
        agent.report("interrupt", 2.0)
        yield
        agent.now_s += agent.rng.uniform(60.0, 180.0)


def _reach_usage_limit(agent: ScriptedAgent, task: Task) -> Iterator[None]:
    """Work until the account's usage limit is reached, then wait for its reset."""
    reported = -1.0
    yield from _start(agent)
    while True:
        for _ in _turn(agent, task):
            reported = _report_quota(agent, CODEX_QUOTA, reported)
            yield
        agent.now_s += agent.rng.uniform(5.0, 20.0)
        if reported < 100:
            continue
        agent.report("prompt")
        resets_in = CODEX_QUOTA.window_of(agent.now_s) + _FIVE_HOURS_S - agent.now_s
        extra = {"cannot_work": "usage_limited", "until": agent.time_in(resets_in)}
        agent.report("error", 1.0, extra=extra)
        yield
        agent.now_s += resets_in + agent.rng.uniform(10.0, 60.0)


def _retry(agent: ScriptedAgent, task: Task) -> Iterator[None]:
    """Retry while the provider is overloaded; it succeeds at last, until the next turn."""
    yield from _start(agent)
    while True:
        agent.report("prompt")
        agent.steps("search", "read")
        yield
        for attempt in range(1, 10):
            pause_s = min(2.0**attempt, 60.0)
            agent.report(
                "retry",
                2.0,
                extra={
                    "cannot_work": "overloaded",
                    "attempt": attempt,
                    "max_attempts": 10,
                    "until": agent.time_in(pause_s + 2.0),
                },
            )
            yield
            agent.now_s += pause_s
        yield from _edit_and_test(agent)
        agent.think()
        agent.report("stop")
        yield
        agent.now_s += agent.rng.uniform(20.0, 60.0)


_CAST = (
    _Role("claude", _work_and_report_quota, 1.0),
    _Role("codex", _work, 0.8),
    _Role("claude", _wait_for_permission, 0.3),
    _Role("gemini", _work, 0.6),
    _Role("claude", _work_from_file, 0.45),
    _Role("codex", _reach_usage_limit, 0.9),
    _Role("claude", _repeat_a_failing_call, 0.5),
    _Role("gemini", _retry, 0.1),
    _Role("claude", _work, 0.9, context=120_000, growth=1_500),
)
"""The first agents; the last one fills its context and compacts it."""
_OTHERS = (
    *(_Role(kind, _work, 1.0) for kind in MODELS),
    _Role("claude", _work_from_file, 1.0),
    _Role("claude", _wait_for_permission, 1.0),
    _Role("gemini", _retry, 1.0),
    _Role("codex", _repeat_a_failing_call, 1.0),
)
_WEIGHTS = (40, 25, 15, 14, 2, 2, 2)
