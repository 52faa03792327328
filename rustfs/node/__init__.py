"""The composition root: configuration, wiring, supervisor, lifecycle."""
