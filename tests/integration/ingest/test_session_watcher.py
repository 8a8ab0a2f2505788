"""SessionWatcher reports each event of a growing file once, whatever happens to the file."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.hook_hints import HookHints
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.coding_agents.session import MAX_SIDECAR_BYTES, SessionRoot
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.event_buffer import final_events
from htmlgraph_nb.ingest.session_files import SessionFile
from htmlgraph_nb.ingest.session_tail import SessionTail
from htmlgraph_nb.ingest.session_watcher import ACTIVE_FOR_S, SLICE_BYTES, SessionWatcher
from tests.helpers.simulated_session import SESSION, SIMULATED, simulate_session

NOW = datetime(2026, 5, 30, 18, 0, tzinfo=UTC)
OLD = NOW.timestamp() - 86_400


class Scene:
    """A watcher of one folder, and its clock."""

    def __init__(self, folder: Path, agent: str = "claude", *, watch: bool = True) -> None:
        self.folder = folder / "projects"
        (self.folder / "shop").mkdir(parents=True)
        self.at = 1_000.0
        self.root = SessionRoot(agent, str(self.folder.resolve()))
        self.watcher = SessionWatcher(
            [self.root], NOW.timestamp() - 60, watch=watch, monotonic=lambda: self.at
        )
        self.path = self.folder / "shop" / f"{SESSION}.jsonl"

    def poll(self, seconds: float = 1.0, times: int = 4) -> list[Event]:
        """Advance the clock in steps and return the events of all polls."""
        events = []
        for _ in range(times):
            self.at += seconds / times
            events += self.watcher.poll(NOW + timedelta(seconds=self.at - 1_000))
        return events

    def report_hook(self, *, ended: bool = False) -> None:
        """Pass the path of the session file on as a hook does."""
        hints = HookHints("a", SESSION, None, (str(self.path),), ended, ())
        self.watcher.on_hook(hints)

    def add(self, text: bytes) -> None:
        """Append to the session file."""
        with self.path.open("ab") as file:
            file.write(text)
        os.utime(self.path, (NOW.timestamp() + self.at, NOW.timestamp() + self.at))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Return a scene with a folder of Claude Code that has no sessions."""
    return Scene(tmp_path)


def ids(events: list[Event]) -> list[str | None]:
    """Return the ids of the events."""
    return [event.event_id for event in events]


def lines(n_turns: int = 2, agent: str = "claude") -> list[bytes]:
    """Return the lines of a session."""
    return simulate_session(agent, [[False]] * n_turns, same_counts=False, ended=False).lines


def complete_ids(scene: Scene, agent: str = "claude") -> list[str | None]:
    """Return the ids of the events of the file when it is read at once."""
    tail = SessionTail(SessionFile(str(scene.path), agent, 0, 0.0))
    return sorted(ids(final_events(tail.read(final=True))), key=str)


def test_watcher_reports_only_added_lines(scene: Scene) -> None:
    """A new file is read from its start, then only its additions are."""
    assert scene.poll() == []
    all_lines = lines()
    scene.add(b"".join(all_lines[:3]))
    first = scene.poll()
    assert first[0].event_type == "session_start"
    assert scene.poll() == []
    scene.add(b"".join(all_lines[3:]))
    events = first + scene.poll(5)
    assert len(set(ids(events))) == len(events)
    assert sorted(ids(events), key=str) == complete_ids(scene)


@settings(max_examples=40)
@given(agent=st.sampled_from(SIMULATED), cuts=st.lists(st.integers(0, 4_000), max_size=8))
def test_watcher_result_is_independent_of_write_boundaries(
    tmp_path_factory: pytest.TempPathFactory, agent: str, cuts: list[int]
) -> None:
    """Writes may end in the middle of a line or of a character."""
    scene = Scene(tmp_path_factory.mktemp("cut"), agent)
    text = b"".join(lines(2, agent))
    events = []
    offsets = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, end in pairwise(offsets):
        scene.add(text[start:end])
        events += scene.poll(0.5)
    events += scene.poll(ACTIVE_FOR_S + 1, 3)
    assert sorted(set(ids(events)), key=str) == complete_ids(scene, agent)
    others = ids([event for event in events if event.event_type != "completion"])
    assert len(others) == len(set(others))


def test_watcher_does_not_open_past_sessions_until_they_change(scene: Scene) -> None:
    """Of thousands of past files only the names are read; a resumed one is read completely."""
    text = b"".join(lines())
    for number in range(3_000):
        path = scene.folder / "shop" / f"old-{number}.jsonl"
        path.write_bytes(text if number == 7 else b"")
        os.utime(path, (OLD, OLD))
    assert scene.poll(2, 20) == []
    assert scene.watcher.report()["files"] == 3_000
    assert scene.watcher.report()["followed"] == 0
    scene.path = scene.folder / "shop" / "old-7.jsonl"
    scene.add(b"\n")
    events = scene.poll(20, 80)
    assert {event.event_type for event in events} >= {"session_start", "completion"}
    assert scene.watcher.report()["followed"] == 1


def test_watcher_continues_dormant_file_at_last_position(scene: Scene) -> None:
    """Lines added to a dormant file are reported, and earlier events are not repeated."""
    all_lines = lines()
    scene.add(b"".join(all_lines[:-2]))
    before = scene.poll(2, 8)
    before += scene.poll(ACTIVE_FOR_S + 1, 3)
    assert scene.watcher.report()["followed"] == 0
    scene.add(b"".join(all_lines[-2:]))
    after = scene.poll(2, 8)
    assert after
    assert not set(ids(after)) & set(ids(before))
    assert scene.watcher.report()["followed"] == 1


def truncate(scene: Scene, text: bytes) -> None:
    scene.path.write_bytes(text)


def replace_file(scene: Scene, text: bytes) -> None:
    fresh = scene.path.with_suffix(".new")
    fresh.write_bytes(text)
    fresh.replace(scene.path)


@pytest.mark.parametrize("change", [truncate, replace_file])
def test_watcher_rereads_replaced_file_from_start(
    scene: Scene, change: Callable[[Scene, bytes], None]
) -> None:
    """A shorter file, or one with other content, is reported completely, with the same ids."""
    short, long = lines(1), lines(3)
    scene.add(b"".join(short))
    before = scene.poll()
    change(scene, b"\n" + b"".join(long) if change is replace_file else long[0])
    after = scene.poll(5)
    assert after
    assert set(ids(after)) & set(ids(before))
    assert after[0].event_type == "session_start"


def test_watcher_goes_on_after_a_file_was_cut_within_its_first_line(scene: Scene) -> None:
    """A file that holds half a line for a while is read when it is complete again."""
    all_lines = lines(3)
    scene.add(b"".join(all_lines[:-2]))
    before = scene.poll()
    truncate(scene, all_lines[0][:20])
    scene.add(b"")
    scene.poll(5)
    truncate(scene, b"".join(all_lines))
    scene.add(b"")
    after = scene.poll(30, 30)
    assert sorted({*ids(before), *ids(after)}, key=str) == complete_ids(scene)
    assert scene.watcher.report()["skipped"]["count"] == 0


def test_watcher_reports_pending_completion_of_deleted_file(scene: Scene) -> None:
    """A completion that waited for another line is reported when the file is deleted."""
    scene.add(b"".join(lines(1)[:2]))
    events = scene.poll(0.1, 2)
    scene.path.unlink()
    events += scene.poll()
    assert [event.event_type for event in events].count("completion") == 1
    assert scene.watcher.report()["followed"] == 0


def test_watcher_reads_large_addition_in_slices(scene: Scene) -> None:
    """One poll reads a bounded part and shortens the interval until the next."""
    filler = b'{"type":"user","sessionId":"%s","timestamp":"2026-05-30T17:00:00Z","x":"' % (
        SESSION.encode()
    )
    big = [filler + b"y" * 50_000 + b'"}\n'] * (4 * SLICE_BYTES // 50_000)
    scene.add(b"".join([*big, *lines(1)]))
    scene.poll(0.3, 1)
    assert scene.poll(0.01, 1) == []
    assert scene.watcher.interval_s < 0.05
    assert len(scene.poll(3, 30)) > 3


def test_watcher_without_watch_reads_only_completions_of_hinted_files(tmp_path: Path) -> None:
    """With ``watch=False`` only the files that hooks report are read, and of them the tokens."""
    scene = Scene(tmp_path, watch=False)
    simulated = simulate_session("claude", [[False]], same_counts=False, ended=False)
    scene.add(b"".join(simulated.lines))
    assert scene.poll(5) == []
    scene.report_hook()
    events = scene.poll(3)
    assert {event.event_type for event in events} == {"completion"}
    assert sum(event.total_tokens for event in events) == simulated.n_tokens
    assert scene.poll(10) == []
    scene.report_hook(ended=True)
    assert scene.poll(10) == []


def test_watcher_misses_nothing_in_many_random_files(tmp_path: Path) -> None:
    """Files appear, grow and rest at random, in folders that appear meanwhile."""
    scene = Scene(tmp_path)
    rng = random.Random(7)
    texts = {n: b"".join(lines(2)).replace(b"0b9d6f4e", b"%08x" % n) for n in range(12)}
    written = dict.fromkeys(texts, 0)
    events: list[Event] = []
    while any(written[n] < len(texts[n]) for n in texts):
        n = rng.choice([n for n in texts if written[n] < len(texts[n])])
        scene.path = scene.folder / f"p{n % 4}" / f"s{n}.jsonl"
        scene.path.parent.mkdir(exist_ok=True)
        size = rng.randrange(1, 900)
        scene.add(texts[n][written[n] : written[n] + size])
        written[n] += size
        events += scene.poll(rng.choice([0.1, 0.4, 30.0]), 2)
    events += scene.poll(ACTIVE_FOR_S + 60, 20)
    completions: dict[str | None, set[str | None]] = {event.session_id: set() for event in events}
    for event in events:
        if event.output_tokens:
            completions[event.session_id].add(event.event_id)
    assert [len(event_ids) for event_ids in completions.values()] == [4] * 12


class _WithSidecar(CodingAgent):
    name = "aside"
    label = "Aside"

    def sidecars(self, path: str) -> tuple[str, ...]:
        return (os.path.join(os.path.dirname(path), "meta.json"),)

    def session_reader(self, path: str, hash_input: object = None) -> Any:
        return _SidecarSession()


class _SidecarSession:
    QUIET_THRESHOLDS_S = ()

    def feed(self, line: bytes) -> list[Event]:
        return [Event(agent_id="aside-1", event_id=line.decode())]

    def feed_sidecar(self, name: str, data: bytes) -> list[Event]:
        return [Event(agent_id="aside-1", event_id=f"{name}:{data.decode()}")]

    def on_quiet(self, quiet_s: float) -> list[Event]:
        return []

    def finish(self) -> list[Event]:
        return []


def test_watcher_reads_sidecars_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the lines that were added; a missing, special or huge file is left out."""
    monkeypatch.setitem(AGENTS._loaded, "aside", _WithSidecar())
    scene = Scene(tmp_path, "aside")
    meta = scene.path.parent / "meta.json"
    scene.add(b"{}\n")
    assert ids(scene.poll()) == ["{}"]
    meta.write_text("one")
    assert ids(scene.poll()) == ["meta.json:one"]
    assert scene.poll() == []
    scene.add(b"[]\n")
    meta.write_text("three")
    assert ids(scene.poll()) == ["[]", "meta.json:three"]
    with meta.open("wb") as file:
        file.truncate(MAX_SIDECAR_BYTES + 1)
    assert scene.poll() == []
    meta.unlink()
    os.mkfifo(meta)
    assert scene.poll() == []
    meta.unlink()
    meta.write_text("four")
    assert ids(scene.poll()) == ["meta.json:four"]
