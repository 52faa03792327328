"""Identities: who may sign requests."""
