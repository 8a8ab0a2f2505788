"""Runs the real programs with a fake model: ``python -m tests.manual.agents``."""
