"""Simulated agents: ordinary events of agents that do not exist. Pure functions of a seed."""
