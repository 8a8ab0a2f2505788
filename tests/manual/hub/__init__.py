"""Checks the extension in a real JupyterHub: ``python -m tests.manual.hub``."""
