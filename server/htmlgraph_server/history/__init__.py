"""Answers to history queries."""
