"""``tool``: a decorator that reports the calls of a Python function."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from ..coding_agents.input_key import hash_input
from ..sdk import SDK
from .default_sdk import default_sdk
from .guard import never_raises

P = ParamSpec("P")
R = TypeVar("R")

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments of a call."""
_NewCall = Callable[[_Arguments], "_Call"]


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
    first item to its end. Arguments are not reported, only ``input_hash``, a keyed hash of them if
    they are JSON values, which shows repeated calls.

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

    parameters = _parameters(function)

    def call(arguments: _Arguments) -> _Call:
        return _Call(tool_name, agent, sdk, parameters, arguments)

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
        with call((args, kwargs)):
            return function(*args, **kwargs)

    return reported


def _coroutine(function: Callable[..., Any], call: _NewCall) -> Callable[..., Any]:
    @wraps(function)
    async def reported(*args: Any, **kwargs: Any) -> Any:
        with call((args, kwargs)):
            return await function(*args, **kwargs)

    return reported


def _generator(function: Callable[..., Any], call: _NewCall) -> Callable[..., Any]:
    @wraps(function)
    def reported(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with call((args, kwargs)):
            return (yield from function(*args, **kwargs))

    return reported


def _async_generator(function: Callable[..., Any], call: _NewCall) -> Callable[..., Any]:
    @wraps(function)
    async def reported(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with call((args, kwargs)):
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


def _parameters(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a function; None if it is unknown, as of some built-in functions."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


class _Call:
    """Reports one call; its own errors never reach the function."""

    def __init__(
        self,
        name: str,
        agent: str | None,
        sdk: SDK | None,
        parameters: inspect.Signature | None,
        arguments: _Arguments,
    ) -> None:
        self._fields: dict[str, Any] = {
            "tool_name": name,
            "tool_use_id": os.urandom(16).hex(),
            "agent_id": agent,
        }
        self._sdk = sdk
        self._parameters = parameters
        self._arguments = arguments
        self._started_at = 0.0

    @never_raises
    def __enter__(self) -> None:
        if self._sdk is None:
            self._sdk = default_sdk()
        self._fields["input_hash"] = hash_input(self._named_arguments())
        self._sdk.report("tool_start", **self._fields)
        self._started_at = time.perf_counter()

    def _named_arguments(self) -> dict[str, Any] | None:
        """Return the arguments by parameter; None if the function does not accept them."""
        args, kwargs = self._arguments
        if self._parameters is None:
            return {"args": args, "kwargs": kwargs}
        try:
            bound = self._parameters.bind(*args, **kwargs)
        except TypeError:
            # The function raises it as well.
            return None
        bound.apply_defaults()
        named = dict(bound.arguments)
        for own in ("self", "cls"):
            # The object of a method is no input.
            if next(iter(named), None) == own:
                del named[own]
        return named

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
