"""Building frozen records fast; an event is made and judged thousands of times a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, TypeVar

_Record = TypeVar("_Record")


def fast_constructor(record: type[_Record]) -> Callable[..., _Record]:
    """Return a function that builds ``record`` like the class itself, in a third of the time.

    It takes the fields by name or in order, also where the class wants names.

    Args:
        record: a frozen dataclass with slots and without ``__post_init__``.

    A frozen dataclass sets each of its fields through ``object.__setattr__``. Here an open twin
    with the same slots is filled, and made one of the frozen ones when it is whole.
    """
    twin = make_dataclass(
        f"_Open{record.__name__}",
        [(f.name, f.type, _alike(f)) for f in fields(record)],  # type: ignore[arg-type]
        slots=True,
    )

    def make(*args: Any, **kwargs: Any) -> _Record:
        made = twin(*args, **kwargs)
        made.__class__ = record
        return made  # type: ignore[no-any-return]

    return make


def _alike(of: Any) -> Any:
    if of.default_factory is not MISSING:
        return field(default_factory=of.default_factory)
    return field(default=of.default)
