"""Reporters for agent frameworks, Python functions and notebooks; none loads another framework."""
