"""Foreign records to Event: pure functions, standard library only."""
