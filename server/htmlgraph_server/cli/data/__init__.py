"""Commands that back up, restore and delete stored data."""
