"""Parts of a commit that the stores of SQLite and PostgreSQL have in common."""
