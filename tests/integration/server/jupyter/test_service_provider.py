"""The service provider of the Jupyter Server extension."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from htmlgraph_nb.errors import StoreClosed, StoreDamaged
from htmlgraph_server.config import Config
from htmlgraph_server.jupyter.service_provider import ServiceProvider


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a database in an empty data folder."""
    for name in ("HTMLGRAPH_HOME", "HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path / "h.db"


def test_service_provider_opens_the_database_once(db: Path) -> None:
    """Concurrent requests share one service; after closing there is none."""

    async def scenario() -> None:
        provider = ServiceProvider(lambda: Config(db=str(db), seal=False), "secret")
        with pytest.raises(RuntimeError, match="not open"):
            _ = provider.service
        assert not db.exists()
        services = await asyncio.gather(*(provider.open() for _ in range(5)))
        assert all(service is provider.service for service in services)
        assert db.exists()
        await provider.close()

    asyncio.run(scenario())


def test_service_provider_does_not_open_after_close(db: Path) -> None:
    """A late request during the shutdown is refused."""

    async def scenario() -> None:
        provider = ServiceProvider(lambda: Config(db=str(db)), "")
        await provider.close()
        with pytest.raises(StoreClosed):
            await provider.open()
        assert not db.exists()

    asyncio.run(scenario())


def test_service_provider_retries_after_an_error(db: Path) -> None:
    """A damaged file can be replaced while Jupyter Server runs."""
    db.write_text("not a database " * 100)

    async def scenario() -> None:
        provider = ServiceProvider(lambda: Config(db=str(db), seal=False), "")
        with pytest.raises(StoreDamaged):
            await provider.open()
        db.unlink()
        assert await provider.open() is provider.service
        await provider.close()

    asyncio.run(scenario())
