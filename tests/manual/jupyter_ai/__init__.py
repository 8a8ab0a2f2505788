"""Checks Jupyter AI in a real JupyterLab: ``python -m tests.manual.jupyter_ai``."""
