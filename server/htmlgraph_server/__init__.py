"""The Tornado broadcast server of htmlgraph-nb."""
