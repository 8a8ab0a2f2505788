"""``htmlgraph-hook``, which coding agents run at their hooks; standard library only."""

from .command import main as main
