"""Reports what a status line says about a session to the server of this machine, by the spool.

A small file per session holds what was reported last, so that only changes are written.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from .. import paths
from .spool_file import spool
from .status_input import ACCOUNT, quota_windows, session_info, waiting_elsewhere

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SOURCE = "claude-statusline"
MAX_SESSIONS = 200
"""Most files of sessions; the oldest are deleted."""
MAX_BACKLOG_BYTES = 1 << 20
"""Size of the spool at which status lines stop adding to it: hooks need the rest more."""
_MAX_FILE_BYTES = 1 << 20


def report_status(status: Mapping[str, Any], environ: Mapping[str, str]) -> int:
    """Append what changed since the last call for this session to the spool.

    Args:
        status: the JSON object on stdin.
        environ: environment variables, of which HTMLGRAPH_AGENT names the agent.

    Returns:
        The number of events: at most one ``session_info`` and one ``quota``.

    Raises:
        OSError: a file cannot be written.
    """
    session = status.get("session_id")
    if not isinstance(session, str) or not session:
        return 0
    current: dict[str, Any] = {"session_info": session_info(status), "quota": quota_windows(status)}
    folder = paths.statusline_dir()
    path = os.path.join(folder, _file_name(session))
    last = _read_object(path)
    changed = [kind for kind, value in current.items() if value and value != last.get(kind)]
    if not changed:
        return 0
    common = _common_fields(session, environ)
    lines = []
    for kind in changed:
        fields = current[kind] if kind == "session_info" else {"extra": _quota_extra(current)}
        event = {**common, "event_type": kind, "event_id": os.urandom(16).hex(), **fields}
        lines.append(json.dumps({"event": event}, separators=(",", ":")).encode())
    if not spool(b"\n".join(lines), paths.spool_path(), MAX_BACKLOG_BYTES):
        return 0
    # A crash before this line repeats a report, which changes nothing.
    _write_state(folder, path, {**last, **{kind: current[kind] for kind in changed}})
    return len(lines)


def agents_waiting(session_id: str) -> list[str]:
    """Return the names of the agents of other sessions that wait for a person.

    They come from a file that the running server writes; without a server there are none.
    """
    content = _read_object(paths.waiting_file())
    waiting, pid = content.get("agents"), content.get("pid")
    if not isinstance(waiting, list) or not isinstance(pid, int) or not paths.is_alive(pid):
        return []
    return waiting_elsewhere(waiting, session_id)


def _quota_extra(current: Mapping[str, Any]) -> dict[str, Any]:
    return {"account": ACCOUNT, "official": True, "windows": current["quota"]}


def _common_fields(session: str, environ: Mapping[str, str]) -> dict[str, Any]:
    # Imported only when there is something to report.
    from ..core.ids import agent_id_of, shorten_id

    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    session = shorten_id(session)
    fields = {
        "agent_id": environ.get("HTMLGRAPH_AGENT", "")[:256] or agent_id_of(session, ACCOUNT),
        "session_id": session,
        "timestamp": f"{clock}.{rest // 1000:06d}Z",
        "source": SOURCE,
        "agent_kind": ACCOUNT,
        "host": paths.host_name()[:256],
    }
    return {name: value for name, value in fields.items() if value}


def _file_name(session: str) -> str:
    if len(session) <= 64 and session.isascii() and session.replace("-", "").isalnum():
        return f"{session}.json"
    from hashlib import sha256

    return f"{sha256(session.encode('utf-8', 'replace')).hexdigest()}.json"


def _read_object(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read(_MAX_FILE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_state(folder: str, path: str, state: Mapping[str, Any]) -> None:
    paths.make_private_folder(folder)
    if not os.path.exists(path):
        _delete_oldest(folder)
    # Replaced in one step: Claude Code may end this process at any time.
    paths.write_private_json(path, state)


def _delete_oldest(folder: str) -> None:
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                files.append((entry.stat().st_mtime, entry.path))
            except FileNotFoundError:
                # Another status line has just replaced or deleted it.
                continue
    for _, path in sorted(files)[: max(0, len(files) - MAX_SESSIONS + 1)]:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
