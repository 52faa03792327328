"""How the drives of a pool are cut into sets: pure, and the same on every node.

As MinIO and RustFS document it: sets have 2 to 16 drives, all the same number, as many as divide the drives of the
pool (so as few sets as possible), and the nodes take equal parts in them: each set has equally many drives of every
node, or, where nodes are more than the drives of a set, each node has its drives in sets of always the same nodes. Up
to 16 drives make one set.

Two things are decided here beyond what is documented. With more than 16 nodes whose number has no divisor of 4 or
more (17, 34, 38), the documented rule gives no layout, or sets of 2 or 3 that hardly tolerate a failure: then sets
take one drive from each of as many nodes as divides all drives. And drives named one by one, in whatever order, are
dealt to the sets so that each node's drives are spread over them as evenly as their number allows.
"""

from collections import Counter
from collections.abc import Sequence

SET_SIZE_MAX = 16
_SET_SIZE_SOUND = 4  # smaller sets cannot lose a drive and take writes, or have one drive of parity


def choose_set_size(nodes: Sequence[str]) -> int:
    """Drives per set of a pool whose drives lie on these nodes (one entry for each drive).

    Raises ValueError with a sentence where no size fits.
    """
    drive_count, node_count = len(nodes), len(set(nodes))
    if drive_count <= SET_SIZE_MAX:
        return drive_count
    sizes = [size for size in range(SET_SIZE_MAX, 1, -1) if drive_count % size == 0]
    if not sizes:
        raise ValueError(
            f"{drive_count} drives cannot be cut into sets of 2 to {SET_SIZE_MAX} drives of equal size; "
            "add or remove some"
        )
    symmetric = [size for size in sizes if size % node_count == 0 or node_count % size == 0]
    if symmetric and (node_count <= SET_SIZE_MAX or symmetric[0] >= _SET_SIZE_SOUND):
        return symmetric[0]
    return sizes[0]


def arrange(nodes: Sequence[str], set_size: int) -> list[int]:
    """The order of drives in which each run of `set_size` is a set; `nodes` as for choose_set_size.

    Left as given where the drives of every node are spread over the sets as evenly as can be.
    """
    given = list(range(len(nodes)))
    set_count = len(nodes) // set_size
    if _is_even(nodes, set_size):
        return given
    rank = {node: number for number, node in enumerate(dict.fromkeys(nodes))}
    by_node = sorted(given, key=lambda drive: rank[nodes[drive]])
    # Dealt like cards: the drives of a node are consecutive, so no set gets two more of them than another.
    return [drive for number in range(set_count) for drive in sorted(by_node[number::set_count])]


def _is_even(nodes: Sequence[str], set_size: int) -> bool:
    set_count = len(nodes) // set_size
    fair = {node: divmod(count, set_count) for node, count in Counter(nodes).items()}
    for start in range(0, len(nodes), set_size):
        here = Counter(nodes[start : start + set_size])
        if any(not least <= here[node] <= least + bool(rest) for node, (least, rest) in fair.items()):
            return False
    return True
