"""End-to-end tests of clusters: real processes on loopback addresses, real clients, real faults."""
