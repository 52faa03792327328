"""Tests of rustfs.cli."""
