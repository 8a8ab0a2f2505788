"""What alerts fire: the rules applied to changes of agents. Pure functions of changes and times."""
