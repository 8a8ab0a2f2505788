"""Completion of the command line in zsh and fish."""
