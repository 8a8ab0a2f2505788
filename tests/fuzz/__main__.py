"""``python -m tests.fuzz TARGET --minutes N``: search inputs that break what reads foreign input.

The search is guided by coverage (atheris, the dependency group ``fuzz``): inputs that reach new
code are kept and changed further, in a folder that the next run continues from. Each target
(``tests/fuzz/targets``) knows what must hold for any input: only documented errors, valid events
that round trip, bounded results and time. ``all`` runs the targets one after the other, for
``--minutes`` together.

What breaks is saved in ``FOLDER/findings/TARGET`` with the place of the error. Once it is fixed,
the input belongs into ``tests/payloads/fuzz/TARGET``, which the unit tests replay without atheris.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.corpus import CORPUS
from tests.fuzz.targets import TARGETS

_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)|^#(\d+)\s", re.MULTILINE)
_COVERED = re.compile(r"\bcov: (\d+)")


class Result(NamedTuple):
    """What one search did.

    Attributes:
        n_executions: inputs that were run.
        n_covered: places of the code that were reached, as libFuzzer counts them.
        n_kept: inputs that reached new code.
        findings: the files of inputs that fail, which were found in this search.
    """

    n_executions: int
    n_covered: int
    n_kept: int
    findings: list[Path]


def search(target: str, seconds: float, folder: Path) -> Result:
    """Search one target for a while; after a crash of the process, continue.

    Args:
        folder: where inputs, findings and the log are.
    """
    kept, findings = folder / "inputs" / target, folder / "findings" / target
    for path in (kept, findings):
        path.mkdir(parents=True, exist_ok=True)
    known = set(findings.iterdir())
    log = folder / f"{target}.log"
    end = time.monotonic() + seconds
    n_executions = n_covered = 0
    while (left := round(end - time.monotonic())) > 0:
        command = [sys.executable, "-m", "tests.fuzz.search", target, str(findings)]
        command += [f"-max_total_time={left}", str(kept), str(CORPUS / target)]
        ended = subprocess.run(command, capture_output=True, check=False)
        text = ended.stderr.decode("utf-8", "replace") + ended.stdout.decode("utf-8", "replace")
        log.write_text(text)
        counts = [int(a or b) for a, b in _EXECUTED.findall(text)]
        n_executions += max(counts, default=0)
        n_covered = max([n_covered, *map(int, _COVERED.findall(text))])
        if not counts:
            print(text[-3_000:], file=sys.stderr)
            raise SystemExit(f"{target}: the search did not start; see {log}")
    new = sorted(path for path in findings.iterdir() if path not in known and not path.suffix)
    return Result(n_executions, n_covered, len([*kept.iterdir()]), new)


def main(arguments: Sequence[str]) -> int:
    """Search the targets and print a line for each; return 1 if something was found, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=(*TARGETS, "all"))
    parser.add_argument("--minutes", type=float, default=10.0, help="in all; default: 10")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "htmlgraph-fuzz",
        help="inputs that were found, and findings; default: %(default)s",
    )
    options = parser.parse_args(arguments)
    targets = TARGETS if options.target == "all" else (options.target,)
    failed = False
    for target in targets:
        result = search(target, 60 * options.minutes / len(targets), options.folder)
        print(
            f"{target:14} {result.n_executions:>9,} executions, {result.n_covered:>6,} places, "
            f"{result.n_kept:>5,} inputs kept, {len(result.findings)} findings",
            flush=True,
        )
        for path in result.findings:
            failed = True
            place = path.with_suffix(".place")
            print(f"  {path}: {place.read_text() if place.exists() else 'see the log'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
