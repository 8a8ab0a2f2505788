"""Responses to history queries."""
