"""Fixtures of the services' tests."""

import pytest

from rustfs.drive import availability, notes
from rustfs.services import reconcile


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Four directories for drives, whose state is looked after twenty times a second."""
    monkeypatch.setattr(availability, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(notes, "NOTES_SECONDS", 0.02)
    monkeypatch.setattr(reconcile, "UNSETTLED_MS", 200)
    return [str(tmp_path / f"drive{number}") for number in range(4)]
