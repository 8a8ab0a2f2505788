"""Alerts: rules, what fired, and the channels on which a person is notified."""
