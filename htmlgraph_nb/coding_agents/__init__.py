"""One folder per coding agent, and their shared modules."""
