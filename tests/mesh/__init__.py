"""Tests of rustfs.mesh."""
