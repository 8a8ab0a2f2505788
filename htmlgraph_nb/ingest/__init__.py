"""Reads session files, spools and processes of agents into the database."""
