"""Tests of the alerts of a server."""
