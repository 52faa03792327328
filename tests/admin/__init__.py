"""Tests of rustfs.admin."""
