"""Sends alerts on their channels, beside the event loop of the server."""
