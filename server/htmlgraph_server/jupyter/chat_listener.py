"""Follows the personas of Jupyter AI through the Jupyter Events that it emits.

Only public interfaces are used: the events ``persona_state/v1`` of jupyter-ai-persona-manager 0.2,
``room/v1`` of jupyterlab-chat 0.25 and ``acp_telemetry`` of jupyter-ai-acp-client 0.3, and the
chats that ``settings["chat_manager"]`` returns. Nothing of Jupyter AI is imported. If another
version changes one of these, its personas are not seen, and the log says so once.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import os
import platform
import posixpath
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tornado.ioloop import PeriodicCallback

from htmlgraph_nb.coding_agents.fields import mapping
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.core.validation import MAX_ID_CHARS
from htmlgraph_nb.errors import CapacityError, StoreError
from htmlgraph_nb.ingest.processes.process_ids import find_process

from .persona_calls import ShownCall, calls_of
from .persona_tracker import ChatPlace, Known, PersonaTracker, is_in_use
from .service_provider import ServiceProvider

if TYPE_CHECKING:
    from jupyter_events import EventLogger
    from jupyter_server.serverapp import ServerApp

    from htmlgraph_nb.presence import PresenceManager

logger = logging.getLogger(__name__)

PERSONA_STATE = "https://schema.jupyter.org/jupyter_ai_persona_manager/persona_state/v1"
CHAT_ROOM = "https://schema.jupyter.org/jupyterlab_chat/room/v1"
ACP_TELEMETRY = "https://jupyter-ai/jupyter_ai_acp_client/events/acp_telemetry"
LATE_USAGE_S = 2.0
"""Seconds after the end of a turn in which its last usage is published."""
OWN_SOURCES_S = 10.0
"""Seconds after the end of a turn in which the agent's own sources have reported it."""
POLL_S = 1.0
"""Seconds between two looks at the messages of a turn that a chat does not announce."""
STORE_AGAIN_S = 1.0
"""Seconds until events that could not be stored are stored again."""
MAX_ATTEMPTS = 60
MAX_QUEUED = 10_000
_MAX_MESSAGES = 64

_Translate = Callable[[Known], list[Event]]
"""Returns the events that follow from a record; called in the order of the records."""


@dataclass(slots=True)
class _Chat:
    """A chat with a persona that works or has worked.

    Attributes:
        model: jupyterlab_chat's BaseChatModel.
        observer: the handle of our subscription to its messages.
        announces: whether it announces changes of a message, which it does not in collaboration.
        personas: ids of these personas.
        turns: persona that works → ids of its messages in this turn, with their calls.
    """

    model: Any
    observer: Any = None
    announces: bool = False
    personas: set[str] = field(default_factory=set)
    turns: dict[str, dict[str, list[ShownCall]]] = field(default_factory=dict)


def follow_personas(
    serverapp: ServerApp, provider: ServiceProvider, *, titles: bool
) -> ChatListener | None:
    """Follow the personas of Jupyter AI; return None if its version does not permit that.

    Args:
        serverapp: a Jupyter Server with Jupyter AI.
        provider: opens the service when a persona begins to work.
        titles: whether the name of a chat is the title of its agents.
    """
    events = serverapp.event_logger
    if events is None or PERSONA_STATE not in events.schemas:
        logger.warning(
            "the personas of Jupyter AI are not shown: this version emits no event %s",
            PERSONA_STATE,
        )
        return None
    try:
        user: str | None = getpass.getuser()
    except (ImportError, KeyError, OSError):
        # An account without a name, as in some containers.
        user = None
    tracker = PersonaTracker(
        titles=titles,
        host=platform.node()[:MAX_ID_CHARS] or None,
        user=user,
        process=find_process(os.getpid()),
    )
    listener = ChatListener(serverapp, events, provider, tracker)
    listener.start()
    return listener


class ChatListener:
    """Reports the personas of Jupyter AI to the service of this Jupyter Server.

    Args:
        serverapp: the Jupyter Server.
        events: its Jupyter Events.
        provider: opens the service when a persona begins to work.
        tracker: translates to events.
    """

    def __init__(
        self,
        serverapp: ServerApp,
        events: EventLogger,
        provider: ServiceProvider,
        tracker: PersonaTracker,
    ) -> None:
        self._serverapp = serverapp
        self._events = events
        self._provider = provider
        self._tracker = tracker
        self._chats: dict[str, _Chat] = {}
        self._queue: deque[_Translate] = deque(maxlen=MAX_QUEUED)
        self._task: asyncio.Task[None] | None = None
        self._timer = PeriodicCallback(self._guarded(self._poll), POLL_S * 1_000)
        self._settling: set[asyncio.TimerHandle] = set()
        self._listeners = {
            PERSONA_STATE: self._listener(self._on_state),
            CHAT_ROOM: self._listener(self._on_room),
            ACP_TELEMETRY: self._listener(self._on_telemetry),
        }
        self._is_broken = self._stopping = False

    def start(self) -> None:
        """Listen to Jupyter AI."""
        for schema, listener in self._listeners.items():
            self._events.add_listener(schema_id=schema, listener=listener)

    async def stop(self) -> None:
        """Report the end of all personas, and stop listening."""
        self._detach()
        self._stopping = True
        if self._is_broken or not self._chats:
            return
        self._add(lambda known: self._tracker.on_shutdown(utc_now(), known))
        if self._task is not None:
            await self._task

    # Jupyter Events

    def _listener(self, handle: Callable[[Mapping[str, Any]], None]) -> Callable[..., Any]:
        guarded = self._guarded(handle)

        async def listen(logger: Any, schema_id: str, data: Mapping[str, Any]) -> None:
            guarded(data)

        return listen

    def _on_state(self, data: Mapping[str, Any]) -> None:
        chat_id, persona_id = data["chat_id"], data["persona_id"]
        model = self._chat_model(chat_id)
        place = self._place_of(chat_id, model)
        known_chat = self._chats.get(chat_id)
        is_followed = known_chat is not None and persona_id in known_chat.personas
        if not is_followed and not is_in_use(place, persona_id, data):
            return
        chat = self._enter_chat(chat_id, model)
        chat.personas.add(persona_id)
        processing = data.get("processing")
        if processing is False:
            self._read_messages(chat_id, chat, persona_id)
        now = utc_now()
        self._add(lambda known: self._tracker.on_state(place, persona_id, data, now, known))
        if processing is True:
            chat.turns.setdefault(persona_id, {})
            if not self._timer.is_running():
                self._timer.start()
        elif processing is False and chat.turns.pop(persona_id, None) is not None:
            for after_s in (LATE_USAGE_S, OWN_SOURCES_S):
                self._settle_later(chat_id, persona_id, after_s)

    def _on_room(self, data: Mapping[str, Any]) -> None:
        chat_id = data["chat_id"]
        if data["action"] not in ("closed", "deleted") or chat_id not in self._chats:
            return
        self._leave_chat(self._chats.pop(chat_id))
        now = utc_now()
        self._add(lambda known: self._tracker.on_closed(chat_id, now, known))

    def _on_telemetry(self, data: Mapping[str, Any]) -> None:
        # Other details are not read: they contain messages of errors.
        name = mapping(data.get("details")).get("persona_class")
        what = data["operation"], data["outcome"]
        if not isinstance(name, str) or not self._chats:
            return
        if what == ("acp_chat_message", "failure"):
            self._add(lambda _: self._note(self._tracker.on_failure, name))
        elif what == ("acp_server_init", "success"):
            self._add(lambda _: self._note(self._tracker.on_new_process, name))

    def _note(self, note: Callable[[str], None], name: str) -> list[Event]:
        note(name)
        return []

    # Chats

    def _chat_model(self, chat_id: str) -> Any:
        return self._serverapp.web_app.settings["chat_manager"].get(chat_id)

    def _place_of(self, chat_id: str, model: Any) -> ChatPlace:
        path = str(model.get_path()) if model is not None else ""
        sessions = mapping(model.get_metadata().get("acp_session_ids")) if model is not None else {}
        root = str(getattr(self._serverapp.contents_manager, "root_dir", ""))
        folder = posixpath.join(root, posixpath.dirname(path)).rstrip("/")
        return ChatPlace(chat_id, path, folder, dict(sessions))

    def _enter_chat(self, chat_id: str, model: Any) -> _Chat:
        chat = self._chats.get(chat_id)
        if chat is None or chat.model is not model:
            if chat is not None:
                self._leave_chat(chat)
            chat = self._chats[chat_id] = _Chat(model)
            if model is not None:
                on_message = self._guarded(partial(self._on_message, chat_id, chat))
                chat.observer = model.observe_messages(on_message)
        return chat

    def _leave_chat(self, chat: _Chat) -> None:
        if chat.observer is not None:
            with contextlib.suppress(Exception):
                # The model may be disposed of already.
                chat.model.unobserve_messages(chat.observer)

    def _on_message(self, chat_id: str, chat: _Chat, event: Any) -> None:
        message = event.message
        turn = chat.turns.get(message.sender)
        if turn is None:
            return
        if getattr(event.action, "value", event.action) == "server_msg_updated":
            chat.announces = True
        self._read_message(chat_id, message.sender, turn, message)

    def _read_message(
        self, chat_id: str, persona_id: str, turn: dict[str, list[ShownCall]], message: Any
    ) -> None:
        calls = calls_of(message.metadata)
        if message.id not in turn and len(turn) >= _MAX_MESSAGES:
            del turn[next(iter(turn))]
        if turn.get(message.id, []) != calls:
            now, place = utc_now(), self._place_of(chat_id, self._chats[chat_id].model)
            self._add(lambda known: self._tracker.on_calls(place, persona_id, calls, now, known))
        turn[message.id] = calls

    def _read_messages(self, chat_id: str, chat: _Chat, persona_id: str) -> None:
        turn = chat.turns.get(persona_id, {})
        for message_id in [*turn]:
            message = chat.model.get_message(message_id)
            if message is not None:
                self._read_message(chat_id, persona_id, turn, message)

    def _poll(self) -> None:
        is_needed = False
        for chat_id, chat in self._chats.items():
            if chat.announces:
                continue
            for persona_id in chat.turns:
                is_needed = True
                self._read_messages(chat_id, chat, persona_id)
        if not is_needed:
            self._timer.stop()

    def _settle_later(self, chat_id: str, persona_id: str, after_s: float) -> None:
        def settle() -> None:
            self._settling.discard(handle)
            now, final = utc_now(), after_s == OWN_SOURCES_S
            self._add(
                lambda known: self._tracker.settle(chat_id, persona_id, now, known, final=final)
            )

        handle = asyncio.get_running_loop().call_later(after_s, settle)
        self._settling.add(handle)

    # To the service

    def _add(self, translate: _Translate) -> None:
        self._queue.append(translate)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._store())

    async def _store(self) -> None:
        try:
            service = await self._provider.open()

            def known(agent_id: str) -> AgentPresence | None:
                entry = service.hub.published.agents.get(agent_id)
                return None if entry is None else entry.presence

            while self._queue:
                events = [event.checked() for event in self._queue.popleft()(known)]
                if events:
                    await self._submit(service.manager, events)
        except (StoreError, CapacityError) as error:
            self._queue.clear()
            logger.warning("events of Jupyter AI's personas were not stored: %s", error)
        except Exception as error:  # noqa: BLE001
            self._queue.clear()
            self._give_up(error)

    async def _submit(self, manager: PresenceManager, events: list[Event]) -> None:
        """Store events; if that fails, try again, as the end of a turn must not be lost."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                await asyncio.wrap_future(manager.submit(events, time.monotonic()))
            except (StoreError, CapacityError):
                if attempt == MAX_ATTEMPTS or self._stopping:
                    raise
                await asyncio.sleep(STORE_AGAIN_S)
            else:
                # The hub is notified before this continues.
                await asyncio.sleep(0)
                return

    # Faults

    def _guarded(self, call: Callable[..., None]) -> Callable[..., None]:
        """Return the function with all its errors logged: they must not reach Jupyter or a chat."""

        def run(*arguments: Any) -> None:
            if self._is_broken:
                return
            try:
                call(*arguments)
            except Exception as error:  # noqa: BLE001
                self._give_up(error)

        return run

    def _give_up(self, error: Exception) -> None:
        if not self._is_broken:
            self._is_broken = True
            logger.warning(
                "the personas of Jupyter AI are not shown any more: %s: %s; another version of "
                "Jupyter AI may be the cause",
                type(error).__name__,
                str(error)[:200],
            )
            self._detach()
            if self._chats:
                # Nothing else would end their turns. The task that stores may just have failed.
                now = utc_now()
                asyncio.get_running_loop().call_soon(
                    self._add, lambda known: self._tracker.on_shutdown(now, known)
                )

    def _detach(self) -> None:
        self._timer.stop()
        for handle in self._settling:
            handle.cancel()
        self._settling.clear()
        for schema, listener in self._listeners.items():
            with contextlib.suppress(KeyError):
                # Its schema was never registered.
                self._events.remove_listener(schema_id=schema, listener=listener)
        for chat in self._chats.values():
            self._leave_chat(chat)
