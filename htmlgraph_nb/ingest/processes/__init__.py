"""Processes of agents: their identity, and the events that follow from them."""
