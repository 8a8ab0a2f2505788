"""Tests of htmlgraph_nb.storage.copies."""
