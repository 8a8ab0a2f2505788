"""What a server sends to another one, and how that one knows the hosts. Pure functions."""
