"""What benchmarks ask of the machine."""

from __future__ import annotations

import subprocess
import sys

_TWICE = """

from tests.benchmarks.machine import pin, shared_out
first = shared_out()
pin(*first[1])
print(first == shared_out())
"""


def test_cores_are_shared_out_alike_for_each_case() -> None:
    """A benchmark that keeps itself to its cores does not take the server's for the next case."""
    command = [sys.executable, "-c", _TWICE]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.stdout.strip() == "True", told.stderr
