"""Leased locks over the nodes of a set: they give order and fairness, and nothing's safety rests on them.

`rules` decides, `table` keeps what one node granted (shared by its workers), `client` asks a majority of the nodes,
`holding` refreshes what was got, `server` and `wire` carry it between nodes, `cluster` is what the object layer sees.
"""
