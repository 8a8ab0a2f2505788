"""A progress bar on stderr, where somebody looks."""

from __future__ import annotations

import sys
from typing import Any


def bar(total: int, unit: str) -> Any:
    """Return a context manager whose ``update(n)`` moves the bar.

    Args:
        total, unit: of what; "B" is shown in its multiples.
    """
    from tqdm import tqdm

    # Not where nobody looks: None asks whether it is a terminal.
    return tqdm(total=total, unit=unit, unit_scale=unit == "B", file=sys.stderr, disable=None)
