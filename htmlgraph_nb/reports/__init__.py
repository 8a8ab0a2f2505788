"""Tables of costs and sessions of a database, as the server's page shows them."""
