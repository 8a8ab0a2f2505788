"""Tests of the rules and channels of alerts."""
