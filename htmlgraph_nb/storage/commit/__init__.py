"""The write queue that the stores of SQLite and PostgreSQL have in common."""
