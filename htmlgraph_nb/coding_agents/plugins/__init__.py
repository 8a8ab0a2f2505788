"""Coding agents that other packages add by the entry point ``htmlgraph_nb.agents``."""
