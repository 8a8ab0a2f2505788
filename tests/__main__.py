"""``python3 -m tests``: prepares an environment, checks style and types, and runs the tests.

With arguments it runs only pytest with them, as in ``python3 -m tests tests/unit -k roster``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.environment import EnvironmentFailed, prepare, run, start
from tests.system import SystemIncomplete, install_missing

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
)
BESIDE = (("mypy",), ("tests.lowest",))
"""Checks that run in parallel with the first tests, and report after them."""
RUNS = (
    ("--ignore=tests/e2e", "--numprocesses=3", "--dist=worksteal"),
    ("tests/e2e", "--numprocesses=2", "--dist=loadfile"),
)
"""All tests; browser tests run separately, so that pages get enough CPU time."""


def main(arguments: Sequence[str]) -> int:
    """Run the checks and tests; return pytest's exit status, or 1 when a check failed."""
    if sys.version_info < (3, 11):  # noqa: UP036  (reached on an older Python)
        version = ".".join(map(str, sys.version_info[:3]))
        print(f"Python: expected 3.11 or later, got {version}; try python3.11", file=sys.stderr)
        return 1
    try:
        python = prepare()
        if arguments:
            return run([str(python), "-m", "pytest", *arguments])
        install_missing(python)
    except (EnvironmentFailed, SystemIncomplete) as error:
        print(f"tests: {error}", file=sys.stderr)
        return 1
    beside = [(check, start([str(python), "-m", *check])) for check in BESIDE]
    failed = [check for check in CHECKS if run([str(python), "-m", *check]) != 0]
    first, *rest = RUNS
    statuses = [run([str(python), "-m", "pytest", *first])]
    failed += [check for check, wait in beside if wait() != 0]
    statuses += [run([str(python), "-m", "pytest", *options]) for options in rest]
    status = next(filter(None, statuses), 0)
    for check in failed:
        print(f"failed: {' '.join(check)}", file=sys.stderr)
    return status or int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
