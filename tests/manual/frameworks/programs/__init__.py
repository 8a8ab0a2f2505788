"""Programs with agents, one for each framework; each runs in an environment of its own."""
