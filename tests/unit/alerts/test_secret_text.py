"""Secrets and the places where they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from htmlgraph_nb.alerts.secret_text import SecretText
from htmlgraph_nb.errors import ConfigError


def test_secret_text_is_never_shown() -> None:
    """Neither as text nor in a container."""
    secret = SecretText("tk-4711")
    assert secret.reveal() == "tk-4711"
    assert "4711" not in f"{secret} {secret!r} {[secret]}"
    assert secret == SecretText("tk-4711")
    assert secret != SecretText("other")


def test_secret_text_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read at each use; an error names the variable."""
    secret = SecretText("env:ALERT_KEY", field="channels.x.secret")
    monkeypatch.delenv("ALERT_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"channels.x.secret: .* ALERT_KEY is not set"):
        secret.reveal()
    monkeypatch.setenv("ALERT_KEY", "one")
    assert secret.reveal() == "one"
    monkeypatch.setenv("ALERT_KEY", "two")
    assert secret.reveal() == "two"


def test_secret_text_from_a_file(tmp_path: Path) -> None:
    """Relative paths begin at the folder; the newline at the end is not part of the secret."""
    secret = SecretText("file:key", str(tmp_path))
    with pytest.raises(ConfigError, match=r"cannot read .*key: No such file"):
        secret.reveal()
    (tmp_path / "key").write_text("one\n")
    assert secret.reveal() == "one"
    (tmp_path / "key").write_text("\n")
    with pytest.raises(ConfigError, match="expected 1 to 65536 bytes"):
        secret.reveal()
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        secret.reveal()
    assert SecretText(f"file:{tmp_path}/none").is_literal is False
