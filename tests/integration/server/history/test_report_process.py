"""The process of the report worker: limits, timeout, end."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import CapacityError, StoreClosed, StoreUnavailable
from htmlgraph_server.history.report_process import (
    MAX_WAITING_REPORTS,
    ReportProcess,
    ReportRequest,
)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


@pytest.fixture
def db(tmp_path: Path) -> str:
    """Return a database with one event."""
    path = str(tmp_path / "test.db")
    with PresenceManager(path) as manager:
        manager.ingest([Event(agent_id="a", event_type="completion", input_tokens=7)])
    return path


def request(path: str, number: int = 1) -> ReportRequest:
    """Return a request for costs."""
    return ReportRequest("costs", path, f"e:{number}", None, None, "UTC", 10, "json", ["model"])


@in_loop
async def test_report_process_shares_equal_requests(db: str) -> None:
    """Equal requests at the same time are one; too many others are refused."""
    reports = ReportProcess()
    try:
        same = [asyncio.ensure_future(reports.answer(request(db))) for _ in range(50)]
        await asyncio.sleep(0)
        others = [
            asyncio.ensure_future(reports.answer(request(db, 2 + number)))
            for number in range(MAX_WAITING_REPORTS)
        ]
        bodies = await asyncio.gather(*same)
        assert len(set(bodies)) == 1
        assert b'"total":7' in bodies[0]
        results = await asyncio.gather(*others, return_exceptions=True)
        refused = [result for result in results if isinstance(result, CapacityError)]
        assert len(refused) == 1
    finally:
        reports.close()


@in_loop
async def test_report_process_gives_up(db: str) -> None:
    """A report that takes too long fails, and the next request gets a new worker."""
    reports = ReportProcess(timeout_s=0.01)
    try:
        with pytest.raises(StoreUnavailable, match="choose a shorter range"):
            await reports.answer(request(db))
        reports._timeout_s = 60.0
        assert b'"total":7' in await reports.answer(request(db))
    finally:
        reports.close()


@in_loop
async def test_report_process_reports_a_missing_file(tmp_path: Path) -> None:
    """The message is that of the error; the worker survives."""
    reports = ReportProcess()
    try:
        with pytest.raises(StoreUnavailable, match=r"no\.db"):
            await reports.answer(request(str(tmp_path / "no.db")))
        assert reports._process is not None
    finally:
        reports.close()


@in_loop
async def test_report_process_is_refused_after_close(db: str) -> None:
    """A running report and later ones fail as the server shuts down."""
    reports = ReportProcess()
    running = asyncio.ensure_future(reports.answer(request(db)))
    await asyncio.sleep(0.05)
    reports.close()
    with pytest.raises(StoreClosed):
        await running
    with pytest.raises(StoreClosed):
        await reports.answer(request(db, 2))


@in_loop
async def test_report_process_ends_when_idle(db: str) -> None:
    """An idle worker ends, and its memory is free."""
    reports = ReportProcess(idle_s=0.01)
    try:
        await reports.answer(request(db))
        worker = reports._process
        while worker is not None and reports._process is worker:
            await asyncio.sleep(0.01)
        assert worker is not None
        assert worker.poll() is not None
    finally:
        reports.close()
