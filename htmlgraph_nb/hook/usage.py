"""What the hook reads for a server on another machine: the tokens in the agent's session file.

A server on the same machine reads the file itself. Loaded only at the end of a turn or session, and
only where the server is elsewhere; standard library only.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from hashlib import sha256

from ..coding_agents.agent import CodingAgent
from ..core.model import Event
from ..errors import InvalidEvent

MAX_USAGE_EVENTS = 2_000
"""Most answers that are sent at once; the rest goes with the next call."""
MAX_SESSION_LINE_BYTES = 16 << 20
_CHECKED_LINES = 64


class UsageReader:
    """The answers of one session file, and how many of them were sent.

    Args:
        agent: whose file it is.
        path: as the agent named it.
        folder: where the hook remembers what was sent.
        until: ``time.monotonic()`` at which reading stops.
    """

    def __init__(self, agent: CodingAgent, path: str, folder: str, until: float) -> None:
        self._agent = agent
        self._path = path
        self._until = until
        self._folder = folder
        self._memory = os.path.join(folder, f"{sha256(path.encode()).hexdigest()[:32]}.json")
        self._sent = self._remembered()
        self._n_sent = self._sent

    def unsent(self) -> list[Event]:
        """Return the answers that were not sent yet, oldest first.

        Raises:
            OSError: the file cannot be read, or is none.
        """
        # Opened without waiting: a pipe of that name would hold the hook up.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self._path, flags)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{self._path} is no regular file")
            # Older files of Gemini CLI are one object.
            whole = self._path.endswith(".json")
            answers = list(
                self._answers(iter([file.read(MAX_SESSION_LINE_BYTES)]) if whole else file)
            )
        found = answers[self._sent :][:MAX_USAGE_EVENTS]
        self._n_sent = self._sent + len(found)
        return found

    def _answers(self, file: Iterator[bytes]) -> Iterator[Event]:
        reader = self._agent.session_reader(self._path)
        known = set()
        for number, line in enumerate(file):
            if number % _CHECKED_LINES == 0 and time.monotonic() >= self._until:
                return
            try:
                events = reader.feed(line.strip()) if len(line) < MAX_SESSION_LINE_BYTES else []
            except InvalidEvent:
                continue
            for event in events:
                if event.event_type == "completion" and event.event_id not in known:
                    known.add(event.event_id)
                    yield event
        # The turn is over, so an answer that told why it stopped is whole.
        for event in reader.on_quiet(1.0):
            if event.event_type == "completion" and event.event_id not in known:
                known.add(event.event_id)
                yield event

    def _remembered(self) -> int:
        try:
            with open(self._memory, encoding="utf-8") as file:
                n = json.load(file)
        except (OSError, ValueError):
            return 0
        return n if type(n) is int and n >= 0 else 0

    def remember(self) -> None:
        """Remember that what ``unsent`` returned arrived; OSError where it cannot be written."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        with open(self._memory, "w", encoding="utf-8") as file:
            json.dump(self._n_sent, file)

    def forget(self) -> None:
        """Forget the file: its session is over."""
        try:
            os.unlink(self._memory)
        except FileNotFoundError:
            return
