"""The cores that benchmarks use."""

from __future__ import annotations

import subprocess
import sys

_TWICE = """

from tests.benchmarks.machine import pin, shared_out
first = shared_out()
pin(*first[1])
print(first == shared_out())
"""


def test_shared_out_is_the_same_after_pin() -> None:
    """A benchmark that pins itself keeps the server's core free for the next case."""
    command = [sys.executable, "-c", _TWICE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "True", done.stderr
