"""The inputs of the fuzzers that belong to the repository: seeds, and what once failed."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.helpers.paths import ROOT

CORPUS = ROOT / "tests/payloads/fuzz"
"""A folder for each target, with a file for each input."""


def inputs_of(target: str) -> list[Path]:
    """Return the files of a target, sorted."""
    return sorted(path for path in (CORPUS / target).iterdir() if path.is_file())


def all_inputs() -> list[tuple[str, Path]]:
    """Return target and path of each input."""
    return [(target, path) for target in TARGETS for path in inputs_of(target)]
