"""What was deleted on request, which session files must not bring back."""
