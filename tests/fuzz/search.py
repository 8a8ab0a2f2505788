"""Searches inputs of one target with atheris; ``__main__`` runs it as a child process.

Exceptions do not end the search: the input is saved, and other inputs that raise at the same place
are ignored. A crash of the process, a time-out or a lack of memory does end it.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import atheris  # type: ignore[import-not-found]

from tests.fuzz.corpus import inputs_of
from tests.fuzz.mutations import JsonMutator
from tests.helpers.paths import ROOT

MAX_INPUT_BYTES = 24_576
TIMEOUT_S = 10
MAX_MEMORY_MB = 1_500


def place_of(error: BaseException) -> str:
    """Return type and place of an error, which are the same for inputs with the same cause."""
    frames = [
        f"{frame.filename.removeprefix(str(ROOT))}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(str(ROOT)) and "site-packages" not in frame.filename
    ]
    # The last frames of both: the cause, and the check that found it.
    return f"{type(error).__name__} {' '.join(frames[-2:])}"


class Search:
    """Runs inputs and saves those that raise at a new place.

    Args:
        run: the function of the target.
        findings: folder of the inputs that raise.
    """

    def __init__(self, run: Callable[[bytes], object], findings: Path) -> None:
        self._run = run
        self._findings = findings
        self._places = {path.read_text() for path in findings.glob("*.place")}

    def __call__(self, data: bytes) -> None:
        """Run one input."""
        try:
            self._run(data)
        except Exception as error:
            self._save(data, error)

    def _save(self, data: bytes, error: BaseException) -> None:
        place = place_of(error)
        if place in self._places:
            return
        self._places.add(place)
        name = hashlib.sha1(place.encode()).hexdigest()[:10]
        (self._findings / name).write_bytes(data)
        (self._findings / f"{name}.place").write_text(place)
        print(f"FINDING {name}: {place}", flush=True)
        trace: TracebackType | None = error.__traceback__
        traceback.print_exception(type(error), error, trace)


def main(target: str, findings: str, options: list[str]) -> None:
    """Search until libFuzzer's options end it; the first folder in ``options`` gets new inputs."""
    with atheris.instrument_imports(
        include=["htmlgraph_nb", "htmlgraph_server"], enable_loader_override=False
    ):
        from tests.fuzz.targets import load

        run = load(target)
    mutator = JsonMutator(path.read_bytes() for path in inputs_of(target))

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        changed = mutator.mutate(data, seed)
        if changed is None or len(changed) > max_size:
            return bytes(atheris.Mutate(data, len(data)) if data else b"\n")
        return changed

    limits = [
        f"-max_len={MAX_INPUT_BYTES}",
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MAX_MEMORY_MB}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
    ]
    # For these, libFuzzer's own changes of bytes are better.
    uses_json = target not in ("frames", "history_query")
    atheris.Setup(
        [sys.argv[0], *limits, *options],
        Search(run, Path(findings)),
        **({"custom_mutator": mutate} if uses_json else {}),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
