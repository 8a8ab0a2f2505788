"""The file with the key of the hashes of tool inputs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents import input_key
from htmlgraph_nb.coding_agents.input_hash import KEY_BYTES, input_hash
from htmlgraph_nb.coding_agents.input_key import hash_input, load_key


@pytest.fixture(autouse=True)
def _no_cached_key() -> Iterator[None]:
    input_key._key.cache_clear()
    yield
    input_key._key.cache_clear()


def test_load_key_creates_a_private_file_once(tmp_path: Path) -> None:
    """The key stays the same, and only its owner can read it."""
    path = tmp_path / "new" / "input-key"
    key = load_key(str(path))
    assert len(key) == KEY_BYTES
    assert (load_key(str(path)), path.read_bytes()) == (key, key)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["input-key"]


@pytest.mark.parametrize("links", [True, False])
def test_load_key_returns_one_key_to_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Programs that start at the same time agree, also without hard links."""
    path = str(tmp_path / "input-key")

    def refuse(_: str, __: str) -> None:
        raise OSError("no hard links")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
        assert load_key(path) == load_key(path)
        return
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(load_key, [path] * 32))) == 1
    assert os.listdir(tmp_path) == ["input-key"]


def test_load_key_keeps_a_damaged_file(tmp_path: Path) -> None:
    """The error says what to do."""
    path = tmp_path / "input-key"
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match=r"expected 32 bytes, got another size; delete this file"):
        load_key(str(path))
    assert path.read_bytes() == b"short"


def test_hash_input_uses_the_key_of_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All programs of the user compute the same hash."""
    monkeypatch.setenv("HTMLGRAPH_HOME", str(tmp_path))
    hashed = hash_input({"command": "ls"})
    assert hashed == input_hash({"command": "ls"}, (tmp_path / "input-key").read_bytes())
    assert hash_input(None) is None


def test_hash_input_without_a_key_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning, not one for each call; the input is not in it."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("HTMLGRAPH_HOME", str(blocked / "home"))
    assert [hash_input({"command": "never-keep-this"}) for _ in range(3)] == [None] * 3
    assert caplog.text.count("tool calls get no input_hash") == 1
    assert "never-keep-this" not in caplog.text
