"""``tool`` on functions of every kind, and which handle speaks for them."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from htmlgraph_nb import tool
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.integrations import default_sdk
from tests.helpers.recording_sdk import RecordingSDK


@pytest.fixture
def sdk() -> Iterator[RecordingSDK]:
    """The handle that is open around the test."""
    with RecordingSDK() as found:
        yield found


def once(sdk: RecordingSDK) -> tuple[Event, Event]:
    """Return the start and the end of the only call."""
    start, end = sdk.events
    assert start.event_type == "tool_start"
    assert start.tool_use_id == end.tool_use_id
    return start, end


def test_bare_it_takes_the_functions_name(sdk: RecordingSDK) -> None:
    """A call is timed and told as a tool of the handle's agent; the function is as it was."""

    @tool
    def add(a: int, b: int = 2) -> int:
        """Add two numbers."""
        return a + b

    assert add(1) == 3
    _, end = once(sdk)
    assert (end.event_type, end.tool_name, end.status) == ("tool_execute", "add", "ok")
    assert end.agent_id == "own"
    assert end.duration_ms is not None
    assert add.__doc__ == "Add two numbers."
    assert str(inspect.signature(add)) == "(a: 'int', b: 'int' = 2) -> 'int'"


def test_with_arguments(sdk: RecordingSDK) -> None:
    """The name and the agent can be given."""

    @tool(name="Search", agent="librarian")
    def find(words: str) -> str:
        return words

    assert find("x") == "x"
    assert {(one.agent_id, one.tool_name) for one in sdk.events} == {("librarian", "Search")}


def test_an_error_is_told_and_raised(sdk: RecordingSDK) -> None:
    """By its class, not by its text."""

    @tool
    def fail() -> None:
        raise KeyError("secret")

    with pytest.raises(KeyError, match="secret"):
        fail()
    _, end = once(sdk)
    assert (end.event_type, end.status, end.extra) == (
        "tool_error",
        "error",
        {"error": "KeyError"},
    )


def test_a_coroutine_function_stays_one(sdk: RecordingSDK) -> None:
    """It is timed until it returns, and a cancelled one failed."""

    @tool
    async def wait() -> int:
        await asyncio.sleep(0)
        return 1

    @tool
    async def hang() -> None:
        await asyncio.Event().wait()

    async def cancelled() -> None:
        task = asyncio.create_task(hang())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert inspect.iscoroutinefunction(wait)
    assert asyncio.run(wait()) == 1
    asyncio.run(cancelled())
    assert sdk.kinds() == ["tool_start", "tool_execute", "tool_start", "tool_error"]


def test_a_generator_lasts_until_its_end(sdk: RecordingSDK) -> None:
    """What is sent in, thrown in and returned passes through."""

    @tool
    def echo() -> Iterator[Any]:
        try:
            got = yield "first"
        except ValueError:
            got = "caught"
        yield got
        return "over"

    def whole() -> Iterator[Any]:
        result = yield from echo()
        yield result

    assert inspect.isgeneratorfunction(echo)
    assert list(whole()) == ["first", None, "over"]
    sent: Any = echo()
    next(sent)
    assert sent.send("hi") == "hi"
    thrown: Any = echo()
    next(thrown)
    assert thrown.throw(ValueError()) == "caught"
    sent.close()
    thrown.close()
    assert sdk.kinds().count("tool_execute") == 3
    assert not sdk.of("tool_error")


def test_a_generator_that_nobody_reads_has_not_run(sdk: RecordingSDK) -> None:
    """It begins with its first item."""

    @tool
    def items() -> Iterator[int]:
        yield 1

    items()
    assert sdk.events == []


def test_an_async_generator(sdk: RecordingSDK) -> None:
    """It is passed through like the others, whether read to its end, left early or failing."""

    @tool
    async def echo(fails: bool = False) -> AsyncIterator[Any]:
        try:
            got = yield "first"
        except ValueError:
            got = "caught"
        yield got
        if fails:
            raise OSError

    async def read() -> None:
        assert [item async for item in echo()] == ["first", None]
        sent: Any = echo()
        await anext(sent)
        assert await sent.asend("hi") == "hi"
        await sent.aclose()
        thrown: Any = echo()
        await anext(thrown)
        assert await thrown.athrow(ValueError()) == "caught"
        await thrown.aclose()
        with pytest.raises(OSError):
            [item async for item in echo(fails=True)]

    assert inspect.isasyncgenfunction(echo)
    asyncio.run(read())
    assert sdk.kinds() == ["tool_start", "tool_execute"] * 3 + ["tool_start", "tool_error"]


def test_methods_and_callable_objects(sdk: RecordingSDK) -> None:
    """Methods of all kinds are tools, and so are objects that can be called."""

    class Box:
        @tool
        def method(self) -> str:
            return type(self).__name__

        @classmethod
        @tool
        def of_class(cls) -> str:
            return cls.__name__

        @staticmethod
        @tool
        def of_nobody() -> str:
            return "-"

    class Caller:
        async def __call__(self) -> int:
            return 1

    assert (Box().method(), Box.of_class(), Box.of_nobody()) == ("Box", "Box", "-")
    assert asyncio.run(tool(Caller())()) == 1
    names = [one.tool_name for one in sdk.of("tool_execute")]
    assert names == ["method", "of_class", "of_nobody", "Caller"]


def test_what_cannot_be_called_is_named() -> None:
    """The error says what it is and what to do."""
    with pytest.raises(TypeError, match="expected a function, got classmethod; put @tool"):
        tool(classmethod(lambda cls: None))  # type: ignore[arg-type]


def test_the_monitors_faults_are_not_the_functions(
    sdk: RecordingSDK, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handle that breaks leaves results and exceptions as they are."""

    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(sdk, "report", broken)

    @tool
    def divide(a: int, b: int) -> float:
        return a / b

    assert divide(1, 2) == 0.5
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


def test_the_innermost_handle_speaks() -> None:
    """Blocks nest, a session's block counts as its handle's, and afterwards nobody is left."""

    @tool
    def work() -> None:
        return None

    with RecordingSDK() as outer:
        inner = RecordingSDK()
        with inner.session("s-1"):
            work()
        work()
    given = RecordingSDK()
    tool(sdk=given)(work.__wrapped__)()  # type: ignore[attr-defined]
    assert [one.session_id for one in inner.of("tool_execute")] == ["s-1"]
    assert len(outer.of("tool_execute")) == len(given.of("tool_execute")) == 1
    assert default_sdk.active_sdk() is None


def test_a_thread_reports_to_the_only_open_handle(sdk: RecordingSDK) -> None:
    """A thread has no context of its own; with two open handles nobody is guessed."""

    @tool
    def work() -> None:
        return None

    def in_thread() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    in_thread()
    assert len(sdk.of("tool_execute")) == 1
    with RecordingSDK() as other:
        assert other is not sdk
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(default_sdk.active_sdk()))
        thread.start()
        thread.join()
    assert found == [None]


def test_without_a_handle_the_program_is_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a handle is kept, so that all functions share one."""
    monkeypatch.setattr("sys.argv", ["/somewhere/nightly_job.py"])
    found = default_sdk.default_sdk()
    assert found.agent_id == "nightly_job"
    assert default_sdk.default_sdk() is found
