"""A real process that stands in for Claude Code: it writes its files and runs its hooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from htmlgraph_nb.paths import start_ticks
from tests.helpers.environ import clean_environ
from tests.helpers.growing_session import json_line, timestamp_from_now

_PROCESS = """
import json, subprocess, sys
for line in sys.stdin:
    subprocess.run([sys.executable, "-m", "htmlgraph_nb.hook", "claude"], input=line.encode())
    print("done", flush=True)
"""


class StandInAgent:
    """A session of an agent in a process of its own, which ends with the block.

    Args:
        home: the home folder.
        session: id of the session.
        url: the server to which its hooks report; "": one that is not reachable.

    Attributes:
        pid: the process id.
    """

    def __init__(self, home: Path, session: str, url: str = "") -> None:
        self.home = home
        self.session = session
        environ = clean_environ(home, {"HTMLGRAPH_URL": url or "http://127.0.0.1:9"})
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            text=True,
        )
        self.pid = self._process.pid

    def __enter__(self) -> StandInAgent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def kill(self) -> None:
        """Kill the process with SIGKILL, as in a crash; its status file stays."""
        self._process.kill()
        self._process.wait()

    def say(self, status: str, **fields: Any) -> None:
        """Write the status file as Claude Code does.

        Args:
            status: ``busy``, ``waiting``, ``idle`` or ``shell``.
            fields: other values of its fields.
        """
        now_ms = int(time.time() * 1_000)
        record = {
            "pid": self.pid,
            "sessionId": self.session,
            "cwd": "/home/dev/shop",
            "startedAt": now_ms,
            "procStart": str(start_ticks(self.pid)),
            "version": "2.1.332",
            "kind": "interactive",
            "status": status,
            "statusUpdatedAt": now_ms,
            **fields,
        }
        folder = self.home / ".claude" / "sessions"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.pid}.json").write_text(json.dumps(record))

    def prompt(self, age_s: float = 0.0) -> None:
        """Add a prompt to the session file."""
        self._write(
            {"type": "user", "message": {"role": "user", "content": "go"}},
            age_s,
        )

    def call(self, age_s: float = 0.0) -> None:
        """Add a call of Bash to the session file, which never ends."""
        content = [{"type": "tool_use", "id": f"toolu_{self.session[:8]}", "name": "Bash"}]
        self._answer({"stop_reason": "tool_use", "content": [{**content[0], "input": {}}]}, age_s)

    def answer(self, age_s: float = 0.0) -> None:
        """Add an answer that ends the turn to the session file."""
        content = [{"type": "text", "text": "ok"}]
        self._answer({"stop_reason": "end_turn", "content": content}, age_s)

    def _answer(self, message: dict[str, Any], age_s: float) -> None:
        usage = {"input_tokens": 100, "output_tokens": 10}
        fixed = {
            "id": f"msg_{os.urandom(4).hex()}",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
        }
        message = {**fixed, **message, "usage": usage}
        self._write({"type": "assistant", "message": message}, age_s)

    def _write(self, record: dict[str, Any], age_s: float) -> None:
        folder = self.home / ".claude" / "projects" / "-home-dev-shop"
        folder.mkdir(parents=True, exist_ok=True)
        fields = {"sessionId": self.session, "cwd": "/home/dev/shop", "isSidechain": False}
        fields["uuid"] = os.urandom(8).hex()
        path = folder / f"{self.session}.jsonl"
        with path.open("ab") as file:
            file.write(json_line({**record, **fields, "timestamp": timestamp_from_now(-age_s)}))
        if age_s:
            os.utime(path, (time.time() - age_s,) * 2)

    def hook(self, name: str, **fields: Any) -> None:
        """Run the hook command as a child of the process, and wait for it."""
        record = {"hook_event_name": name, "session_id": self.session, **fields}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(record) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def work_with_hooks(self) -> None:
        """Run the hooks of a session up to a call that never ends."""
        self.hook("SessionStart", source="startup")
        self.hook("UserPromptSubmit")
        self.hook("PreToolUse", tool_name="Bash", tool_use_id=f"toolu_{self.session[:8]}")
