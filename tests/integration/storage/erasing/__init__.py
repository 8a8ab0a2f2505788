"""Tests of htmlgraph_nb.storage.erasing."""
