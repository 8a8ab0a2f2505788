"""Who may do what: identities, tokens, and the spaces that they open."""
