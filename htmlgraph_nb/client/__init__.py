"""Client of a server: discovery, HTTP calls, and a live copy of its presence."""
