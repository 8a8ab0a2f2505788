"""``python3 -m tests.explore``: runs the property tests with random seeds until a time is up.

The test command uses fixed examples (Hypothesis's ``derandomize``), so that a run that passed
passes again. This command looks for failures that the fixed examples miss. It prints the seed of
each round; ``--seed`` repeats one.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence

from tests.environment import EnvironmentFailed, prepare, run


def main(arguments: Sequence[str]) -> int:
    """Run rounds of property tests; return 1 when a round failed, else 0."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.explore", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="default: 60")
    parser.add_argument("--seed", type=int, help="run one round with this seed")
    parser.add_argument("paths", nargs="*", default=["tests/unit", "tests/integration"])
    options = parser.parse_args(arguments)
    try:
        python = prepare()
    except EnvironmentFailed as error:
        print(f"tests: {error}", file=sys.stderr)
        return 1
    end = time.monotonic() + 60 * options.minutes
    failed = []
    n_rounds = 0
    while not n_rounds or (options.seed is None and time.monotonic() < end):
        seed = random.randrange(2**32) if options.seed is None else options.seed
        n_rounds += 1
        print(f"round {n_rounds}: seed {seed}", flush=True)
        command = ["-m", "pytest", "-q", "-m", "hypothesis or state_machine", *options.paths]
        profile = ["--hypothesis-profile=explore", f"--hypothesis-seed={seed}"]
        if run([str(python), *command, *profile, "-p", "no:cacheprovider"]) != 0:
            failed.append(seed)
    print(f"{n_rounds} rounds, failed seeds: {failed or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
