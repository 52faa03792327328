"""Tests of the erasure room."""
