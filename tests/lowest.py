"""``python3 -m tests.lowest``: runs the tests of analysis on the lowest declared versions.

With arguments it runs pytest with them, in the same environment ``.venv-lowest``. The newest
versions are those of ``.venv-tests``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from typing import Any

from tests.environment import ROOT, EnvironmentFailed, create, run

FOLDER = ROOT / ".venv-lowest"
LIBRARIES = (
    *("pandas", "numpy", "pyarrow", "adbc-driver-sqlite", "adbc-driver-manager"),
    *("genai-prices", "matplotlib", "tqdm"),
)
"""Dependencies of which the lowest version is installed: what load, analyse and plot a history."""
EXTRAS = ("plotly", "alerts")
"""Extras of which the lowest version is installed as well."""
OTHERS = ("jupyter-core", "pytest", "pytest-timeout", "hypothesis")
"""Of these the newest version is installed."""
OF_THEIR_TIME = ("pyparsing<3.3",)
"""Versions of others' dependencies: matplotlib 3.9 uses names that pyparsing 3.3 deprecates."""
PATHS = (
    *("tests/unit/analysis", "tests/unit/pricing", "tests/unit/replay", "tests/unit/reports"),
    *(f"tests/integration/history/test_{name}.py" for name in ("load", "load_zones", "sample")),
    "tests/integration/history/test_transcripts.py",
)
"""Tests without a server; those of these files that need one are skipped."""
SELECTED = ("-m", "not hypothesis")
"""Property tests take minutes, and what they test does not depend on versions."""


def requirements(project: dict[str, Any]) -> list[str]:
    """Return what pip installs, from the contents of pyproject.toml.

    Raises:
        EnvironmentFailed: a library has no lowest version there.
    """
    optional = project["project"].get("optional-dependencies", {})
    extras = [one for name in EXTRAS for one in optional.get(name, ())]
    declared = "\n".join([*project["project"]["dependencies"], *extras])
    lowest = dict(re.findall(r"(?m)^([\w-]+)>=([\w.]+)$", declared))
    names = [*LIBRARIES, *(re.split(r"[^\w-]", extra)[0] for extra in extras)]
    missing = [name for name in names if name not in lowest]
    if missing:
        raise EnvironmentFailed(
            f"pyproject.toml: expected a lowest version as >=1.2 of {', '.join(missing)}"
        )
    newest = [*project["project"]["dependencies"], *project["dependency-groups"]["test"]]
    others = [one for one in newest if one.partition(">=")[0] in OTHERS]
    return [*(f"{name}=={lowest[name]}" for name in names), *others, *OF_THEIR_TIME]


def main(arguments: Sequence[str]) -> int:
    """Run the tests; return pytest's exit status, or 1 if there is no environment."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = project["project"]["requires-python"].removeprefix(">=")
    current = f"{sys.version_info.major}.{sys.version_info.minor}"
    if current != oldest:
        # Newer ones need later versions of these libraries.
        print(f"lowest versions: not tested on Python {current}; they are those of {oldest}")
        return 0
    try:
        needed = requirements(project)
        python = create(FOLDER, "\n".join(needed), needed)
    except EnvironmentFailed as error:
        print(f"tests: {error}", file=sys.stderr)
        return 1
    command = [
        str(python),
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        *(arguments or (*SELECTED, *PATHS)),
    ]
    return run(command, PYTHONPATH=str(ROOT))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
