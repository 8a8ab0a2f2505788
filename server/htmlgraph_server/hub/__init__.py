"""Fan-out of changes to the connected clients."""
