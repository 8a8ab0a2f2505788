"""The listener to Jupyter AI, with real Jupyter Events and the schemas of Jupyter AI."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import Request, urlopen

import pytest
from jupyter_events import EventLogger

from htmlgraph_nb.errors import CapacityError, StoreUnavailable
from htmlgraph_nb.presence import PresenceManager, PresenceStatus
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_server.config import Config
from htmlgraph_server.jupyter.chat_listener import (
    ACP_TELEMETRY,
    CHAT_ROOM,
    PERSONA_STATE,
    ChatListener,
    follow_personas,
)
from htmlgraph_server.jupyter.extension import HtmlgraphExtension
from htmlgraph_server.jupyter.service_provider import ServiceProvider
from tests.helpers.jupyter_server import BASE_URL, running_jupyter_server
from tests.helpers.paths import PAYLOADS
from tests.helpers.wait import wait_until

SESSION = "0b9d6f4e-6d3c-4a51-9f2e-0c6a1d2b3e4f"
AGENT = "scripted-0b9d6f4e"
PERSONA = "jupyter-ai-personas::my_personas::ScriptedAcpPersona"
JUPYTERNAUT = "jupyter-ai-personas::jupyter_ai_jupyternaut::JupyternautPersona"
OTHER = "jupyter-ai-personas::jupyter_ai_acp_client::KiroAcpPersona"
SECRET = "never-keep-this"
SCHEMAS = json.loads((PAYLOADS / "jupyter_ai" / "schemas.json").read_text())["schemas"]


class Chat:
    """The part of jupyterlab_chat's BaseChatModel that is used.

    Args:
        announces: whether changes of a message are announced, which they are not in collaboration.
    """

    def __init__(self, *, announces: bool = True) -> None:
        self.observers: list[Callable[[Any], None]] = []
        self.announces = announces
        self.messages: dict[str, SimpleNamespace] = {}
        self.path = "work/plots.chat"

    def get_path(self) -> str:
        """Return the path of the file."""
        return self.path

    def get_metadata(self) -> dict[str, Any]:
        """Return the metadata of the chat."""
        return {"acp_session_ids": {PERSONA: SESSION}}

    def get_message(self, message_id: str) -> SimpleNamespace | None:
        """Return a message."""
        return self.messages.get(message_id)

    def observe_messages(self, observer: Callable[[Any], None]) -> Callable[[Any], None]:
        """Call ``observer`` with changes of messages."""
        self.observers.append(observer)
        return observer

    def unobserve_messages(self, observer: Callable[[Any], None]) -> None:
        """Stop that."""
        self.observers.remove(observer)

    def show(self, message_id: str, **call: Any) -> None:
        """Add or change a message of the persona with one tool call."""
        is_new = message_id not in self.messages
        record = {"tool_call_id": "call-1", "kind": "execute", "title": SECRET, **call}
        message = self.messages.setdefault(
            message_id, SimpleNamespace(id=message_id, sender=PERSONA, body=SECRET, metadata=None)
        )
        message.metadata = {"tool_calls": [record]}
        if is_new or self.announces:
            action = "server_msg_sent" if is_new else "server_msg_updated"
            for observer in self.observers:
                observer(SimpleNamespace(action=action, message=message))


class World:
    """A Jupyter Server, as far as the listener knows it, and the database of its service.

    Attributes:
        listener: the running listener; None: it did not start.
    """

    def __init__(self, folder: Path, chat: Chat, schemas: list[Any]) -> None:
        self.db, self.chat = folder / "h.db", chat
        self.events = EventLogger()
        for schema in schemas:
            self.events.register_event_schema(schema)
        chats = {"chat-1": chat}
        self.serverapp: Any = SimpleNamespace(
            event_logger=self.events,
            web_app=SimpleNamespace(settings={"chat_manager": chats}),
            contents_manager=SimpleNamespace(root_dir=str(folder)),
        )
        config = Config(db=str(self.db), seal=False)
        self.provider = ServiceProvider(lambda: config, "")
        self.listener: ChatListener | None = None

    async def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Follow Jupyter AI while the scenario runs."""
        self.listener = follow_personas(self.serverapp, self.provider, titles=True)
        try:
            await scenario()
        finally:
            if self.listener is not None:
                await self.listener.stop()
            await self.provider.close()

    def state(self, **state: Any) -> None:
        """Emit the state of the persona."""
        data = {"chat_id": "chat-1", "persona_id": PERSONA, **state}
        self.events.emit(schema_id=PERSONA_STATE, data=data)

    async def detail(self, *expected: str) -> None:
        """Wait until the detail of the agent is one of these."""
        async with asyncio.timeout(20):
            while True:
                await asyncio.sleep(0.01)
                agent = self.provider.service.manager.snapshot().get(AGENT) if self.opened else None
                if agent is not None and agent.detail in expected:
                    return

    @property
    def opened(self) -> bool:
        """Whether the service was opened."""
        return self.db.exists() and self.provider._lifecycle is not None

    def rows(self) -> list[str]:
        """Return the types of the stored events."""
        query = "SELECT t.name FROM events e JOIN names t ON t.id = e.type ORDER BY e.id"
        db = open_reader(str(self.db))
        try:
            return [str(row[0]) for row in db.execute(query)]
        finally:
            db.close()


@pytest.fixture(params=[True, False], ids=["announced", "polled"])
def chat(request: pytest.FixtureRequest) -> Chat:
    """A chat of each transport."""
    return Chat(announces=request.param)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat: Chat) -> Iterator[World]:
    """A Jupyter Server with Jupyter AI."""
    for name in ("HTMLGRAPH_HOME", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("htmlgraph_server.jupyter.chat_listener.LATE_USAGE_S", 0.01)
    monkeypatch.setattr("htmlgraph_server.jupyter.chat_listener.POLL_S", 0.01)
    return World(tmp_path, chat, SCHEMAS)


def test_chat_listener_stores_a_turn(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Turn, tool call, permission, usage and the end of the chat, and none of the texts."""

    async def scenario() -> None:
        world.state(processing=True)
        await world.detail("working")
        world.chat.show("m-1", status="in_progress", raw_input=SECRET)
        await world.detail("tool")
        world.chat.show("m-1", permission_status="pending")
        await world.detail("waiting_permission")
        options = [{"option_id": SECRET, "kind": "allow_once", "name": SECRET}]
        answer = {"permission_status": "resolved", "selected_option_id": SECRET}
        world.chat.show("m-1", **answer, permission_options=options)
        await world.detail("tool")
        world.chat.show("m-1", **answer, permission_options=options, status="completed")
        usage = {"total_tokens": 1050, "input_tokens": 1000, "output_tokens": 50}
        world.state(usage={**usage, "cost_amount": 0.5, "cost_currency": "USD"})
        world.state(processing=False)
        await world.detail("done")
        room = {"path": "work/plots.chat", "action": "closed", "chat_id": "chat-1"}
        world.events.emit(schema_id=CHAT_ROOM, data=room)
        async with asyncio.timeout(20):
            manager = world.provider.service.manager
            while manager.snapshot()[AGENT].status is not PresenceStatus.OFFLINE:
                await asyncio.sleep(0.01)
        assert world.chat.observers == []

    with caplog.at_level(logging.WARNING):
        asyncio.run(world.run(scenario))
    assert caplog.records == []
    with PresenceManager(str(world.db)) as manager:
        agent = manager.snapshot()[AGENT]
    assert (agent.agent_kind, agent.project, agent.title) == ("jupyter-ai", "work", "plots")
    assert (agent.total_cost_tokens, agent.cost_usd, agent.total_tools_executed) == (1050, 0.5, 1)
    assert world.rows().count("completion") == 1
    files = [path for path in world.db.parent.iterdir() if path.name.startswith("h.db")]
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


def test_chat_listener_reports_a_failed_turn_and_a_shutdown(world: World) -> None:
    """The text of the error is not stored."""

    async def scenario() -> None:
        world.state(processing=True)
        await world.detail("working")
        details = {"persona_class": "ScriptedAcpPersona", "error_message": SECRET}
        data = {"operation": "acp_chat_message", "outcome": "failure", "details": details}
        world.events.emit(schema_id=ACP_TELEMETRY, data=data)
        world.state(processing=False)
        await world.detail("error")

    asyncio.run(world.run(scenario))
    assert world.rows()[-2:] == ["error", "session_end"]
    assert SECRET.encode() not in world.db.read_bytes()


def test_chat_listener_does_not_open_the_database_before_a_persona_works(world: World) -> None:
    """The states of installed personas, and other chats, are no reason."""

    async def scenario() -> None:
        model = {"current": None, "options": [{"id": "x"}]}
        data = {"chat_id": "chat-1", "persona_id": OTHER, "model": model, "processing": False}
        world.events.emit(schema_id=PERSONA_STATE, data=data)
        room = {"path": "a.chat", "action": "closed", "chat_id": "chat-2"}
        world.events.emit(schema_id=CHAT_ROOM, data=room)
        details = {"persona_class": "KiroAcpPersona"}
        started = {"operation": "acp_server_init", "outcome": "success", "details": details}
        world.events.emit(schema_id=ACP_TELEMETRY, data=started)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(world.run(scenario))
    assert not world.db.exists()


def test_chat_listener_ends_the_agents_when_it_gives_up(world: World) -> None:
    """An agent whose turn nobody sees the end of would work forever."""

    async def scenario() -> None:
        world.state(processing=True)
        await world.detail("working")
        del world.serverapp.web_app.settings["chat_manager"]
        world.state(processing=False)
        await world.detail("done")

    asyncio.run(world.run(scenario))
    assert world.rows()[-1] == "session_end"


def test_chat_listener_stores_again_what_could_not_be_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a turn is not lost while the disk is full."""
    monkeypatch.setattr("htmlgraph_server.jupyter.chat_listener.STORE_AGAIN_S", 0.01)

    async def scenario() -> None:
        world.state(processing=True)
        await world.detail("working")
        manager = world.provider.service.manager
        submit, failures = (
            manager.submit,
            [StoreUnavailable("disk full"), CapacityError("queue", "full")],
        )

        def fail_twice(events: Any, received: float) -> Any:
            if failures:
                raise failures.pop()
            return submit(events, received)

        monkeypatch.setattr(manager, "submit", fail_twice)
        world.state(processing=False)
        await world.detail("done")
        assert failures == []

    asyncio.run(world.run(scenario))


def test_chat_listener_gives_up_with_one_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A version without the chat manager breaks neither the chat nor Jupyter Server."""
    del world.serverapp.web_app.settings["chat_manager"]

    async def scenario() -> None:
        for _ in range(3):
            world.state(processing=True)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        asyncio.run(world.run(scenario))
    (record,) = caplog.records
    assert "not shown any more: KeyError: 'chat_manager'" in record.getMessage()
    assert not world.db.exists()


def test_extension_starts_whatever_jupyter_ai_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault when it begins to follow is one line in the log."""
    world = World(tmp_path, Chat(), SCHEMAS)
    extensions = {"jupyter_ai_persona_manager": SimpleNamespace(enabled=True)}
    world.serverapp.extension_manager = SimpleNamespace(extensions=extensions)
    world.serverapp.event_logger = SimpleNamespace(schemas=None)
    extension = HtmlgraphExtension(log=logging.getLogger("jupyter"))
    monkeypatch.setattr(extension, "_provider", world.provider, raising=False)
    with caplog.at_level(logging.WARNING):
        extension._follow_jupyter_ai(world.serverapp)
    (record,) = caplog.records
    assert "are not shown: TypeError" in record.getMessage()


STAND_IN = f"""
import json
from types import SimpleNamespace
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import authenticated

class EmitHandler(JupyterHandler):
    @authenticated
    def post(self):
        self.event_logger.emit(schema_id={PERSONA_STATE!r}, data=self.get_json_body())

def _jupyter_server_extension_points():
    return [{{"module": "jupyter_ai_persona_manager"}}]

def _load_jupyter_server_extension(app):
    for schema in json.loads({json.dumps(SCHEMAS)!r}):
        app.event_logger.register_event_schema(schema)
    chat = SimpleNamespace(
        get_path=lambda: "plots.chat", get_metadata=dict, observe_messages=lambda call: None
    )
    app.web_app.settings["chat_manager"] = {{"chat-1": chat}}
    app.web_app.add_handlers(".*$", [(app.base_url + "emit", EmitHandler)])
"""
"""An extension with the name and the events of Jupyter AI's."""


@pytest.mark.parametrize("is_on", [True, False])
def test_extension_follows_jupyter_ai_unless_it_is_off(tmp_path: Path, is_on: bool) -> None:
    """In a Jupyter Server whose own database nobody has asked for; its end ends the agents."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "jupyter_ai_persona_manager.py").write_text(STAND_IN)
    loaded = {"jupyter_ai_persona_manager": True, "htmlgraph_server": True}
    flags = (
        f"--ServerApp.jpserver_extensions={loaded!r}",
        f"--HtmlgraphExtension.jupyter_ai={is_on}",
    )
    home = tmp_path / "home"
    with running_jupyter_server(home, *flags, environ={"PYTHONPATH": str(modules)}) as server:
        state = {"chat_id": "chat-1", "persona_id": JUPYTERNAUT, "processing": True}
        url = f"http://127.0.0.1:{server.port}{BASE_URL}emit"
        headers = {"Authorization": f"token {server.token}"}
        with urlopen(Request(url, json.dumps(state).encode(), headers), timeout=30) as response:
            assert response.status == 200
        if is_on:
            wait_until(lambda: server.request("GET", "/api/presence").json()["agents"], "the agent")
    if not is_on:
        assert not server.db.exists()
        return
    with PresenceManager(str(server.db)) as manager:
        (agent,) = manager.snapshot().values()
    assert (agent.title, agent.agent_kind, agent.detail) == ("plots", "jupyter-ai", "done")
    assert agent.status is PresenceStatus.OFFLINE


def test_follow_personas_needs_the_events_of_personas(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An older version of Jupyter AI is not followed, and the log says why."""
    world = World(tmp_path, Chat(), SCHEMAS[1:])
    with caplog.at_level(logging.WARNING):
        assert follow_personas(world.serverapp, world.provider, titles=True) is None
    (record,) = caplog.records
    assert "persona_state/v1" in record.getMessage()


def test_chat_listener_is_not_imported_without_jupyter_ai() -> None:
    """Importing the extension loads none of it."""
    code = (
        "import sys, htmlgraph_server.jupyter.extension\n"
        "print([name for name in sys.modules if 'persona' in name or 'chat_listener' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
