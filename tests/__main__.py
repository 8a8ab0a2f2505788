"""``python3 -m tests``: makes an environment, finds a browser, checks the code, runs the tests.

Arguments are pytest's, as in ``python3 -m tests tests/unit -k roster``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.environment import EnvironmentFailed, prepare, run, start
from tests.system import SystemIncomplete, complete

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
)
TYPES = ("mypy",)
"""Takes a minute of one core, in which the first tests run; it is heard when they are through."""
RUNS = (
    ("--ignore=tests/e2e", "--numprocesses=3", "--dist=worksteal"),
    ("tests/e2e", "--numprocesses=2", "--dist=loadfile"),
)
"""All tests: the browser's by themselves, as a person's browser is not fought over either."""


def main(arguments: Sequence[str]) -> int:
    """Run all of it and return pytest's exit status, or 1 where a check before it failed."""
    if sys.version_info < (3, 11):  # noqa: UP036  (whose Python is older is to read this)
        seen = ".".join(map(str, sys.version_info[:3]))
        print(f"expected Python 3.11 or later, this is {seen}; try python3.11", file=sys.stderr)
        return 1
    try:
        python = prepare()
        complete(python)
    except (EnvironmentFailed, SystemIncomplete) as error:
        print(f"tests: {error}", file=sys.stderr)
        return 1
    types = start([str(python), "-m", *TYPES])
    failed = [check for check in CHECKS if run([str(python), "-m", *check]) != 0]
    first, *rest = [tuple(arguments)] if arguments else RUNS
    statuses = [run([str(python), "-m", "pytest", *first])]
    if types() != 0:
        failed.append(TYPES)
    statuses += [run([str(python), "-m", "pytest", *one]) for one in rest]
    status = next(filter(None, statuses), 0)
    for check in failed:
        print(f"failed: {' '.join(check)}", file=sys.stderr)
    return status or int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
