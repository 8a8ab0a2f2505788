"""The ``htmlgraph-nb`` command."""

from .parser import main as main
