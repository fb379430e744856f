"""Graphs of sliding windows: one call for a batch beside a loop over windows.

    python benchmarks/dynamic_fc_batches.py [--rois 400] [--times 600] [--scans 2] [--small]

The loop is how it is done where windows are taken one after the other: correlations of
all windows are stacked, then each matrix' percentile is found, then its edges; "edge
lists" goes on to the indices of one large sparse matrix, which is what STAGIN's graph
layers read. Ours are dense graphs in both cases, which is what our layers read. Windows
of 50 samples every 3. Both are timed in turn, the median counts.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from neuro.connectivity.tensors import windowed_batch_correlation, windowed_batch_graphs

WIDTH, STRIDE, PERCENT = 50, 3, 70


def loop(x: np.ndarray, starts: list[int], what: str) -> np.ndarray:
    """One window after the other; graphs from the stack of all correlations."""
    cut = (scan[:, s : s + WIDTH] for scan in x for s in starts)
    fc = np.stack([np.corrcoef(window).astype(np.float32) for window in cut])
    if what == "correlations":
        return fc
    limits = [np.percentile(matrix, PERCENT).astype(np.float32) for matrix in fc]
    edges = [matrix > limit for matrix, limit in zip(fc, limits, strict=True)]
    if what == "graphs":
        return np.stack(edges)
    lists = [np.stack(edge.nonzero()) + k * x.shape[1] for k, edge in enumerate(edges)]
    return np.concatenate(lists, axis=1)


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - cpu


def difference(ours: Callable, loop: Callable, x: np.ndarray, starts: list[int]) -> float:
    edges = (ours("graphs") != loop(x, starts, "graphs")).mean()
    print(f"edges that differ: {edges:.1e} (rounding at the threshold)")
    return float(np.abs(ours("correlations") - loop(x, starts, "correlations")).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rois", type=int, default=400)
    parser.add_argument("--times", type=int, default=600)
    parser.add_argument("--scans", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="60 regions, 150 samples, one scan")
    args = parser.parse_args()
    if args.small:
        args.rois, args.times, args.scans = 60, 150, 1
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    shape = (args.scans, args.rois, args.times)
    x = rng.standard_normal(shape) + 0.1 * rng.standard_normal(shape).cumsum(axis=2)
    x = x.astype(np.float32)
    starts = list(range(0, args.times - WIDTH, STRIDE))
    signal, places = torch.from_numpy(x), torch.tensor(starts)

    def ours(what: str) -> np.ndarray:
        if what == "correlations":
            return windowed_batch_correlation(signal, places, WIDTH).flatten(0, 1).numpy()
        return windowed_batch_graphs(signal, places, WIDTH, PERCENT)[0].flatten(0, 1).numpy()

    print(f"{args.scans} scans x {args.rois} regions, {len(starts)} windows, {args.threads} thread")
    print(f"largest difference of a correlation: {difference(ours, loop, x, starts):.1e}")
    for what in ("correlations", "graphs", "edge lists"):
        mine, theirs = [], []
        for _ in range(args.repeats):  # in turn, so that both see the same machine
            mine.append(seconds(lambda w=what: ours(w)))
            theirs.append(seconds(lambda w=what: loop(x, starts, w)))
        for k, kind in enumerate(("wall", "CPU")):
            m, t = (statistics.median(v[k] for v in times) for times in (mine, theirs))
            print(f"  {what:13s} {kind:5s} neuro {m:7.3f} s   loop {t:7.3f} s   {t / m:5.1f} x")


if __name__ == "__main__":
    main()
