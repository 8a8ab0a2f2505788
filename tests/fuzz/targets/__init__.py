"""The targets: each module has ``run(data)``, which raises if its code is wrong about ``data``.

``data`` is a line that names a variant of the target, and the input. A target calls functions only:
it opens no socket, and files only in a temporary folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

TARGETS = (
    *("wire", "hooks", "otlp", "session_files", "session_rows", "segments"),
    *("spool", "alert_rules", "frames", "history_query", "legacy_rows"),
)
"""Names of the targets, which are those of their modules and of the folders of their inputs."""


def load(name: str) -> Callable[[bytes], object]:
    """Return the function of a target."""
    run: Callable[[bytes], object] = import_module(f"{__name__}.{name}").run
    return run


def split_variant(data: bytes, variants: Sequence[str]) -> tuple[str, bytes]:
    """Return the variant that the first line names, and the rest; any line names one."""
    line, _, rest = data.partition(b"\n")
    name = line.decode("ascii", "replace")
    return (name if name in variants else variants[sum(line) % len(variants)]), rest
