"""Reporters for agent frameworks, plain Python tools and notebooks; each loads what it is for."""
