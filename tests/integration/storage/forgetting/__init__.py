"""Tests of htmlgraph_nb.storage.forgetting."""
