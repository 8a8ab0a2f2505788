"""The SQLite database, its columnar copies, and queries on both."""
