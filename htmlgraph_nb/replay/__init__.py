"""The state of every agent at any time of a stored history."""
