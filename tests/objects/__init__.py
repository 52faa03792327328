"""Tests of the object layer."""
