"""Sends the events of this server to another one, and knows the hosts that send theirs here."""
