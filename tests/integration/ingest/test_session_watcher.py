"""Session files are followed as they are written: each event once, whatever happens to the file."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.agent import SessionRoot
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.backfill import final_events
from htmlgraph_nb.ingest.session_files import SessionFile, SessionTail
from htmlgraph_nb.ingest.session_scanner import default_roots, root_of
from htmlgraph_nb.ingest.session_watcher import ACTIVE_FOR_S, SLICE_BYTES, Named, SessionWatcher
from tests.helpers.simulated_session import SESSION, session

NOW = datetime(2026, 5, 30, 18, 0, tzinfo=UTC)
OLD = NOW.timestamp() - 86_400


class Scene:
    """A follower of one folder, and the clock it goes by."""

    def __init__(self, folder: Path, agent: str = "claude", *, watch: bool = True) -> None:
        self.folder = folder / "projects"
        (self.folder / "shop").mkdir(parents=True)
        self.at = 1_000.0
        self.root = SessionRoot(agent, str(self.folder.resolve()))
        self.follower = SessionWatcher(
            [self.root], NOW.timestamp() - 60, watch=watch, monotonic=lambda: self.at
        )
        self.path = self.folder / "shop" / f"{SESSION}.jsonl"

    def poll(self, seconds: float = 1.0, times: int = 4) -> list[Event]:
        """Let time pass and return what the follower finds."""
        found = []
        for _ in range(times):
            self.at += seconds / times
            found += self.follower.poll(NOW + timedelta(seconds=self.at - 1_000))
        return found

    def add(self, text: bytes) -> None:
        """Append to the session file."""
        with self.path.open("ab") as file:
            file.write(text)
        os.utime(self.path, (NOW.timestamp() + self.at, NOW.timestamp() + self.at))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A folder of Claude Code without sessions."""
    return Scene(tmp_path)


def ids(events: list[Event]) -> list[str | None]:
    """Return the ids of the events."""
    return [event.event_id for event in events]


def lines(n_turns: int = 2, agent: str = "claude") -> list[bytes]:
    """Return the lines of a session."""
    told = session(agent, [[False]] * n_turns, same_counts=False, over=False)
    return told.lines


def whole(scene: Scene, agent: str = "claude") -> list[str | None]:
    """Return the ids of the events of the whole file, read at once."""
    tail = SessionTail(SessionFile(str(scene.path), agent, 0, 0.0))
    return sorted(ids(final_events(tail.read(final=True))), key=str)


def test_only_what_was_added_is_told(scene: Scene) -> None:
    """A file that appears is read; then each addition is, and nothing twice."""
    assert scene.poll() == []
    all_lines = lines()
    scene.add(b"".join(all_lines[:3]))
    first = scene.poll()
    assert first[0].event_type == "session_start"
    assert scene.poll() == []
    scene.add(b"".join(all_lines[3:]))
    found = first + scene.poll(5)
    assert len(set(ids(found))) == len(found)
    assert sorted(ids(found), key=str) == whole(scene)


@settings(max_examples=40)
@given(agent=st.sampled_from(list(AGENTS)), cuts=st.lists(st.integers(0, 4_000), max_size=8))
def test_any_cut_of_the_bytes_tells_the_same(
    tmp_path_factory: pytest.TempPathFactory, agent: str, cuts: list[int]
) -> None:
    """However the writer's bytes arrive, in the middle of a line or of a character."""
    scene = Scene(tmp_path_factory.mktemp("cut"), agent)
    text = b"".join(lines(2, agent))
    found = []
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for begin, end in pairwise(places):
        scene.add(text[begin:end])
        found += scene.poll(0.5)
    found += scene.poll(ACTIVE_FOR_S + 1, 3)
    assert sorted(set(ids(found)), key=str) == whole(scene, agent)
    assert len([e for e in found if e.event_type != "completion"]) == len(
        {e.event_id for e in found if e.event_type != "completion"}
    )


def test_past_sessions_are_not_opened_until_they_go_on(scene: Scene) -> None:
    """Thousands of them are only names; one that is resumed is taken in whole."""
    text = b"".join(lines())
    for number in range(3_000):
        path = scene.folder / "shop" / f"old-{number}.jsonl"
        path.write_bytes(text if number == 7 else b"")
        os.utime(path, (OLD, OLD))
    assert scene.poll(2, 20) == []
    assert scene.follower.report()["files"] == 3_000
    assert scene.follower.report()["followed"] == 0
    scene.path = scene.folder / "shop" / "old-7.jsonl"
    scene.add(b"\n")
    found = scene.poll(20, 80)
    assert {event.event_type for event in found} >= {"session_start", "completion"}
    assert scene.follower.report()["followed"] == 1


def test_a_session_that_rested_long_goes_on(scene: Scene) -> None:
    """The first line after hours of rest is told, and what was told before is not told again."""
    all_lines = lines()
    scene.add(b"".join(all_lines[:-2]))
    found = scene.poll(2, 8)
    found += scene.poll(ACTIVE_FOR_S + 1, 3)
    assert scene.follower.report()["followed"] == 0
    scene.add(b"".join(all_lines[-2:]))
    again = scene.poll(2, 8)
    assert again
    assert not set(ids(again)) & set(ids(found))
    assert scene.follower.report()["followed"] == 1


def cut_short(scene: Scene, text: bytes) -> None:
    scene.path.write_bytes(text)


def replaced(scene: Scene, text: bytes) -> None:
    fresh = scene.path.with_suffix(".new")
    fresh.write_bytes(text)
    fresh.replace(scene.path)


@pytest.mark.parametrize("change", [cut_short, replaced])
def test_file_with_another_content_is_read_anew(
    scene: Scene, change: Callable[[Scene, bytes], None]
) -> None:
    """Shorter, or longer and not what was read: all of it is told, under the same ids."""
    one, other = lines(1), lines(3)
    scene.add(b"".join(one))
    before = scene.poll()
    change(scene, b"\n" + b"".join(other) if change is replaced else other[0])
    after = scene.poll(5)
    assert after
    assert set(ids(after)) & set(ids(before))
    assert after[0].event_type == "session_start"


def test_file_that_is_gone_tells_what_was_left(scene: Scene) -> None:
    """The answer that waited for another line comes when there can be none, and no fault."""
    kept = lines(1)[:2]
    scene.add(b"".join(kept))
    found = scene.poll(0.1, 2)
    scene.path.unlink()
    found += scene.poll()
    assert [event.event_type for event in found].count("completion") == 1
    assert scene.follower.report()["followed"] == 0


def test_large_addition_is_read_in_slices(scene: Scene) -> None:
    """One call reads a bounded part, and asks to be called again soon."""
    filler = b'{"type":"user","sessionId":"%s","timestamp":"2026-05-30T17:00:00Z","x":"' % (
        SESSION.encode()
    )
    big = [filler + b"y" * 50_000 + b'"}\n'] * (4 * SLICE_BYTES // 50_000)
    scene.add(b"".join([*big, *lines(1)]))
    scene.poll(0.3, 1)
    assert scene.poll(0.01, 1) == []
    assert scene.follower.interval_s < 0.05
    assert len(scene.poll(3, 30)) > 3


def test_named_files_are_read_for_their_answers_alone(tmp_path: Path) -> None:
    """Without ``watch`` nothing is read but what hooks name, and of that the tokens."""
    scene = Scene(tmp_path, watch=False)
    told = session("claude", [[False]], same_counts=False, over=False)
    scene.add(b"".join(told.lines))
    assert scene.poll(5) == []
    scene.follower.name([Named(str(scene.path))])
    found = scene.poll(3)
    assert {event.event_type for event in found} == {"completion"}
    assert sum(event.total_tokens for event in found) == told.n_tokens
    assert scene.poll(10) == []
    scene.follower.name([Named(str(scene.path), ended=True)])
    assert scene.poll(10) == []


def test_only_session_files_can_be_named(tmp_path: Path) -> None:
    """Nothing outside the agents' folders, no link out of them, no pipe, no folder."""
    scene = Scene(tmp_path)
    shop = scene.folder / "shop"
    secret = tmp_path / "secret.jsonl"
    secret.write_bytes(b"{}")
    good = shop / "good.jsonl"
    good.write_bytes(b"{}")
    (shop / "link.jsonl").symlink_to(secret)
    (shop / "inner.jsonl").symlink_to(good)
    (shop / "folder.jsonl").mkdir()
    os.mkfifo(shop / "pipe.jsonl")
    (shop / "note.txt").write_bytes(b"")
    allowed = {
        name: root_of(str(shop / name), [scene.root]) is not None
        for name in ("good.jsonl", "inner.jsonl", "link.jsonl", "folder.jsonl", "pipe.jsonl")
    }
    assert allowed == {
        "good.jsonl": True,
        "inner.jsonl": True,
        "link.jsonl": False,
        "folder.jsonl": False,
        "pipe.jsonl": False,
    }
    outside = f"{shop}/../../secret.jsonl"
    for bad in (str(secret), outside, "good.jsonl", "\0", "", f"{shop}/absent.jsonl"):
        assert root_of(bad, [scene.root]) is None, bad
    assert root_of(f"{shop}/../shop/good.jsonl", [scene.root]) == scene.root


def test_usual_roots_follow_the_agents_own_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``CLAUDE_CONFIG_DIR`` and ``CODEX_HOME`` are heeded; Codex's archive is followed, too."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "x"))
    paths = {root.path for root in default_roots()}
    place = tmp_path.resolve()
    assert {f"{place}/c/projects", f"{place}/x/sessions", f"{place}/x/archived_sessions"} <= paths


def test_random_life_of_many_files_ends_complete(tmp_path: Path) -> None:
    """Files that appear, grow, rest and are moved, in folders that appear: nothing is missed."""
    scene = Scene(tmp_path)
    chance = random.Random(7)
    texts = {n: b"".join(lines(2)).replace(b"0b9d6f4e", b"%08x" % n) for n in range(12)}
    written = dict.fromkeys(texts, 0)
    found: list[Event] = []
    while any(written[n] < len(texts[n]) for n in texts):
        n = chance.choice([n for n in texts if written[n] < len(texts[n])])
        scene.path = scene.folder / f"p{n % 4}" / f"s{n}.jsonl"
        scene.path.parent.mkdir(exist_ok=True)
        size = chance.randrange(1, 900)
        scene.add(texts[n][written[n] : written[n] + size])
        written[n] += size
        found += scene.poll(chance.choice([0.1, 0.4, 30.0]), 2)
    found += scene.poll(ACTIVE_FOR_S + 60, 20)
    sessions = {event.session_id for event in found}
    assert len(sessions) == 12
    for each in sessions:
        answers = {e.event_id for e in found if e.session_id == each if e.output_tokens}
        assert len(answers) == 4
