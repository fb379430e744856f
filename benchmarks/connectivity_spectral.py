"""Spectral connectivity beside mne-connectivity, and the stream beside its batch.

    python benchmarks/connectivity_spectral.py [--repeats 5] [--small]

Three measures (coherence, imaginary coherence, wPLI), multitaper, 8-30 Hz, all pairs:
seconds (median of repeats, contenders in turn within one run) and peak memory above
that of the data (each contender alone in a child process, after a warm-up). Then the
streaming update: milliseconds a hop, median and 99th percentile.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neuro.connectivity.spectral import spectral_connectivity
from neuro.connectivity.streaming import StreamingConnectivity

SFREQ, N_TIMES = 256, 256
NAMES = ("coherence", "imaginary_coherence", "wpli")
THEIRS = ["coh", "imcoh", "wpli"]


def data(n_epochs: int, n_chans: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n_epochs, n_chans, N_TIMES))


def ours(x: np.ndarray) -> list[np.ndarray]:
    found = spectral_connectivity(
        x, SFREQ, NAMES, average="trials", estimator="multitaper", fmin=8, fmax=30
    )
    return [found[name].values for name in NAMES]


def mne_connectivity(x: np.ndarray) -> list[np.ndarray]:
    from mne_connectivity import spectral_connectivity_epochs

    found = spectral_connectivity_epochs(
        x, method=THEIRS, mode="multitaper", sfreq=SFREQ, fmin=8, fmax=30, verbose="error"
    )
    return [f.get_data("dense").transpose(2, 0, 1) for f in found]


CONTENDERS: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "neuro": ours,
    "mne-connectivity": mne_connectivity,
}


def peak_mb(name: str, n_epochs: int, n_chans: int) -> float:
    """Peak memory of one call above data and libraries, in a process of its own."""
    command = [sys.executable, __file__, "--child", name, str(n_epochs), str(n_chans)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def status_mb(field: str) -> float:
    """Memory of this process as the Linux kernel counts it (rusage would show the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(field))) / 1024


def child(name: str, n_epochs: int, n_chans: int) -> None:
    run = CONTENDERS[name]
    run(data(4, 4))
    x = data(n_epochs, n_chans)
    before = status_mb("VmRSS")
    run(x)
    print(json.dumps(status_mb("VmHWM") - before))


def batch(n_epochs: int, n_chans: int, repeats: int) -> None:
    x = data(n_epochs, n_chans)
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    results = {name: run(data(4, 4)) for name, run in CONTENDERS.items()}  # warm
    for _ in range(repeats):
        for name, run in CONTENDERS.items():
            start = time.perf_counter()
            results[name] = run(x)
            times[name].append(time.perf_counter() - start)
    lower = np.tril_indices(n_chans, -1)
    worst = max(
        float(np.abs(a[:, *lower] - b[:, *lower]).max())
        for a, b in zip(results["neuro"], results["mne-connectivity"], strict=True)
    )
    print(f"\n{n_chans} channels, {n_epochs} epochs x {N_TIMES}; largest difference {worst:.1e}")
    median = {name: statistics.median(t) for name, t in times.items()}
    memory = {name: peak_mb(name, n_epochs, n_chans) for name in CONTENDERS}
    for name in CONTENDERS:
        print(
            f"  {name:18s} {median[name]:8.3f} s  {memory[name]:8.1f} MB  "
            f"time x {median[name] / median['neuro']:5.2f}  "
            f"memory x {memory[name] / max(memory['neuro'], 1e-9):5.2f}"
        )


def stream(n_chans: int, seconds: int, estimator: str) -> None:
    hop = 32
    follow = StreamingConnectivity(
        n_chans, SFREQ, NAMES, overlap=1 - hop / N_TIMES, tau_s=5, estimator=estimator,
        fmin=8, fmax=30,
    )  # fmt: skip
    x = data(1, n_chans)[0]
    x = np.tile(x, (1, seconds))
    took = []
    for i in range(0, x.shape[1], hop):
        start = time.perf_counter()
        for update in follow.push(x[:, i : i + hop]):
            for name in NAMES:
                update.strength(name)
            took.append((time.perf_counter() - start) * 1e3)
    start = time.perf_counter()
    spectral_connectivity(
        x[:, : 20 * N_TIMES], SFREQ, NAMES, average="trials", length_s=1, overlap=1 - hop / N_TIMES,
        fmin=8, fmax=30, estimator=estimator,
    )  # fmt: skip
    again = (time.perf_counter() - start) * 1e3
    print(
        f"  {estimator:10s} {n_chans} channels x {len(follow.freqs)} bins x 3 measures + strength: "
        f"median {np.median(took):.3f} ms, p99 {np.percentile(took, 99):.3f} ms a hop; "
        f"the batch of 20 s again: {again:.1f} ms ({again / np.median(took):.0f} x)"
    )


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="check that it runs")
    options = parser.parse_args()
    sizes = [(6, 8), (8, 12)] if options.small else [(40, 64), (300, 256)]
    for n_epochs, n_chans in sizes:
        batch(n_epochs, n_chans, options.repeats)
    print("\nstreaming")
    for estimator in ("welch", "multitaper"):
        stream(8 if options.small else 64, 10 if options.small else 60, estimator)


if __name__ == "__main__":
    main()
