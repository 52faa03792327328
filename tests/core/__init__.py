"""Tests of rustfs.core."""
