"""Coding agents' own session files on this machine, and their way into the database."""
