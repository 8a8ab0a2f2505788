"""The inputs of the fuzzers, replayed without atheris; and the parts of the fuzzers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.corpus import CORPUS, all_inputs, inputs_of
from tests.fuzz.mutations import JsonMutator
from tests.fuzz.targets import TARGETS, load, split_variant

MAX_BYTES = 300_000


@pytest.mark.parametrize(
    ("target", "path"), all_inputs(), ids=[f"{target}-{path.name}" for target, path in all_inputs()]
)
def test_fuzz_inputs_pass(target: str, path: Path) -> None:
    """Seeds, and inputs that once failed, keep to what the target demands."""
    load(target)(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_fuzz_mutations_pass(target: str) -> None:
    """So do a hundred inputs that differ in a few values."""
    inputs = [path.read_bytes() for path in inputs_of(target)]
    mutator, run = JsonMutator(inputs), load(target)
    for seed in range(100):
        changed = mutator.mutate(inputs[seed % len(inputs)], seed)
        if changed is not None:
            run(changed)


def test_fuzz_inputs_are_small() -> None:
    """The inputs do not fill the repository, and each target has some."""
    assert sum(path.stat().st_size for _, path in all_inputs()) < MAX_BYTES
    assert {path.name for path in CORPUS.iterdir()} == {*TARGETS}


def test_split_variant_of_any_line_is_one() -> None:
    """A line that names no variant stands for one all the same."""
    assert split_variant(b"b\nx\ny", ("a", "b")) == ("b", b"x\ny")
    assert split_variant(b"\xff", ("a", "b")) == ("b", b"")


def test_json_mutator_changes_lines_and_documents() -> None:
    """Most changes keep JSON valid, and the same seed gives the same change."""
    document, lines = b'v\n{"a":[1,2],"b":{"c":"d"}}', b'v\n{"a":1}\n{"b":2}'
    mutator = JsonMutator([document, lines])
    for data in (document, lines):
        changed = [mutator.mutate(data, seed) for seed in range(100)]
        assert changed == [mutator.mutate(data, seed) for seed in range(100)]
        assert len({*changed}) > 50
