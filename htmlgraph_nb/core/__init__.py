"""The pure core: no I/O, no clock, no threads; standard library only."""
