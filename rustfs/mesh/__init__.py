"""Peers: the room that will hold membership, the lock client and remote drives; a single node needs none of it."""
