"""Event history as Arrow tables: scans of SQLite and sealed segments."""
