"""The store that several servers on several machines share: a PostgreSQL database."""
