"""Compiled edge swaps, and 3-cycles counted block by block with matrix products.

Entries of A A' are whole numbers below 2**24 for any graph of fewer nodes, so float32
products are exact; sums over a row can exceed it and run in float64.
"""

import numpy as np

from neuro.stats._compiled import compiled
from neuro.typing import AnyArray, IntArray

__all__ = ["directed_cycles", "swap_edges", "undirected_cycles"]

_BLOCK = 1024


def undirected_cycles(adjacency: AnyArray) -> IntArray:
    """Triangles through every node of a symmetric 0/1 matrix, int64.

    Only one of the blocks (I, J), (J, I) is multiplied: half of a full product.
    """
    n = len(adjacency)
    twice = np.zeros(n, dtype=np.float64)
    for start in range(0, n, _BLOCK):
        rows = adjacency[start : start + _BLOCK].astype(np.float32)
        for other in range(start, n, _BLOCK):
            columns = rows if other == start else adjacency[other : other + _BLOCK].astype(
                np.float32
            )  # fmt: skip
            paths = rows @ columns.T
            paths *= rows[:, other : other + _BLOCK]
            twice[start : start + _BLOCK] += paths.sum(axis=1, dtype=np.float64)
            if other != start:
                twice[other : other + _BLOCK] += paths.sum(axis=0, dtype=np.float64)
    # each triangle at a node was met once in either direction
    return np.asarray(np.rint(twice / 2), dtype=np.int64)


def directed_cycles(adjacency: AnyArray) -> IntArray:
    """Cycles i -> j -> k -> i through every node of a 0/1 matrix, int64."""
    n = len(adjacency)
    whole = adjacency.astype(np.float32)
    out = np.zeros(n, dtype=np.float64)
    for start in range(0, n, _BLOCK):
        paths = whole[start : start + _BLOCK] @ whole
        paths *= whole[:, start : start + _BLOCK].T
        out[start : start + _BLOCK] = paths.sum(axis=1, dtype=np.float64)
    return np.asarray(np.rint(out), dtype=np.int64)


@compiled(nogil=True)
def swap_edges(linked, tails, heads, picks, turns):  # type: ignore[no-untyped-def]
    """Exchange ends of random pairs of edges in place; degrees stay.

    ``linked`` (n, n) bool, symmetric; edge e joins ``tails[e]`` and ``heads[e]``;
    ``picks`` (n_tries, 2) edges to try, ``turns`` (n_tries,) whether the second is
    turned round first. Returns the number of swaps made.
    """
    made = 0
    for t in range(len(picks)):
        e, f = picks[t]
        if e == f:
            continue
        a, b = tails[e], heads[e]
        c, d = tails[f], heads[f]
        if turns[t]:
            c, d = d, c
        if a in (c, d) or b in (c, d) or linked[a, d] or linked[c, b]:
            continue
        linked[a, b] = linked[b, a] = linked[c, d] = linked[d, c] = False
        linked[a, d] = linked[d, a] = linked[c, b] = linked[b, c] = True
        tails[e], heads[e] = a, d
        tails[f], heads[f] = c, b
        made += 1
    return made
