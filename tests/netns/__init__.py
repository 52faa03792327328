"""A cluster whose nodes are on hosts of their own: network namespaces, joined by a switch that can cut and lose."""
