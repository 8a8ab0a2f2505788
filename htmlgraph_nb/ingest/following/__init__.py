"""Follow the session databases of coding agents."""
