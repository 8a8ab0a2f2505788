"""Two servers, of which one forwards its events to the other, and a comparison of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

import htmlgraph_nb as hg
from htmlgraph_nb.presence import AgentPresence, PresenceManager
from htmlgraph_nb.storage.schema import DECISION
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

_OWN = ("seq", *DECISION)
_LOCAL_SOURCES = ("timer", "family", "rename", "capacity", "import", "host")
TOKEN = "centre-token-1"


def centre_of(folder: Path, *flags: str) -> Server:
    """Return a server, not started yet, that others forward to."""
    options = ("--token", TOKEN, "--no-watch", "--host-timeout", "2s", *flags)
    return Server(folder / "centre", *options)


def edge_of(folder: Path, centre: str, *flags: str, name: str = "edge") -> Server:
    """Return a server, not started yet, that forwards to the address ``centre``."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "token"
    secret.write_text(TOKEN)
    options = ("--forward-to", centre, "--forward-token", f"@{secret}", "--no-watch", *flags)
    return Server(folder / name, *options)


def wait_forwarded(edge: Server, deadline_s: float = 60.0) -> None:
    """Wait until an edge has sent all its events."""

    def is_done() -> bool:
        report = edge.get("/api/status").json()["forwarding"]
        return report["state"] == "connected" and report["pending"] == 0

    wait_until(is_done, "all events forwarded", deadline_s, 0.05)


def history(db: Path, epoch: str) -> pd.DataFrame:
    """Return the forwarded events of a database by id.

    Args:
        epoch: id of the edge's database, of which events without an id have one at the centre.
    """
    frame = hg.load_history(str(db))
    local = frame["source"].isin(_LOCAL_SOURCES) | (frame["event_type"] == "forget")
    frame = frame[~local.to_numpy()]
    ids = frame["event_id"].astype("string")
    ids = ids.fillna(epoch + ":" + frame["seq"].astype("string"))
    assert ids.is_unique
    frame = frame.assign(event_id=ids.to_numpy()).set_index("event_id").sort_index()
    return frame.drop(columns=[name for name in _OWN if name in frame])


def compare_history(edge: Server, centre: Server) -> int:
    """Fail unless the centre has each event of the edge once, with all fields; return how many."""
    epoch = edge.get("/api/status").json()["cursor"].partition(":")[0]
    left, right = history(edge.db, epoch), history(centre.db, epoch)
    assert set(left.index) - set(right.index) == set(), "missing"
    pd.testing.assert_frame_equal(
        left, right.loc[left.index], check_dtype=False, check_categorical=False
    )
    return len(left)


def presences(db: Path) -> dict[str, AgentPresence]:
    """Return the agents of a database without their seq."""
    with PresenceManager(str(db)) as manager:
        return {name: replace(one, seq=0) for name, one in manager.snapshot().items()}


def differences(edge: Path, centre: Path) -> dict[str, Any]:
    """Return the fields of agents that differ: (agent, field) → both values."""
    left, right = presences(edge), presences(centre)
    found: dict[str, Any] = {}
    for name, one in left.items():
        other = right.get(name)
        if other is None:
            found[name] = "missing"
            continue
        ours, theirs = one.to_dict(), other.to_dict()
        for field, value in ours.items():
            if value != theirs[field]:
                found[f"{name}.{field}"] = (value, theirs[field])
    return found
