"""Runs the real programs against a stand-in model: ``python -m tests.manual.agents``."""
