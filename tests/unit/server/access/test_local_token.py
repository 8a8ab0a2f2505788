"""When a server on loopback needs a token by itself, and files with tokens."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from htmlgraph_nb.errors import ConfigError
from htmlgraph_server.access.local_token import (
    Account,
    any_other_person,
    has_other_people,
    is_local_token,
    load_local_token,
    local_token_file,
    read_token,
    with_local_token,
)
from htmlgraph_server.config import Config


@pytest.mark.parametrize(
    ("account", "is_other"),
    [
        (Account(1001, "/bin/bash", True), True),
        (Account(1000, "/bin/bash", True), False),
        (Account(0, "/bin/bash", True), False),
        (Account(65534, "/bin/sh", True), False),
        (Account(1001, "/usr/sbin/nologin", True), False),
        (Account(1001, "/bin/false", True), False),
        (Account(1001, "/bin/bash", False), False),
    ],
)
def test_local_token_knows_other_people(account: Account, is_other: bool) -> None:
    """System accounts, those without login or home, and one's own are no other people."""
    assert any_other_person([account], 1000, 1000) is is_other


def test_has_other_people_is_false_in_a_container() -> None:
    """There the accounts of the image are those of nobody."""
    assert not has_other_people({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert not has_other_people({"container": "podman"})


@pytest.mark.skipif(sys.platform == "win32", reason="files have no modes")
def test_load_local_token_keeps_its_token(tmp_path: Path) -> None:
    """Only its user can read it; one that others could read is replaced."""
    path = str(tmp_path / "new" / "local-token")
    token = load_local_token(path)
    assert len(token) >= 40
    assert load_local_token(path) == token
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    os.chmod(path, 0o644)
    other = load_local_token(path)
    assert other != token
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_local_token_is_added_on_loopback() -> None:
    """Not if there is a token already, nor if it is off."""
    config = with_local_token(Config(local_token=True), {})
    assert config.token
    assert config.local_token
    assert is_local_token(config.token)
    assert not is_local_token("another-token")
    assert with_local_token(Config(local_token=False), {}).token == ""
    own = with_local_token(Config(local_token=True, token="own-token-1"), {})
    assert (own.token, own.local_token) == ("own-token-1", False)
    remote = with_local_token(Config(local_token=True, host="0.0.0.0", token="own-token-1"), {})
    assert (remote.token, remote.local_token) == ("own-token-1", False)
    assert with_local_token(Config(local_token=None), {"container": "oci"}).token == ""
    assert Path(local_token_file()).is_file()


def test_read_token_reads_the_first_line(tmp_path: Path) -> None:
    """Errors name the file, and never what is in it."""
    path = tmp_path / "token"
    path.write_text("a-token-for-tests\nnot this\n")
    assert read_token(str(path)) == "a-token-for-tests"
    for content in ("", "short", "spaces in it are wrong"):
        path.write_text(content)
        with pytest.raises(ConfigError) as caught:
            read_token(str(path))
        assert str(path) in str(caught.value)
        assert not content or content not in str(caught.value)
    with pytest.raises(ConfigError, match="no such file"):
        read_token(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="not a regular file"):
        read_token(str(tmp_path))
