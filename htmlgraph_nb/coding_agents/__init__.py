"""One folder per coding agent, and what they share."""
