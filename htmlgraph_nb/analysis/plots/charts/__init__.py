"""Charts: what a plot shows, its colors, texts and ticks, and drawing it with two libraries."""
