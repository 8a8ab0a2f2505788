"""Check the reader of a coding agent with recorded sessions, for those who write one."""
