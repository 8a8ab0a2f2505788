"""``htmlgraph-nb doctor``: what works here, what does not, and what to type."""
