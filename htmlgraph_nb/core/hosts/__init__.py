"""Agents of other hosts, whose servers forward their events."""
