"""The real programs, driven against a stand-in for their model: ``python -m tests.agents``."""
