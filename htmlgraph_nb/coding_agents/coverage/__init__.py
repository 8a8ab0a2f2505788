"""What is seen of each kind of coding agent, as each declares it."""
