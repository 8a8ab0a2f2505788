"""From the states and messages of personas to events, and to the status of their agents."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from htmlgraph_nb.core.dedup import METRIC_ID_PREFIX
from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus
from htmlgraph_nb.core.roster import Roster
from htmlgraph_nb.ingest.processes.process_ids import ProcessId
from htmlgraph_server.jupyter.persona_calls import ShownCall
from htmlgraph_server.jupyter.persona_tracker import ChatPlace, PersonaTracker, is_in_use

START = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = "0b9d6f4e-6d3c-4a51-9f2e-0c6a1d2b3e4f"
JUPYTERNAUT = "jupyter-ai-personas::jupyter_ai_jupyternaut::JupyternautPersona"
SCRIPTED = "jupyter-ai-personas::my_personas::ScriptedAcpPersona"
CLAUDE = "jupyter-ai-personas::jupyter_ai_acp_client::ClaudeAcpPersona"
USAGE = {"total_tokens": 1050, "input_tokens": 1000, "output_tokens": 50}


class Run:
    """A tracker whose events go to a roster.

    Args:
        persona: the persona that all calls are about.
        session: its session in the Agent Client Protocol; None: it has none.
    """

    def __init__(
        self, persona: str = SCRIPTED, session: str | None = SESSION, **options: Any
    ) -> None:
        self.persona = persona
        self.tracker = PersonaTracker(**options)
        self.roster = Roster()
        self.events: list[Event] = []
        sessions = {} if session is None else {persona: session}
        self.place = ChatPlace("chat-1", "work/plots.chat", "/home/ada/work", sessions)
        self._n = 0

    def known(self, agent_id: str) -> AgentPresence | None:
        """Return the presence of an agent."""
        state = self.roster.get(agent_id)
        return None if state is None else state.presence

    def tick(self) -> datetime:
        """Return a time one second later than the last one."""
        self._n += 1
        return START + timedelta(seconds=self._n)

    def apply(self, events: list[Event]) -> list[str]:
        """Apply events and return their types."""
        for event in events:
            self.roster.apply(event.checked(), len(self.events) + 1, START + timedelta(hours=1))
            self.events.append(event)
        return [event.event_type for event in events]

    def state(self, **state: Any) -> list[str]:
        """Publish a state."""
        place, persona, now = self.place, self.persona, self.tick()
        return self.apply(self.tracker.on_state(place, persona, state, now, self.known))

    def calls(self, *calls: ShownCall) -> list[str]:
        """Show these calls in a message."""
        place, persona, now = self.place, self.persona, self.tick()
        return self.apply(self.tracker.on_calls(place, persona, [*calls], now, self.known))

    def settle(self, *, final: bool = True) -> list[str]:
        """Let the time after the end of a turn pass."""
        now = self.tick()
        return self.apply(self.tracker.settle("chat-1", self.persona, now, self.known, final=final))

    @property
    def presence(self) -> AgentPresence:
        """The presence of the only agent."""
        (presence,) = [state.presence for _, state in self.roster.staged() if state is not None]
        return presence

    @property
    def status(self) -> tuple[str, str]:
        """Status and detail of the only agent."""
        return self.presence.status.value, self.presence.detail

    def report_itself(self) -> None:
        """Report the agent by its own session file, as another source does."""
        first = self.events[0]
        source = f"{first.agent_kind}-session"
        self.apply([replace(first, event_type="session_info", source=source, extra=None)])


def test_persona_tracker_reports_a_turn() -> None:
    """The agent is active while its persona processes a message, and idle after that."""
    run = Run(JUPYTERNAUT, None, host="box", user="ada")
    assert run.state(processing=True) == ["session_start", "prompt", "process_busy"]
    assert run.status == ("active", "working")
    shown = run.presence
    assert (shown.agent_kind, shown.title, shown.project) == ("jupyter-ai", "plots", "work")
    assert (shown.cwd, shown.host, shown.user) == ("/home/ada/work", "box", "ada")
    assert run.state(processing=False) == ["stop"]
    assert run.status == ("idle", "done")
    assert {event.source for event in run.events} == {"jupyter-ai"}


def test_persona_tracker_shows_no_persona_that_was_never_asked() -> None:
    """Jupyter AI starts an agent when its chat is opened; its model is known at the first turn."""
    run = Run()
    assert run.state(model={"current": "small", "options": [{"id": "small"}]}) == []
    assert run.apply(run.tracker.on_closed("chat-1", run.tick(), run.known)) == []
    run.state(model={"current": "small"})
    assert run.state(processing=True)[0] == "session_start"
    assert run.presence.model == "small"


def test_persona_tracker_shows_a_known_agent_again_when_its_chat_is_opened() -> None:
    """It is idle at its prompt, as before."""
    run = Run()
    run.state(processing=True)
    run.state(processing=False)
    assert run.apply(run.tracker.on_closed("chat-1", run.tick(), run.known)) == ["session_end"]
    assert run.status == ("offline", "done")
    assert run.state(settings=[{"id": "mode"}]) == ["session_start"]
    assert run.status == ("idle", "done")


def test_persona_tracker_reports_an_error_for_the_turn_that_ends_next() -> None:
    """The failure names only the class of the persona."""
    run = Run()
    run.tracker.on_failure("ScriptedAcpPersona")
    run.state(processing=True)
    assert run.state(processing=False) == ["stop"]
    run.state(processing=True)
    run.tracker.on_failure("ClaudeAcpPersona")
    run.tracker.on_failure("ScriptedAcpPersona")
    assert run.state(processing=False) == ["error"]
    assert run.status == ("idle", "error")
    run.state(processing=True)
    assert run.state(processing=False) == ["stop"]


def test_persona_tracker_reports_tools_and_permissions() -> None:
    """The agent waits while a call waits for permission, and works on when it is given."""
    run = Run()
    run.state(processing=True)
    call = ShownCall("call-1", "execute")
    assert run.calls(call) == ["tool_start"]
    assert run.status == ("active", "tool")
    assert run.calls(call._replace(question="pending")) == ["permission_request"]
    assert run.status == ("active", "waiting_permission")
    assert run.presence.attention
    allowed = call._replace(question="resolved", is_allowed=True)
    assert run.calls(allowed) == ["answered"]
    assert run.status == ("active", "tool")
    assert run.calls(allowed._replace(succeeded=True)) == ["tool_execute"]
    assert (run.presence.total_tools_executed, run.presence.last_tool_name) == (1, "execute")


def test_persona_tracker_ends_a_denied_call() -> None:
    """It counts neither as a call nor as an error."""
    run = Run()
    run.state(processing=True)
    call = ShownCall("call-1", "execute", None, "pending")
    assert run.calls(call) == ["tool_start", "permission_request"]
    assert run.calls(call._replace(question="resolved")) == ["answered"]
    assert run.status == ("active", "working")
    assert run.calls(call._replace(question="resolved", succeeded=False)) == []
    assert (run.presence.total_tools_executed, run.presence.total_errors) == (0, 0)


def test_persona_tracker_keeps_waiting_beside_another_call() -> None:
    """A call that starts in parallel, or another answer, does not answer the question."""
    run = Run()
    run.state(processing=True)
    first = ShownCall("call-1", "execute", None, "pending")
    second = ShownCall("call-2", "edit", None, "pending")
    run.calls(first)
    assert run.calls(first, ShownCall("call-2", "edit")) == ["tool_start", "permission_request"]
    assert run.status == ("active", "waiting_permission")
    quick = ShownCall("call-3", "search", True)
    assert run.calls(quick) == ["tool_start", "tool_execute", "permission_request"]
    assert run.status == ("active", "waiting_permission")
    run.calls(first, second)
    run.calls(first, second._replace(question="resolved", is_allowed=True))
    assert run.status == ("active", "waiting_permission")
    assert run.presence.reason == "waits for permission to use execute"


def test_persona_tracker_ignores_messages_outside_of_a_turn() -> None:
    """Old messages of a chat that is opened are no work."""
    run = Run()
    assert run.calls(ShownCall("call-1", "read")) == []
    run.state(processing=True)
    run.state(processing=False)
    assert run.calls(ShownCall("call-1", "read")) == []


def test_persona_tracker_counts_usage_once_per_turn() -> None:
    """Usage that is published after the end of the turn belongs to it and starts no other one."""
    run = Run()
    run.state(processing=True)
    run.state(model={"current": "small"})
    assert run.state(usage={"context_tokens": 900, "context_size": 4000}) == ["session_info"]
    run.state(usage=USAGE)
    run.state(processing=False)
    run.state(usage={**USAGE, "cost_amount": 0.5, "cost_currency": "USD"})
    assert run.settle(final=False) == ["completion"]
    assert run.settle() == []
    assert run.status == ("idle", "done")
    shown = run.presence
    assert (shown.total_cost_tokens, shown.cost_usd, shown.model) == (1050, 0.5, "small")
    assert (shown.context_tokens, shown.context_window) == (900, 4000)


def test_persona_tracker_counts_usage_of_a_turn_before_the_next_one() -> None:
    """Neither the next turn nor the end of the chat loses tokens."""
    run = Run()
    run.state(processing=True)
    run.state(usage=USAGE)
    run.state(processing=False)
    assert run.state(processing=True) == ["completion", "prompt", "process_busy"]
    run.state(usage={"total_tokens": 2100, "input_tokens": 2000, "output_tokens": 100})
    closed = run.apply(run.tracker.on_closed("chat-1", run.tick(), run.known))
    assert closed == ["completion", "session_end"]
    assert run.presence.total_cost_tokens == 2100


def test_persona_tracker_leaves_tools_and_tokens_to_the_agents_own_sources() -> None:
    """Session files of Claude Code report them; the chat adds turns, waits and its place."""
    run = Run(CLAUDE)
    assert run.state(processing=True) == ["session_start", "prompt"]
    assert run.presence.agent_id == "claude-0b9d6f4e"
    run.report_itself()
    run.state(model={"current": "opus"}, usage=USAGE)
    call = ShownCall("toolu_1", "execute", None, "pending")
    assert run.calls(call) == ["permission_request"]
    assert run.calls(call._replace(question="resolved", is_allowed=True, succeeded=True)) == [
        "answered"
    ]
    assert run.state(processing=False) == ["stop"]
    assert run.settle(final=False) == []
    assert run.settle() == []
    assert (run.presence.total_cost_tokens, run.presence.model) == (0, None)
    assert run.presence.title == "plots"


def test_persona_tracker_counts_an_agent_whose_own_sources_say_nothing() -> None:
    """Known some time after its first turn; then the counts exclude those of later sources."""
    run = Run(CLAUDE, process=ProcessId(7, 1.0))
    run.state(processing=True)
    run.state(model={"current": "opus"}, usage=USAGE)
    run.state(processing=False)
    assert run.settle(final=False) == []
    assert run.settle() == ["process_start", "completion"]
    assert (run.events[-1].event_id or "").startswith(METRIC_ID_PREFIX)
    assert (run.presence.total_cost_tokens, run.presence.model) == (1050, "opus")
    run.state(processing=True)
    assert run.calls(ShownCall("toolu_2", "read")) == ["tool_start"]


def test_persona_tracker_reports_the_server_as_the_process() -> None:
    """While it runs, silence ends no turn."""
    run = Run(process=ProcessId(7, 1.0))
    assert run.state(processing=True) == [
        *("session_start", "process_start", "prompt", "process_busy")
    ]
    assert run.presence.alive
    assert run.roster.timers_due(START + timedelta(days=2)) == []


def test_persona_tracker_begins_another_agent_with_another_session() -> None:
    """The agent of the earlier session ends."""
    run = Run()
    run.state(processing=True)
    run.state(processing=False)
    other = "5b9d6f4e-6d3c-4a51-9f2e-0c6a1d2b3e4f"
    run.place = run.place._replace(sessions={SCRIPTED: other})
    assert run.state(processing=True)[:2] == ["session_end", "session_start"]
    assert {event.agent_id for event in run.events} == {"scripted-0b9d6f4e", "scripted-5b9d6f4e"}


def test_persona_tracker_follows_the_name_of_the_chat() -> None:
    """A chat that was renamed or moved has its new name and folder from the next turn on."""
    run = Run()
    run.state(processing=True)
    run.state(processing=False)
    run.place = run.place._replace(path="other/final.chat", folder="/home/ada/other")
    run.state(processing=True)
    assert (run.presence.title, run.presence.project) == ("final", "other")


def test_persona_tracker_stores_no_titles_if_they_are_off() -> None:
    """The project of the chat is stored."""
    run = Run(titles=False)
    run.state(processing=True)
    assert (run.presence.title, run.presence.project) == (None, "work")


def test_persona_tracker_ends_all_agents_with_the_server() -> None:
    """They are offline."""
    run = Run()
    run.state(processing=True)
    ended = run.apply(run.tracker.on_shutdown(run.tick(), run.known))
    assert ended == ["session_end"]
    assert run.presence.status is PresenceStatus.OFFLINE


def test_persona_tracker_counts_only_the_rest_after_a_restart() -> None:
    """What the agent reported to an earlier Jupyter Server is stored already."""
    run = Run()
    run.state(processing=True)
    run.state(usage=USAGE)
    run.apply(run.tracker.on_shutdown(run.tick(), run.known))
    run.tracker = PersonaTracker()
    run.state(processing=True)
    run.state(usage={"total_tokens": 1300, "input_tokens": 1200, "output_tokens": 100})
    run.apply(run.tracker.on_shutdown(run.tick(), run.known))
    assert run.presence.total_cost_tokens == 1300


def test_is_in_use_ignores_personas_that_are_only_installed() -> None:
    """Jupyternaut publishes its models for each chat, and files name sessions of earlier days."""
    place = ChatPlace("chat-1", "a.chat", "/work", {SCRIPTED: SESSION})
    options = {"model": {"current": None, "options": [{"id": "x"}]}}
    empty = {"usage": {"input_tokens": None}, "settings": [], "model": {"options": []}}
    assert not is_in_use(place, JUPYTERNAUT, options)
    assert not is_in_use(place, SCRIPTED, {**empty, "processing": False})
    assert is_in_use(place, SCRIPTED, options)
    assert is_in_use(place, SCRIPTED, {"usage": {"input_tokens": 1}})
    assert is_in_use(place, JUPYTERNAUT, {"processing": True})
