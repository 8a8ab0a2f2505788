"""``tool`` decorates functions of every kind and reports through the right handle."""

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
    """Yield a handle that is active during the test."""
    with RecordingSDK() as handle:
        yield handle


def single_call(sdk: RecordingSDK) -> tuple[Event, Event]:
    """Return the start and the end of the only call."""
    start, end = sdk.events
    assert start.event_type == "tool_start"
    assert start.tool_use_id == end.tool_use_id
    return start, end


def test_tool_without_arguments_uses_function_name(sdk: RecordingSDK) -> None:
    """A call is timed and reported for the handle's agent; the function keeps its signature."""

    @tool
    def add(a: int, b: int = 2) -> int:
        """Add two numbers."""
        return a + b

    assert add(1) == 3
    _, end = single_call(sdk)
    assert (end.event_type, end.tool_name, end.status) == ("tool_execute", "add", "ok")
    assert end.agent_id == "own"
    assert end.duration_ms is not None
    assert add.__doc__ == "Add two numbers."
    assert str(inspect.signature(add)) == "(a: 'int', b: 'int' = 2) -> 'int'"


def test_tool_reports_the_hash_of_its_arguments(sdk: RecordingSDK) -> None:
    """Start and end have it; the way in which arguments are passed makes no difference."""

    class Shelf:
        @tool
        def find(self, words: str, limit: float = 10, *tags: str, **rest: Any) -> None: ...

    shelf = Shelf()
    shelf.find("never-keep-this")
    shelf.find(limit=10.0, words="never-keep-this")
    Shelf().find("never-keep-this", 10)
    shelf.find("other")
    shelf.find("never-keep-this", 10, "x")
    shelf.find("never-keep-this", more=1)
    shelf.find("never-keep-this", more=object())
    starts = [event.input_hash for event in sdk.of("tool_start")]
    assert starts[0] is not None
    assert starts[0] == starts[1] == starts[2]
    assert len({*starts}) == 5
    assert starts[-1] is None
    assert [event.input_hash for event in sdk.of("tool_execute")] == starts
    assert "never-keep-this" not in str([event.to_dict() for event in sdk.events])


def test_tool_with_wrong_arguments_raises_what_the_function_raises(sdk: RecordingSDK) -> None:
    """The call is reported without a hash."""

    @tool
    def find(words: str) -> None: ...

    with pytest.raises(TypeError, match="unexpected keyword argument 'nope'"):
        find(nope=1)  # type: ignore[call-arg]
    _, end = single_call(sdk)
    assert (end.event_type, end.input_hash) == ("tool_error", None)


def test_tool_with_name_and_agent(sdk: RecordingSDK) -> None:
    """The arguments replace the names of the function and the agent."""

    @tool(name="Search", agent="librarian")
    def find(words: str) -> str:
        return words

    assert find("x") == "x"
    assert {(event.agent_id, event.tool_name) for event in sdk.events} == {("librarian", "Search")}


def test_tool_reports_exception_class_and_reraises(sdk: RecordingSDK) -> None:
    """The event contains the class of the exception, not its text."""

    @tool
    def fail() -> None:
        raise KeyError("secret")

    with pytest.raises(KeyError, match="secret"):
        fail()
    _, end = single_call(sdk)
    assert (end.event_type, end.status, end.extra) == (
        "tool_error",
        "error",
        {"error": "KeyError"},
    )


def test_tool_on_coroutine_function(sdk: RecordingSDK) -> None:
    """The call lasts until the coroutine returns; a cancelled one is an error."""

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


def test_tool_on_generator_passes_values_through(sdk: RecordingSDK) -> None:
    """Sent values, thrown exceptions and the return value pass through until the end."""

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


def test_tool_on_unread_generator_reports_nothing(sdk: RecordingSDK) -> None:
    """The call starts with the first item."""

    @tool
    def items() -> Iterator[int]:
        yield 1

    items()
    assert sdk.events == []


def test_tool_on_async_generator_passes_values_through(sdk: RecordingSDK) -> None:
    """Reading to the end, closing early and an exception are all reported."""

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


def test_tool_on_methods_and_callable_objects(sdk: RecordingSDK) -> None:
    """Methods, class methods, static methods and callable objects can be decorated."""

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
        def static() -> str:
            return "-"

    class Caller:
        async def __call__(self) -> int:
            return 1

    assert (Box().method(), Box.of_class(), Box.static()) == ("Box", "Box", "-")
    assert asyncio.run(tool(Caller())()) == 1
    names = [event.tool_name for event in sdk.of("tool_execute")]
    assert names == ["method", "of_class", "static", "Caller"]


def test_tool_on_classmethod_raises_type_error() -> None:
    """The error names the type and says what to do."""
    with pytest.raises(TypeError, match="expected a function, got classmethod; put @tool"):
        tool(classmethod(lambda cls: None))  # type: ignore[arg-type]


def test_tool_reporting_errors_do_not_propagate(
    sdk: RecordingSDK, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handle that raises changes neither results nor exceptions."""

    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(sdk, "report", broken)

    @tool
    def divide(a: int, b: int) -> float:
        return a / b

    assert divide(1, 2) == 0.5
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


def test_tool_uses_innermost_active_handle() -> None:
    """Handles and sessions nest, an explicit handle wins, and afterwards none is active."""

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
    assert [event.session_id for event in inner.of("tool_execute")] == ["s-1"]
    assert len(outer.of("tool_execute")) == len(given.of("tool_execute")) == 1
    assert default_sdk.active_sdk() is None


def test_tool_in_thread_uses_only_active_handle(sdk: RecordingSDK) -> None:
    """A thread has no context of its own; with two active handles there is no default."""

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
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(default_sdk.active_sdk()))
        thread.start()
        thread.join()
    assert results == [None]


def test_default_sdk_is_named_after_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handle is cached, so that all functions share it."""
    monkeypatch.setattr("sys.argv", ["/somewhere/nightly_job.py"])
    handle = default_sdk.default_sdk()
    assert handle.agent_id == "nightly_job"
    assert default_sdk.default_sdk() is handle
