"""Tests of rustfs.http."""
