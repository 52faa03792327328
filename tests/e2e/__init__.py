"""End-to-end tests: real server processes on loopback, driven by the clients that people use."""
