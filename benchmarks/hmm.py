"""Forward and backward of a hidden Markov model beside hmmlearn's compiled recursions.

    python benchmarks/hmm.py [--bins 100000] [--states 3] [--repeats 5] [--small]

One session, random log-likelihoods around -33 a bin (a hundred neurons), in turn, within
one run. hmmlearn's two recursions in logarithms give what ours does only after the
posterior has been formed; that and the expected transitions are part of its time. Its
scaled recursions are left out: they need exp(-33) and below to be no underflow.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from neuro.stats.hmm import forward_backward


def peer(log_lik: np.ndarray, moves: np.ndarray) -> Callable[[], np.ndarray] | None:
    try:
        from hmmlearn import _hmmc
    except ImportError:
        print("hmmlearn is not installed: no peer")
        return None
    start = np.full(len(moves), 1 / len(moves))

    def run() -> np.ndarray:
        _, ahead = _hmmc.forward_log(start, moves, log_lik)
        back = _hmmc.backward_log(start, moves, log_lik)
        _hmmc.compute_log_xi_sum(ahead, moves, back, log_lik)
        both = ahead + back
        both -= both.max(axis=1, keepdims=True)
        gamma = np.exp(both)
        return gamma / gamma.sum(axis=1, keepdims=True)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bins", type=int, default=100_000)
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a tenth of the bins, two repeats")
    args = parser.parse_args()
    n_bins, repeats = (args.bins // 10, 2) if args.small else (args.bins, args.repeats)
    rng = np.random.default_rng(0)
    log_lik = 2 * rng.standard_normal((n_bins, args.states)) - 33
    moves = rng.dirichlet(np.ones(args.states), args.states)
    contenders: dict[str, Callable[[], np.ndarray]] = {
        "neuro": lambda: forward_backward(log_lik, moves).gamma
    }
    theirs = peer(log_lik, moves)
    if theirs is not None:
        contenders["hmmlearn, logarithms"] = theirs
    times: dict[str, list[float]] = {}
    found: dict[str, np.ndarray] = {}
    for _ in range(repeats + 1):
        for label, run in contenders.items():
            begin = time.perf_counter()
            found[label] = run()
            times.setdefault(label, []).append(time.perf_counter() - begin)
    own = statistics.median(times["neuro"][1:])  # the first round compiles and warms
    print(f"{n_bins} bins, {args.states} states")
    print(f"{'':24s} seconds   neuro is x times as fast   largest difference")
    for label, values in times.items():
        median = statistics.median(values[1:])
        off = np.abs(found[label] - found["neuro"]).max()
        print(f"{label:24s} {median:7.4f} {median / own:26.2f} {off:20.1e}")


if __name__ == "__main__":
    main()
