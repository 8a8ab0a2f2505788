"""A server as seen from Python: where it is, its HTTP calls, and a live copy of its presence."""
