"""Load stored history as typed DataFrames, and export it to files."""
