"""The web console: a room kept free."""
