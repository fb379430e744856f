"""What a stored recording costs before the first sample is used.

    python benchmarks/opening.py [--hours 1] [--recordings 1000]

Printed are: opening beside bare h5py and MNE's lazy FIF; the resident memory of
a lazy recording, counted in a fresh process; windows over many recordings; one
DataLoader worker against two on a file that the page cache has forgotten; and
``import neuro`` over bare Python.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from neuro.data import Axis, Recording, Regular, Windows, windows
from neuro.io import store

SFREQ, N_CHANS = 256, 64
_RESIDENT = """
import os, sys
from neuro.io import store
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
store.load(sys.argv[1])  # what libraries and their pools cost once
before = resident()
kept = [store.load(path) for path in sys.argv[2:]]
print((resident() - before) / len(kept))
"""


def recording(hours: float, subject: str = "01") -> Recording:
    n = int(hours * 3600 * SFREQ)
    x = np.random.default_rng(0).standard_normal((N_CHANS, n), dtype=np.float32) * 20
    axis = Axis([f"EEG{i:03d}" for i in range(N_CHANS)], "eeg")
    return Recording({"eeg": Regular(x, SFREQ, "uV", axis, "eeg")}, subject=subject)


def median_ms(work: Callable[[], object], repeats: int) -> float:
    spent = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(spent)


def opening(path: Path, folder: Path, rec: Recording) -> None:
    import mne

    fif = folder / "a_raw.fif"
    rec.to_mne().save(fif, verbose="error", overwrite=True)

    def bare() -> None:
        with h5py.File(path) as file:
            file["streams/eeg/data"].shape  # noqa: B018

    ours = median_ms(lambda: store.load(path), 100)
    print(f"open: neuro {ours:.2f} ms")
    print(f"open: bare h5py, nothing checked {median_ms(bare, 100):.2f} ms")
    other = median_ms(lambda: mne.io.read_raw_fif(fif, preload=False, verbose="error"), 20)
    print(f"open: MNE lazy FIF {other:.2f} ms, neuro is {other / ours:.1f} x as fast")


def resident(path: Path, folder: Path) -> None:
    copies = [folder / f"copy_{i}.h5" for i in range(8)]
    for copy in copies:
        os.link(path, copy)
    command = [sys.executable, "-c", _RESIDENT, path, *copies]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(f"resident: {float(out):.2f} MB a lazy recording (mean of 8, {path.stat().st_size >> 20} "
          "MB each on disk)")  # fmt: skip


def index(folder: Path, n: int) -> None:
    path = store.save(recording(1 / 60), folder / "minute.h5")
    rec = store.load(path)
    many = [rec.replace(subject=f"{i:04d}") for i in range(n)]
    made = median_ms(lambda: windows(many, stream="eeg", length_s=4, step_s=1), 3)
    print(f"index: {n} recordings, {len(windows(many, stream='eeg', length_s=4, step_s=1)):,} "
          f"windows in {made / 1e3:.2f} s")  # fmt: skip
    paths = [folder / f"minute_{i}.h5" for i in range(n)]
    for copy in paths:
        os.link(path, copy)
    begin = time.perf_counter()
    windows([store.load(p) for p in paths], stream="eeg", length_s=4, step_s=1)
    print(f"index: {n} files opened and indexed in {time.perf_counter() - begin:.2f} s")


class Batches(torch.utils.data.Dataset[int]):
    """One item is one whole batch, as `train.fit` asks for it."""

    def __init__(self, index: Windows, rows: np.ndarray) -> None:
        self.index, self.rows = index, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.index.batch(self.rows[i]).x


def forget(path: Path) -> None:
    """Drop a file from the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def workers(path: Path) -> None:
    cut = windows(store.load(path), stream="eeg", length_s=4, step_s=1)
    rows = np.random.default_rng(1).permutation(len(cut))[: len(cut) // 64 * 64].reshape(-1, 64)
    speeds: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for _ in range(4):
        for n in speeds:
            options = {"multiprocessing_context": "forkserver"} if n else {}
            loader = torch.utils.data.DataLoader(
                Batches(cut, rows), batch_size=None, num_workers=n, **options
            )
            forget(path)
            batches = iter(loader)
            next(batches)  # starting the workers is not reading
            begin = time.perf_counter()
            left = sum(1 for _ in batches)
            speeds[n].append(left * 64 / (time.perf_counter() - begin))
    middle = {n: statistics.median(v[1:]) for n, v in speeds.items()}
    for n, value in middle.items():
        print(f"workers: {n} read {value:,.0f} windows/s from a cold file")
    print(f"workers: two are {middle[2] / middle[1]:.2f} x one")


def importing() -> None:
    def run(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    bare, ours = median_ms(run("pass"), 11), median_ms(run("import neuro"), 11)
    print(f"import neuro: {ours - bare:.0f} ms over bare Python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--recordings", type=int, default=1000)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rec = recording(args.hours)
        path = store.save(rec, folder / "a.h5")
        opening(path, folder, rec)
        del rec
        resident(path, folder)
        index(folder, args.recordings)
        workers(path)
    importing()


if __name__ == "__main__":
    main()
