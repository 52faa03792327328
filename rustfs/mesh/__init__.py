"""Peers: authenticated calls between the nodes, remote drives, the server side of proto/, the lock service."""
