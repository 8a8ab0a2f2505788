"""Session databases: what the agents that keep all sessions in one SQLite file share."""
