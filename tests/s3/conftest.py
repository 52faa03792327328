"""Fixtures of the S3 face's tests."""

import pytest

from tests.s3.facing import facing


@pytest.fixture
def face():
    """A face over an empty layer that has one bucket, named bucket."""
    with facing() as made:
        made.make_bucket()
        yield made
