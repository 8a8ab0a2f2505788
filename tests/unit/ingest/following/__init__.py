"""The sources that follow sessions."""
