"""A process whose large blocks were freed returns their memory to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from htmlgraph_server.background.heap import trim_heap
from tests.helpers.paths import ROOT

PROGRAM = """
import sys
import psutil
from htmlgraph_server.background.heap import limit_heap, trim_heap

def memory_mb():
    return psutil.Process().memory_info().rss / 1e6

if "limit" in sys.argv:
    limit_heap()
# A freed block of 8 MB raises the threshold of glibc.
del [bytearray(8_000_000)][:]
before, small = memory_mb(), []
blocks = []
for n in range(400):
    blocks.append(bytearray(200_000 + n))
    small.append(bytes(700))
    small[-1][0]
blocks.clear()
if "trim" in sys.argv:
    trim_heap()
print(memory_mb() - before)
"""


def kept_mb(*arguments: str) -> float:
    """Return the MB that a process keeps of 80 MB that it freed."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is not glibc")
@pytest.mark.parametrize("measure", ["limit", "trim"])
def test_heap_returns_freed_memory(measure: str) -> None:
    """With a fixed threshold at once, else when it is trimmed; without both it is kept."""
    assert kept_mb() > 40
    assert kept_mb(measure) < 10


def test_trim_heap_works_everywhere() -> None:
    """Without glibc it does nothing."""
    trim_heap()
