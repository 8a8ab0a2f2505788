"""Backups of a database, and their restoration."""
