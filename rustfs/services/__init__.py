"""Background work of a node: repair, drive rebuilding, expiry of stale uploads."""
