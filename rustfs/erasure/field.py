"""GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), and the code's matrix: plain, documented mathematics.

The arithmetic is reedsolo's. The matrix is the identity over a Cauchy matrix, as ISA-L's gf_gen_cauchy1_matrix makes
it: row i >= k, column j: inverse(i XOR j). Any k of its n rows are independent, so any k shards determine the data.
"""

from collections.abc import Sequence
from functools import lru_cache

import reedsolo

POLYNOMIAL = 0x11D
reedsolo.init_tables(POLYNOMIAL)

Matrix = tuple[tuple[int, ...], ...]

SHARDS_MAX = 16


def check_shape(data_shards: int, parity_shards: int) -> None:
    """Raises ValueError unless 1 <= k, 0 <= m, k + m <= 16."""
    if data_shards < 1 or parity_shards < 0 or data_shards + parity_shards > SHARDS_MAX:
        raise ValueError(f"no code with {data_shards} data and {parity_shards} parity shards")


@lru_cache(maxsize=256)
def cauchy_matrix(data_shards: int, parity_shards: int) -> Matrix:
    """The n x k matrix whose row i makes shard i out of the data shards."""
    check_shape(data_shards, parity_shards)
    identity = [tuple(int(row == column) for column in range(data_shards)) for row in range(data_shards)]
    cauchy = [
        tuple(reedsolo.gf_inverse(row ^ column) for column in range(data_shards))
        for row in range(data_shards, data_shards + parity_shards)
    ]
    return tuple(identity + cauchy)


def inverted(matrix: Sequence[Sequence[int]]) -> Matrix:
    """The inverse of a square matrix, by Gauss-Jordan elimination. Raises ValueError when it is singular."""
    size = len(matrix)
    rows = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next((row for row in range(column, size) if rows[row][column]), None)
        if pivot is None:
            raise ValueError("singular matrix")
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = reedsolo.gf_inverse(rows[column][column])
        rows[column] = [reedsolo.gf_mul(value, scale) for value in rows[column]]
        for row in range(size):
            factor = rows[row][column]
            if row != column and factor:
                rows[row] = [
                    value ^ reedsolo.gf_mul(factor, lead) for value, lead in zip(rows[row], rows[column], strict=True)
                ]
    return tuple(tuple(row[size:]) for row in rows)


@lru_cache(maxsize=4096)
def rebuild_matrix(data_shards: int, parity_shards: int, given: tuple[int, ...], wanted: tuple[int, ...]) -> Matrix:
    """The matrix that makes the `wanted` shards out of exactly k `given` ones (shard indices, in order)."""
    code = cauchy_matrix(data_shards, parity_shards)
    decode = inverted([code[shard] for shard in given])
    rows = []
    for shard in wanted:
        row = []
        for column in range(data_shards):
            value = 0
            for inner in range(data_shards):
                value ^= reedsolo.gf_mul(code[shard][inner], decode[inner][column])
            row.append(value)
        rows.append(tuple(row))
    return tuple(rows)
