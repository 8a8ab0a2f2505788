"""Background threads of the server."""
