"""Figures are drawn without a window, and closed after each test."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import pytest

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Close all figures after each test."""
    from matplotlib import pyplot as plt

    yield
    plt.close("all")
