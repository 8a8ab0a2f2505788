"""PostgreSQL: addresses, and connections with the few methods of sqlite3 that are used here."""
