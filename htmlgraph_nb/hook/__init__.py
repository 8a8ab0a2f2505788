"""``htmlgraph-hook`` and ``htmlgraph-statusline``, which coding agents run; standard library only.

Nothing is imported before it is used: these processes start often.
"""

from __future__ import annotations


def main() -> int:
    """Run ``htmlgraph-hook``; see ``command``."""
    from .command import main as run

    return run()
