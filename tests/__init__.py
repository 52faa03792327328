"""The tests mirror the package; tests/e2e drives real processes with real clients."""
