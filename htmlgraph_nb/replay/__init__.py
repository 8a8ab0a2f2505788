"""What was known of every agent at any time of a stored history."""
