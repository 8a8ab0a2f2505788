"""Read session files, spool files and agent processes into the database."""
