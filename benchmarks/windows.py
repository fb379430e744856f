"""Random windows from disk: the store beside a memory map, MNE and braindecode.

    python benchmarks/windows.py [--hours 1] [--windows 3200] [--repeats 5]

Each contender reads the same random 4 s windows of the same 64-channel, 256 Hz
recording into a (batch, channel, time) float32 array, in turn, within one run.
Printed are windows a second (median over repeats) and the ratio to the store.
"""

import argparse
import statistics
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neuro.data import Axis, Recording, Regular, windows
from neuro.io import store

SFREQ, N_CHANS, BATCH, LENGTH_S = 256, 64, 64, 4
N_TIMES = SFREQ * LENGTH_S


def make(folder: Path, hours: float) -> tuple[np.ndarray, Path]:
    rng = np.random.default_rng(0)
    n = int(hours * 3600 * SFREQ)
    x = rng.standard_normal((N_CHANS, n), dtype=np.float32) * 20
    axis = Axis([f"EEG{i:03d}" for i in range(N_CHANS)], "eeg")
    rec = Recording({"eeg": Regular(x, SFREQ, "uV", axis, "eeg")}, subject="01")
    return x, store.save(rec, folder / "a.h5")


def ours(path: Path, starts: np.ndarray) -> Callable[[], object]:
    index = windows(store.load(path), stream="eeg", length_s=LENGTH_S, step_s=1 / SFREQ)

    def read() -> None:
        for rows in starts:  # as below, one batch lives at a time
            index.batch(rows)

    return read


def memmap(x: np.ndarray, folder: Path, starts: np.ndarray) -> Callable[[], object]:
    mapped = np.memmap(folder / "time_first.dat", np.float32, "w+", shape=x.shape[::-1])
    mapped[:] = x.T
    mapped.flush()
    mapped = np.memmap(folder / "time_first.dat", np.float32, "r", shape=x.shape[::-1])

    def read() -> None:
        for rows in starts:
            out = np.empty((len(rows), N_CHANS, N_TIMES), np.float32)
            for k, s in enumerate(rows):
                out[k] = mapped[s : s + N_TIMES].T

    return read


def mne_lazy(x: np.ndarray, folder: Path, starts: np.ndarray) -> Callable[[], object]:
    import mne

    info = mne.create_info([f"EEG{i:03d}" for i in range(N_CHANS)], SFREQ, "eeg")
    path = folder / "a_raw.fif"
    mne.io.RawArray(x * 1e-6, info, verbose="error").save(path, verbose="error", overwrite=True)
    raw = mne.io.read_raw_fif(path, preload=False, verbose="error")

    def read() -> None:
        for rows in starts:
            out = np.empty((len(rows), N_CHANS, N_TIMES), np.float32)
            for k, s in enumerate(rows):
                out[k] = raw[:, s : s + N_TIMES][0]

    return read


class Absent(types.ModuleType):
    """A module from which anything can be imported and nothing used."""

    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}") or type(name, (), {})


def braindecode_lazy(folder: Path, starts: np.ndarray) -> Callable[[], object] | None:
    # its torchaudio does not load beside a CPU build of torch; reading needs none of it
    for name in ("torchaudio", "torchaudio.functional", "torchaudio.transforms"):
        sys.modules.setdefault(name, Absent(name))
    try:
        from braindecode.datasets import BaseConcatDataset, RawDataset
        from braindecode.preprocessing import create_fixed_length_windows
    except Exception as error:
        print(f"braindecode left out: {type(error).__name__}: {error}")
        return None
    import mne

    raw = mne.io.read_raw_fif(folder / "a_raw.fif", preload=False, verbose="error")
    dataset = create_fixed_length_windows(
        BaseConcatDataset([RawDataset(raw, {"subject": 1})]),
        start_offset_samples=0,
        stop_offset_samples=None,
        window_size_samples=N_TIMES,
        window_stride_samples=SFREQ,
        drop_last_window=True,
        preload=False,
    )

    def read() -> None:
        for rows in starts:
            out = np.empty((len(rows), N_CHANS, N_TIMES), np.float32)
            for k, s in enumerate(rows // SFREQ):
                out[k] = dataset[int(s)][0]

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--windows", type=int, default=3200)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x, path = make(folder, args.hours)
        last = x.shape[1] - N_TIMES
        starts = rng.integers(0, last, (args.windows // BATCH, BATCH))
        fewer = starts[: max(1, len(starts) // 8)]
        contenders: dict[str, tuple[Callable[[], object] | None, int]] = {
            "neuro": (ours(path, starts), starts.size),
            "time-first memmap": (memmap(x, folder, starts), starts.size),
            "MNE lazy FIF": (mne_lazy(x, folder, fewer), fewer.size),
            "braindecode lazy": (braindecode_lazy(folder, fewer), fewer.size),
        }
        del x
        speeds: dict[str, list[float]] = {}
        for _ in range(args.repeats + 1):
            for label, (read, count) in contenders.items():
                if read is None:
                    continue
                begin = time.perf_counter()
                read()
                speeds.setdefault(label, []).append(count / (time.perf_counter() - begin))
        mine = statistics.median(speeds["neuro"][1:])
        print(f"{'':20s} windows/s   neuro is x times as fast")
        for label, values in speeds.items():
            median = statistics.median(values[1:])  # the first round warms the caches
            print(f"{label:20s} {median:9,.0f}   {mine / median:.2f}")
        opening = []
        for _ in range(50):
            begin = time.perf_counter()
            store.load(path)
            opening.append(time.perf_counter() - begin)
        print(f"open a stored hour: median {1e3 * statistics.median(opening):.2f} ms")


if __name__ == "__main__":
    main()
