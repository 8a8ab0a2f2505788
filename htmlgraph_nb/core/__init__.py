"""Data model, state and protocol: no I/O, no clock, no threads; standard library only."""
