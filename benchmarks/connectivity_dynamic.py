"""Tapered dynamic connectivity beside a loop over numpy.corrcoef.

    python benchmarks/connectivity_dynamic.py [--regions 400] [--volumes 1200] [--repeats 5]

Hann windows of 60 s every volume (TR 0.72 s), all into one array, in turn, within one
run. The peers: numpy.corrcoef of the tapered signal in a loop, as commonly written
(another estimand: it weights by the square), and numpy.cov with the taper as weights,
which is what ours computes; both keep every matrix. Ours keeps the upper triangles.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from neuro.connectivity.dynamic import taper_weights, windowed_correlation

SFREQ, WINDOW_S = 1 / 0.72, 60.0


def loop_corrcoef(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    n = len(weights)
    return np.stack([np.corrcoef(x[:, s : s + n] * weights) for s in range(x.shape[1] - n + 1)])


def loop_weighted(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    n = len(weights)
    out = []
    for s in range(x.shape[1] - n + 1):
        cov = np.cov(x[:, s : s + n], aweights=weights)
        sd = np.sqrt(np.diag(cov))
        out.append(cov / np.outer(sd, sd))
    return np.stack(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regions", type=int, default=400)
    parser.add_argument("--volumes", type=int, default=1200)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    x = np.random.default_rng(0).standard_normal((args.regions, args.volumes))
    weights = taper_weights("hann", round(WINDOW_S * SFREQ))
    upper = np.triu_indices(args.regions, 1)

    def ours(dtype: type, taper: str = "hann") -> Callable[[], np.ndarray]:
        return lambda: (
            windowed_correlation(x, SFREQ, window_s=WINDOW_S, taper=taper, dtype=dtype).values
        )

    exact = loop_weighted(x[:, : 4 * len(weights)], weights)
    mine = windowed_correlation(x[:, : 4 * len(weights)], SFREQ, window_s=WINDOW_S).values
    print(f"largest difference from weighted moments: {np.abs(mine - exact[:, *upper]).max():.1e}")
    contenders: dict[str, Callable[[], np.ndarray]] = {
        "neuro, float32": ours(np.float32),
        "neuro, float64": ours(np.float64),
        "neuro, Gaussian taper, float32": ours(np.float32, "gaussian"),
        "loop over numpy.corrcoef": lambda: loop_corrcoef(x, weights),
        "loop over numpy.cov": lambda: loop_weighted(x, weights),
    }
    times: dict[str, list[float]] = {}
    for _ in range(args.repeats + 1):
        for label, run in contenders.items():
            begin = time.perf_counter()
            n_windows = len(run())
            times.setdefault(label, []).append(time.perf_counter() - begin)
    peer = statistics.median(times["loop over numpy.corrcoef"][1:])
    print(f"{'':32s} seconds   ms/window   times as fast as numpy.corrcoef")
    for label, values in times.items():
        median = statistics.median(values[1:])  # the first round compiles and warms
        print(f"{label:32s} {median:7.3f} {1e3 * median / n_windows:11.3f} {peer / median:9.1f}")


if __name__ == "__main__":
    main()
