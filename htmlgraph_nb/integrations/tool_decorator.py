"""``tool``, the decorator that reports the calls of a plain Python function."""

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
    """Report each call of a function as a tool: its start, its duration and whether it failed.

    Functions, coroutine functions and generators of both kinds keep their signature and docstring;
    what they raise is reported by its class and raised on. A generator's call lasts from its first
    item to its end.

    Args:
        function: what is decorated, where the decorator is used bare.
        name: of the tool; None: the function's.
        agent: id of the agent whose tool it is; None: that of the handle.
        sdk: the handle through which it reports; None: the one that is open around the call (``with
            SDK(…)``, ``with sdk.session()``, ``%%agent``), else one named as the program.

    Raises:
        TypeError: what is decorated cannot be called.

    Example:
        >>> @tool(name="Search")
        ... def search(words: str) -> list[str]:
        ...     return words.split()
    """
    if function is None:
        return lambda found: tool_of(found, name, agent, sdk)
    return tool_of(function, name, agent, sdk)


def tool_of(
    function: Callable[..., Any], name: str | None, agent: str | None, sdk: SDK | None
) -> Callable[..., Any]:
    """Return the function that reports its calls; arguments as ``tool``."""
    if not callable(function):
        raise TypeError(
            f"tool decorates a {type(function).__name__}, expected a function; "
            "put @tool below @staticmethod, @classmethod or @property"
        )
    known = name or getattr(function, "__name__", None) or type(function).__name__

    def call() -> _Call:
        return _Call(known, agent, sdk)

    # An object with __call__ is what its __call__ is.
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
                    except BaseException as error:  # noqa: BLE001 - it is handed on
                        step = source.athrow(error)
                    else:
                        step = source.asend(sent)
            finally:
                await source.aclose()

    return reported


class _Call:
    """One call; nothing that goes wrong here reaches the function."""

    def __init__(self, name: str, agent: str | None, sdk: SDK | None) -> None:
        self._fields = {"tool_name": name, "tool_use_id": os.urandom(16).hex(), "agent_id": agent}
        self._sdk = sdk
        self._began = 0.0

    @never_raises
    def __enter__(self) -> None:
        if self._sdk is None:
            self._sdk = default_sdk()
        self._sdk.report("tool_start", **self._fields)
        self._began = time.perf_counter()

    @never_raises
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        taken_ms = round((time.perf_counter() - self._began) * 1_000)
        # Who reads a generator may stop when it has enough.
        failed = kind is not None and not issubclass(kind, GeneratorExit)
        if self._sdk is not None:
            self._sdk.report(
                "tool_error" if failed else "tool_execute",
                status="error" if failed else "ok",
                duration_ms=taken_ms,
                extra={"error": kind.__name__[:64]} if failed and kind is not None else None,
                **self._fields,
            )
