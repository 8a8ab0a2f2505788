"""Rows of a transaction in PostgreSQL, compared with SQLite's."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS
from tests.helpers.database_files import history_rows
from tests.helpers.postgres import PostgresServer

COLUMNS = ", ".join(HISTORY_COLUMNS)
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
EVENTS = st.builds(
    Event,
    agent_id=st.sampled_from(["a", "b"]),
    event_type=st.sampled_from(["completion", "tool_execute", "tool_error"]),
    session_id=st.none() | TEXTS.filter(bool),
    title=st.none() | TEXTS.filter(bool),
    user=st.none() | st.just("ann"),
    input_tokens=st.none() | st.integers(0, 2**40),
    cost_usd=st.none() | st.floats(0, 1e6),
    input_hash=st.none() | st.integers(0, 2**53 - 1),
    extra=st.none() | st.dictionaries(TEXTS, TEXTS | st.floats(-1e9, 1e9) | st.booleans()),
)


def test_insert_stores_the_same_rows(tmp_path: Path, postgres: PostgresServer) -> None:
    """Each value of an event comes back as from SQLite, and so does each state."""
    file, url = str(tmp_path / "h.db"), postgres.new_url()
    with PresenceManager(file) as one:
        clock = one._clock
        with PresenceManager(url, clock=lambda: clock()) as two:

            @settings(max_examples=40)
            @given(st.lists(EVENTS, min_size=1, max_size=5))
            def both(events: list[Event]) -> None:
                at = clock()
                timed = [
                    Event(**{**{f: getattr(e, f) for f in e.__dataclass_fields__}, "timestamp": at})
                    for e in events
                ]
                one.ingest(timed)
                two.ingest(timed)

            both()
            assert one.agents.keys() == two.agents.keys()
            for name, presence in one.agents.items():
                assert presence.to_dict() == two.agents[name].to_dict() | {
                    key: presence.to_dict()[key] for key in ("since", "detail_since")
                }
    assert history_rows(file, COLUMNS) == history_rows(url, COLUMNS)


def test_insert_keeps_escapes_of_characters_that_postgresql_lacks(postgres: PostgresServer) -> None:
    """U+0000 in JSON is an escape and stays."""
    url = postgres.new_url()
    with PresenceManager(url) as manager:
        manager.ingest([Event(agent_id="a", event_type="prompt", extra={"k": "x\0y"})])
    assert history_rows(url, "agent_id, extra") == [("a", '{"k":"x\\u0000y"}')]
