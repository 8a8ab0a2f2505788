"""Tokens in the agent's session file, which the hook reads for a server on another machine.

A server on the same machine reads the file itself. This module is loaded only at the end of a turn
or session, and only if the server is remote; it imports the standard library only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from hashlib import sha256

from ..coding_agents.agent import CodingAgent
from ..coding_agents.session import feed_parts
from ..core.model import Event
from ..errors import InvalidEvent
from ..paths import make_private_folder, open_private, open_regular

MAX_USAGE_EVENTS = 2_000
"""Most completions that one call sends; the next call sends the rest."""
MAX_SESSION_LINE_BYTES = 16 << 20
_LINES_PER_CLOCK_CHECK = 64
_TURN_ENDED_S = 1.0
"""Seconds of quiet that stand for the end of the turn."""


class UsageReader:
    """The completions of one session file, and how many of them were sent.

    Args:
        agent: the agent that wrote the file.
        path: the path of the file in the hook input.
        folder: where the number of sent completions is stored between calls.
        until: ``time.monotonic()`` at which reading stops.
    """

    def __init__(self, agent: CodingAgent, path: str, folder: str, until: float) -> None:
        self._agent = agent
        self._path = path
        self._until = until
        self._folder = folder
        self._state_path = os.path.join(folder, f"{sha256(path.encode()).hexdigest()[:32]}.json")
        self._sent = self._load()
        self._n_sent = self._sent

    def unsent(self) -> list[Event]:
        """Return the completions that were not sent yet, oldest first.

        Raises:
            OSError: the file cannot be read, or is no regular file.
        """
        with open_regular(self._path) as file:
            # A .json file is one object, not one per line.
            is_object = self._path.endswith(".json")
            lines = iter([file.read(MAX_SESSION_LINE_BYTES)]) if is_object else file
            completions = list(self._completions(lines))
        unsent = completions[self._sent :][:MAX_USAGE_EVENTS]
        self._n_sent = self._sent + len(unsent)
        return unsent

    def _completions(self, lines: Iterator[bytes]) -> Iterator[Event]:
        seen = set()
        for event in self._events(lines):
            if event.event_type == "completion" and event.event_id not in seen:
                seen.add(event.event_id)
                yield event

    def _events(self, lines: Iterator[bytes]) -> Iterator[Event]:
        reader = self._agent.session_reader(self._path)
        for number, line in enumerate(lines):
            if number % _LINES_PER_CLOCK_CHECK == 0 and time.monotonic() >= self._until:
                return
            try:
                yield from reader.feed(line.strip()) if len(line) < MAX_SESSION_LINE_BYTES else []
            except InvalidEvent:
                yield from feed_parts(reader, line)[0]
        # The turn has ended, so a completion with a stop reason is complete.
        yield from reader.on_quiet(_TURN_ENDED_S)

    def _load(self) -> int:
        try:
            with open(self._state_path, encoding="utf-8") as file:
                n = json.load(file)
        except (OSError, ValueError):
            return 0
        return n if type(n) is int and n >= 0 else 0

    def save(self) -> None:
        """Store that the completions that ``unsent`` returned were sent.

        Raises:
            OSError: the file cannot be written.
        """
        make_private_folder(self._folder)
        with open(self._state_path, "w", encoding="utf-8", opener=open_private) as file:
            json.dump(self._n_sent, file)

    def forget(self) -> None:
        """Delete the stored number: the session is over."""
        try:
            os.unlink(self._state_path)
        except FileNotFoundError:
            return
