"""Triangles through every node beside networkx and one matrix product.

    python benchmarks/connectivity_cycles.py [--nodes 5000] [--peer-nodes 600] [--repeats 3]

networkx needs hours for a dense graph of 5,000 nodes, so the two are compared at
``--peer-nodes``; ours is compared with one float32 matrix product at ``--nodes``.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import networkx
import numpy as np

from neuro.connectivity.graph import three_cycles


def adjacency(n: int, density: float) -> np.ndarray:
    a = np.triu(np.random.default_rng(0).random((n, n)) < density, 1)
    return a | a.T


def median_of(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--peer-nodes", type=int, default=600)
    parser.add_argument("--density", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    small = adjacency(args.peer_nodes, args.density)
    graph = networkx.from_numpy_array(small.astype(int))
    theirs = networkx.triangles(graph)
    same = np.array_equal(three_cycles(small), [theirs[i] for i in range(len(small))])
    print(f"{args.peer_nodes} nodes: the same counts as networkx: {same}")
    mine = median_of(lambda: three_cycles(small), max(args.repeats, 5))
    peer = median_of(lambda: networkx.triangles(graph), args.repeats)
    print(f"{args.peer_nodes} nodes: neuro {mine:.4f} s, networkx {peer:.3f} s, "
          f"{peer / mine:.0f} times as fast")  # fmt: skip
    large = adjacency(args.nodes, args.density)
    product = large.astype(np.float32)
    ratios, counted, multiplied = [], [], []
    for _ in range(args.repeats):
        counted.append(median_of(lambda: three_cycles(large), 1))
        multiplied.append(median_of(lambda: product @ product, 1))
        ratios.append(counted[-1] / multiplied[-1])
    directed = median_of(lambda: three_cycles(large, directed=True), 1)
    print(f"{args.nodes} nodes: neuro {statistics.median(counted):.2f} s, one float32 product "
          f"{statistics.median(multiplied):.2f} s: {statistics.median(ratios):.2f} products; "
          f"directed cycles {directed:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
