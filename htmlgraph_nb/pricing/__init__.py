"""Prices of models in USD."""
