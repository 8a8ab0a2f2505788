"""Imports the database of the HtmlGraph project."""
