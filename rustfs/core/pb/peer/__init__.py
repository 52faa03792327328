"""Generated from proto/rustfs/peer."""
