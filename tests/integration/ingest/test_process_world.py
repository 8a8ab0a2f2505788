"""Processes, servers and clocks in any order: statuses follow from what really runs.

A world of simulated agents knows which processes live and what they do. The server, with a real
database and the real monitor, learns of it by hooks, session files and status files only. Whenever
it has had the time for a look, no dead agent is active or idle, no live one is offline, a busy one
is active and one at its prompt is idle; and the history says the same.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from htmlgraph_nb import load_history
from htmlgraph_nb.coding_agents.hook_hints import Ancestor, HookHints
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.ingest import process_monitor
from htmlgraph_nb.ingest.process_monitor import ProcessMonitor, read_process_starts
from htmlgraph_nb.ingest.processes import process_ids
from htmlgraph_nb.ingest.processes.process_events import StatusFile
from htmlgraph_nb.ingest.processes.process_ids import ProcessId
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.replay.index import HistoryIndex
from tests.helpers.strategies import T0

TERMINAL = 2
"""Process id of the terminal in which all agents run."""
LOOK_S = 40.0
"""Seconds after which the server must have noticed everything."""


@dataclass
class SimulatedAgent:
    """One session and its process.

    Attributes:
        pid, ticks: its process; ``lives`` says whether it runs.
        hooks, files: what it reports with.
        n_hooks: hooks of this process.
        busy: whether it is in a turn.
        ended: whether it reported its end.
    """

    session: str
    pid: int
    ticks: int
    hooks: bool
    files: bool
    lives: bool = True
    n_hooks: int = 0
    busy: bool = False
    ended: bool = False
    status_at: float = 0.0
    calls: list[str] = field(default_factory=list)


class World:
    """The machine, with a server that can be down.

    Args:
        path: the database.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.now = T0
        self.uptime = 100_000
        self.boot = 1
        self.agents: list[SimulatedAgent] = []
        self.status_files: dict[str, StatusFile] = {}
        self.pending: list[Event] = []
        self.hints: list[HookHints] = []
        self.manager: PresenceManager | None = None
        self.monitor: WorldMonitor | None = None
        self._numbers = itertools.count(1)

    # What the monitor sees of the machine

    def find_process(self, pid: int) -> ProcessId | None:
        """Return the process with an id; the start time is computed from the current clock."""
        ticks = 5 if pid == TERMINAL else None
        for agent in self.agents:
            if agent.lives and agent.pid == pid:
                ticks = agent.ticks
        return None if ticks is None else self._identity(pid, ticks)

    def _identity(self, pid: int, ticks: int) -> ProcessId:
        started_at = self.now.timestamp() - (self.uptime - ticks) / 100
        return ProcessId(pid, started_at, ticks, self.place())

    def place(self) -> str:
        """Return where processes run."""
        return f"machine.boot{self.boot}.1"

    # Time

    def advance(self, seconds: float) -> None:
        """Let time pass, in which the server works if it is up."""
        while seconds > 0:
            step = 1.0 if seconds <= 60 else min(60.0, seconds - 59)
            seconds -= step
            self._pass(step)
            self.work()

    def _pass(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.uptime += round(seconds * 100)

    def work(self, *, resumed: bool = False) -> None:
        """Do what the server does each second."""
        if self.manager is None or self.monitor is None:
            return
        for hints in self.hints:
            self.monitor.on_hook(hints)
        self.hints.clear()
        if resumed:
            self.manager.tick(resumed=True)
        # A session file is read in parts.
        part, self.pending = self.pending[:2], self.pending[2:]
        self.manager.ingest(part)
        self.manager.ingest(self.monitor.poll(self.now))
        self.manager.tick()

    # Steps

    def start_server(self, *, processes_first: bool) -> None:
        """Start a server, unless one runs; its sources may be read in any order."""
        if self.manager is not None:
            return
        self.manager = PresenceManager(self.path, clock=lambda: self.now)
        self.monitor = WorldMonitor(self, self.manager)
        if processes_first:
            self.manager.ingest(self.monitor.poll(self.now))

    def stop_server(self) -> None:
        """Stop the server, or let it crash: it keeps nothing but the database."""
        if self.manager is not None:
            self.manager.close()
        self.manager = self.monitor = None

    def sleep(self, seconds: float) -> None:
        """Let the machine sleep: neither agents nor the server work meanwhile."""
        self._pass(seconds)
        self.work(resumed=True)

    def set_clock(self, seconds: float) -> None:
        """Set the clock forward."""
        self.now += timedelta(seconds=seconds)
        self.work(resumed=True)

    def reboot(self) -> None:
        """Start the machine again, without the server."""
        self.stop_server()
        for agent in self.agents:
            agent.lives = False
        self.boot += 1
        self.now += timedelta(seconds=60)
        # No two boots start a process with one id at the very same tick.
        self.uptime = 100_000 + 77_777 * self.boot

    def begin(self, pid: int, *, hooks: bool, files: bool) -> None:
        """Start an agent in a process that gets a free id."""
        used = {agent.pid for agent in self.agents if agent.lives}
        if pid in used or len(self.agents) > 5:
            return
        session = f"{len(self.agents)}b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
        agent = SimulatedAgent(session, pid, self.uptime, hooks or not files, files)
        self.agents.append(agent)
        self._report(agent, "session_start")
        self._say(agent, "idle")

    def prompt(self, agent: SimulatedAgent) -> None:
        """Begin a turn with a call that stays open."""
        if agent.lives and not agent.busy:
            agent.busy = True
            self._say(agent, "busy")
            self._report(agent, "prompt")
            call = f"call-{next(self._numbers)}"
            agent.calls.append(call)
            self._report(agent, "tool_start", tool_name="Bash", tool_use_id=call)

    def continue_turn(self, agent: SimulatedAgent) -> None:
        """End the call, so that only the model works."""
        if agent.lives and agent.busy and agent.calls:
            call = agent.calls.pop()
            self._report(agent, "tool_execute", tool_name="Bash", tool_use_id=call)

    def end_turn(self, agent: SimulatedAgent, *, silently: bool) -> None:
        """End the turn; only a status file shows one that a person interrupted."""
        if agent.lives and agent.busy and (agent.files or not silently):
            agent.busy = False
            agent.calls.clear()
            if not silently:
                self._report(agent, "stop")
            self._say(agent, "idle")

    def kill(self, agent: SimulatedAgent) -> None:
        """Kill a process; its status file stays."""
        agent.lives = False

    def exit(self, agent: SimulatedAgent) -> None:
        """End a session as usual."""
        if agent.lives:
            self._report(agent, "session_end")
            self.status_files.pop(agent.session, None)
            agent.lives, agent.ended = False, True

    def resume(self, agent: SimulatedAgent, pid: int) -> None:
        """Continue a session in another process."""
        if agent.lives or pid in {other.pid for other in self.agents if other.lives}:
            return
        self.status_files.pop(agent.session, None)
        agent.pid, agent.ticks, agent.lives = pid, self.uptime, True
        agent.busy, agent.ended, agent.n_hooks = False, False, 0
        agent.calls.clear()
        self._report(agent, "session_start")
        self._say(agent, "idle")

    def _say(self, agent: SimulatedAgent, status: str) -> None:
        if agent.files:
            now = self.now.timestamp()
            process = self._identity(agent.pid, agent.ticks)
            self.status_files[agent.session] = StatusFile(
                agent.pid, agent.session, process.started_at, agent.ticks, status, now, now
            )

    def _report(self, agent: SimulatedAgent, event_type: str, **fields: str) -> None:
        # Events of one moment would have no order.
        self._pass(0.01)
        name = f"claude-{agent.session[:8]}"
        source = "claude-hook" if agent.hooks else "claude-session"
        self.pending.append(
            Event(
                agent_id=name,
                event_type=event_type,
                session_id=agent.session,
                timestamp=self.now,
                event_id=f"event-{next(self._numbers)}",
                source=source,
                **fields,  # type: ignore[arg-type]
            )
        )
        if agent.hooks:
            agent.n_hooks += 1
            now = self.now.timestamp()
            shell = 1_000_000 + next(self._numbers)
            above = ((shell, now, self.uptime), self._above(agent.pid), self._above(TERMINAL))
            self.hints.append(HookHints(name, agent.session, None, (), False, above, "claude", now))

    def _above(self, pid: int) -> Ancestor:
        process = self.find_process(pid)
        assert process is not None
        return pid, process.started_at, process.ticks

    # The oracle

    def check(self) -> None:
        """Compare the statuses with what really runs, after the server had time for a look."""
        if self.manager is None:
            return
        self.advance(LOOK_S)
        presences = self.manager.agents
        for agent in self.agents:
            presence = presences.get(f"claude-{agent.session[:8]}")
            known = agent.files or agent.n_hooks >= 2
            if presence is None or not known:
                continue
            status = presence.status.value
            context = f"{agent} is {status}: {presence.reason}"
            if not agent.lives:
                assert status == "offline", context
            elif agent.busy:
                assert status == "active" or not (agent.files or agent.calls), context
                assert status != "offline", context
            else:
                assert status == "idle", context
        self._check_history()

    def _check_history(self) -> None:
        assert self.manager is not None
        frame = load_history(self.path)
        if not len(frame):
            return
        index = HistoryIndex(frame)
        shown = index.presences(index.at(to_micros(self.now)))
        live = {
            name: (presence.status, presence.detail, presence.reason)
            for name, presence in self.manager.agents.items()
        }
        replayed = {
            name: (presence.status, presence.detail, presence.reason)
            for name, presence in shown.items()
        }
        assert replayed == live


class WorldMonitor(ProcessMonitor):
    """The monitor of a server in this world."""

    def __init__(self, world: World, manager: PresenceManager) -> None:
        starts = partial(read_process_starts, manager.db_path)
        super().__init__(manager.snapshot, {}, starts, manager.limits.idle_timeout_s)
        self._world = world
        self._seen: dict[str, StatusFile] = {}

    def _read_status_files(self) -> None:
        files = dict(self._world.status_files)
        for path, status in files.items():
            if self._seen.get(path) != status:
                self._take_status("claude", path, status)
        for path in self._seen.keys() - files.keys():
            self._drop_status(path)
        self._seen = files


@contextmanager
def new_world() -> Iterator[World]:
    """Yield a world whose processes are those that the monitor sees."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        world = World(str(Path(folder) / "h.db"))
        for module in (process_ids, process_monitor):
            stack.enter_context(patch.object(module, "find_process", world.find_process))
        stack.enter_context(patch.object(process_ids, "place_of_processes", world.place))
        try:
            yield world
        finally:
            world.stop_server()


def apply(world: World, step: tuple[str, int, int]) -> None:
    """Apply a step: its name, the number of an agent, and a choice."""
    name, number, choice = step
    seconds = (3.0, 20.0, 400.0, 2_500.0, 20_000.0)[choice]
    if name == "begin":
        world.begin(10 + choice, hooks=number % 2 == 0, files=number != 0)
    elif name == "start_server":
        world.start_server(processes_first=choice % 2 == 0)
    elif name in ("stop_server", "reboot", "check"):
        getattr(world, name)()
    elif name in ("advance", "sleep", "set_clock"):
        getattr(world, name)(seconds)
    elif world.agents:
        agent = world.agents[number % len(world.agents)]
        if name == "end_turn":
            world.end_turn(agent, silently=choice % 2 == 0)
        elif name == "resume":
            world.resume(agent, 10 + choice)
        else:
            getattr(world, name)(agent)


_NAMES = [
    *("begin", "begin", "prompt", "prompt", "prompt", "continue_turn", "continue_turn", "end_turn"),
    *("kill", "kill", "exit", "resume", "start_server", "start_server", "stop_server", "reboot"),
    *("advance", "advance", "sleep", "set_clock", "check", "check"),
]
steps = st.tuples(st.sampled_from(_NAMES), st.integers(0, 3), st.integers(0, 4))


@pytest.mark.filterwarnings("ignore::htmlgraph_nb.errors.HistoryWarning")
@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=3, max_size=25))
@example([("begin", 2, 0), ("prompt", 0, 0), ("kill", 0, 0), ("start_server", 0, 0)])
@example([("begin", 2, 0), ("prompt", 0, 0), ("kill", 0, 0), ("start_server", 0, 1)])
@example([("begin", 0, 0), ("prompt", 0, 0), ("kill", 0, 0), ("start_server", 0, 1)])
@example(
    [
        *(("start_server", 0, 0), ("begin", 1, 0), ("prompt", 0, 0), ("check", 0, 0)),
        *(("stop_server", 0, 0), ("kill", 0, 0), ("begin", 1, 0), ("start_server", 0, 0)),
    ]
)
@example(
    [
        *(("start_server", 0, 0), ("begin", 1, 0), ("prompt", 0, 0), ("continue_turn", 0, 0)),
        *(("check", 0, 0), ("set_clock", 0, 4), ("sleep", 0, 4), ("check", 0, 0)),
        *(("reboot", 0, 0), ("begin", 1, 0), ("start_server", 0, 1), ("check", 0, 0)),
    ]
)
def test_monitor_shows_what_really_runs(drawn: list[tuple[str, int, int]]) -> None:
    """Whatever happened to processes, servers and clocks before."""
    with new_world() as world:
        for step in drawn:
            note(str(step))
            apply(world, step)
        world.start_server(processes_first=True)
        world.check()
