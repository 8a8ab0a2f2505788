"""``htmlgraph-nb costs``: tokens and dollars as tables or JSON."""
