"""Tests of the drive room."""
