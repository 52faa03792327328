"""`make bench`: the speed table. Never part of the tests' pass or fail."""
