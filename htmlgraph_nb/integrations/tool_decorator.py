"""``tool``: a decorator that reports the calls of a Python function."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from ..sdk import SDK
from .default_sdk import default_sdk
from .guard import never_raises

P = ParamSpec("P")
R = TypeVar("R")


@overload
def tool(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def tool(
    *, name: str | None = None, agent: str | None = None, sdk: SDK | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    agent: str | None = None,
    sdk: SDK | None = None,
) -> Callable[..., Any]:
    """Report each call of a function as a tool: its start, duration and outcome.

    Functions, coroutine functions and both kinds of generators keep their signature and docstring.
    An exception is reported by its class and raised again. The call of a generator lasts from its
    first item to its end.

    Args:
        function: the decorated function, if the decorator is used without arguments.
        name: the name of the tool; None: the name of the function.
        agent: id of the agent that the tool belongs to; None: the agent of the handle.
        sdk: the handle through which to report; None: the one that is active at the call (``with
            SDK(…)``, ``with sdk.session()``, ``%%agent``), else one named after the program.

    Raises:
        TypeError: the decorated object is not callable.

    Example:
        >>> @tool(name="Search")
        ... def search(words: str) -> list[str]:
        ...     return words.split()
    """
    if function is None:
        return lambda decorated: _reporting(decorated, name, agent, sdk)
    return _reporting(function, name, agent, sdk)


def _reporting(
    function: Callable[..., Any], name: str | None, agent: str | None, sdk: SDK | None
) -> Callable[..., Any]:
    if not callable(function):
        raise TypeError(
            f"@tool: expected a function, got {type(function).__name__}; "
            "put @tool below @staticmethod, @classmethod or @property"
        )
    tool_name = name or getattr(function, "__name__", None) or type(function).__name__

    def call() -> _Call:
        return _Call(tool_name, agent, sdk)

    # The kind of a callable object is that of its __call__.
    body = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if inspect.iscoroutinefunction(body):
        return _coroutine(function, call)
    if inspect.isasyncgenfunction(body):
        return _async_generator(function, call)
    if inspect.isgeneratorfunction(body):
        return _generator(function, call)

    @wraps(function)
    def reported(*args: Any, **kwargs: Any) -> Any:
        with call():
            return function(*args, **kwargs)

    return reported


def _coroutine(function: Callable[..., Any], call: Callable[[], _Call]) -> Callable[..., Any]:
    @wraps(function)
    async def reported(*args: Any, **kwargs: Any) -> Any:
        with call():
            return await function(*args, **kwargs)

    return reported


def _generator(function: Callable[..., Any], call: Callable[[], _Call]) -> Callable[..., Any]:
    @wraps(function)
    def reported(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with call():
            return (yield from function(*args, **kwargs))

    return reported


def _async_generator(function: Callable[..., Any], call: Callable[[], _Call]) -> Callable[..., Any]:
    @wraps(function)
    async def reported(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with call():
            source = function(*args, **kwargs)
            step = source.__anext__()
            try:
                while True:
                    try:
                        item = await step
                    except StopAsyncIteration:
                        return
                    try:
                        sent = yield item
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # noqa: BLE001 - passed on to the generator
                        step = source.athrow(error)
                    else:
                        step = source.asend(sent)
            finally:
                await source.aclose()

    return reported


class _Call:
    """Reports one call; its own errors never reach the function."""

    def __init__(self, name: str, agent: str | None, sdk: SDK | None) -> None:
        self._fields = {"tool_name": name, "tool_use_id": os.urandom(16).hex(), "agent_id": agent}
        self._sdk = sdk
        self._started_at = 0.0

    @never_raises
    def __enter__(self) -> None:
        if self._sdk is None:
            self._sdk = default_sdk()
        self._sdk.report("tool_start", **self._fields)
        self._started_at = time.perf_counter()

    @never_raises
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration_ms = round((time.perf_counter() - self._started_at) * 1_000)
        # GeneratorExit is no failure: the consumer of a generator may stop early.
        failed = kind is not None and not issubclass(kind, GeneratorExit)
        if self._sdk is not None:
            self._sdk.report(
                "tool_error" if failed else "tool_execute",
                status="error" if failed else "ok",
                duration_ms=duration_ms,
                extra={"error": kind.__name__[:64]} if failed and kind is not None else None,
                **self._fields,
            )
