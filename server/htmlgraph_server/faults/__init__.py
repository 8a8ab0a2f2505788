"""How the server logs its faults."""
