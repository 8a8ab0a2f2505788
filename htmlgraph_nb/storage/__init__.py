"""The SQLite file, its columnar copies, and questions to both."""
