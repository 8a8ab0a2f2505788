"""Commands about the agents of a running server."""
