"""Runs agent frameworks with a fake model: ``python -m tests.manual.frameworks``."""
