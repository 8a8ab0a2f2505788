"""Decoding of large bodies in steps, between which the event loop serves other connections."""
