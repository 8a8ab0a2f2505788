"""What all connections share: the budget of their bytes, and WebSockets with limits."""
