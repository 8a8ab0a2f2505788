"""Alerts of the server: evaluation, storage and delivery."""
