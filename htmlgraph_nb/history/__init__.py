"""History as typed DataFrames, from the place where it is kept, and out to files."""
