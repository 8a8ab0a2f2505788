"""Delete all that is stored of agents, sessions and projects."""
