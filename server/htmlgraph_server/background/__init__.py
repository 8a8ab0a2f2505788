"""Threads beside the event loop."""
