"""Types, errors, ports, configuration values and task helpers: what every room above may use."""
