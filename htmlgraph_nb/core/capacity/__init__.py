"""Which agents give way to others in a full roster."""
