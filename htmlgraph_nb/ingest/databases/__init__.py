"""Session databases of coding agents: found, opened for reading, and followed."""
