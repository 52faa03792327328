"""Peers: the room of the locks, and to be that of membership and remote drives; a single node needs none of it."""
