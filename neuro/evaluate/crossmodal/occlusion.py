"""Which second, electrode and rhythm a prediction rests on: take each away and score again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from neuro.data import Batch, PairedWindows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.crossmodal.scores import scan_r
from neuro.signal import BANDS
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["Occlusion", "occlude"]

What = Literal["lag", "channel", "band"]

_SMOOTH = np.array([1.0, 2.0, 3.0, 2.0, 1.0])


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What happens to a prediction when a part of the windows is exchanged.

    Parameters
    ----------
    what : str
        ``"lag"``, ``"channel"`` or ``"band"``.
    names : tuple of str
        Of the parts.
    at : ndarray, shape (n_parts,)
        Lags: seconds before the volume, of each part's middle; else the parts'
        numbers.
    change : ndarray, shape (n_parts, roi)
        One minus the correlation of the prediction with the undisturbed one,
        mean over scans and draws: how much rests on the part.
    drop : ndarray, shape (n_parts, roi)
        Loss of correlation with the target; noisier, and near 0 where other
        parts say the same.
    r : ndarray, shape (roi,)
        Correlation with everything in place.
    rois : tuple of str
        Regions.
    """

    what: str
    names: tuple[str, ...]
    at: FloatArray
    change: FloatArray
    drop: FloatArray
    r: FloatArray
    rois: tuple[str, ...]

    def peak(self, roi: str) -> str:
        """Name of the part that moves the prediction most."""
        return self.names[int(self.change[:, self._row(roi)].argmax())]

    def lag_s(self, roi: str) -> float:
        """Seconds before the volume that matter most.

        Where the changes, smoothed over five parts, are largest: their centre
        within two parts of the peak. A response is some seconds wide, and one
        part alone is noisy.

        Raises
        ------
        ConfigError
            If no lags were occluded.
        """
        if self.what != "lag":
            raise ConfigError(f"A {self.what} has no lag: occlude(..., what='lag').")
        change = np.convolve(self.change[:, self._row(roi)], _SMOOTH / _SMOOTH.sum())[2:-2]
        best = int(change.argmax())
        near = slice(max(0, best - 2), best + 3)
        return float((self.at[near] * change[near]).sum() / max(float(change[near].sum()), 1e-300))

    def _row(self, roi: str) -> int:
        if roi not in self.rois:
            raise DataError(f"No region {roi!r}. {did_you_mean(roi, self.rois)}")
        return self.rois.index(roi)


@dataclass(frozen=True, eq=False, repr=False)
class _Changed(PairedWindows):
    """The same windows, each read with a part of another window's samples."""

    donor: IntArray = None  # type: ignore[assignment]
    change: Callable[[Any, Any], Any] = None  # type: ignore[assignment]
    whole: PairedWindows = None  # type: ignore[assignment]

    def select(self, indices: Any) -> "_Changed":
        rows = np.arange(len(self))[indices] if isinstance(indices, slice) else self._rows(indices)
        return self._chosen(
            rows,
            target_time_s=self.target_time_s[rows],
            target_sample=self.target_sample[rows],
            donor=self.donor[rows],
        )

    def batch(self, indices: Any = None) -> Batch:
        rows = self._rows(indices)
        mine = super().batch(rows)
        return replace(mine, x=self.change(mine.x, self.whole.batch(self.donor[rows]).x))


def occlude(
    predict: Callable[[PairedWindows], FloatArray],
    pairs: PairedWindows,
    what: What = "lag",
    *,
    true: FloatArray | None = None,
    patch_s: float = 1.0,
    bands: "dict[str, tuple[float, float]] | None" = None,
    n: int = 1,
    seed: int = 0,
) -> Occlusion:
    """Exchange one part of all windows for another window's, predict, and score.

    A part is taken from a random other window of the same scan: what is left
    looks like EEG, which zeros would not, and says nothing about this volume.

    Parameters
    ----------
    predict : callable(PairedWindows) -> ndarray, shape (n, roi)
        Any model; it reads the windows' batches.
    pairs : PairedWindows
        Test windows.
    what : {"lag", "channel", "band"}
        Patches of `patch_s` seconds, electrodes, or frequency bands.
    true : ndarray, shape (n, roi), optional
        What to correlate with; the windows' target if omitted.
    patch_s : float
        Length of a patch in seconds.
    bands : mapping of str to (float, float), optional
        Hz; delta to gamma if omitted.
    n : int
        Draws of the other windows; the drops are averaged.
    seed : int
        Of the draws.

    Returns
    -------
    Occlusion

    Raises
    ------
    ConfigError
        If there is no such part.
    DataError
        If predictions do not fit, or a scan has a single window.

    Examples
    --------
    >>> from neuro.data import pair
    >>> from neuro.datasets import synthetic
    >>> made = synthetic.eeg_fmri(0, n_scans=1, n_volumes=30, sfreq=100)
    >>> pairs = pair(made.recordings, window_s=8)
    >>> def last_second(w):
    ...     return w.batch().x[:, :3, -100:].std(2).numpy()
    >>> occlude(last_second, pairs, true=last_second(pairs)).peak("beta")
    '0.5 s'
    """
    if what not in get_args(What):
        raise ConfigError(f"Nothing called {what!r}. {did_you_mean(str(what), get_args(What))}")
    target = np.asarray(pairs.target if true is None else true, dtype=np.float64)
    scans = [np.flatnonzero(pairs.recording == r) for r in np.unique(pairs.recording)]
    if min(map(len, scans)) < 3 or n < 1:
        raise DataError("Each scan needs at least 3 windows, and n at least 1 draw.")

    def said(windows: PairedWindows) -> list[FloatArray]:
        values = np.asarray(predict(windows), dtype=np.float64).reshape(target.shape)
        return [values[s] for s in scans]

    true_of = [target[s] for s in scans]
    names, at, changes = _parts(pairs, what, patch_s, bands)
    whole = said(pairs)
    base = scan_r(whole, true_of).mean(axis=0)
    change, drop = np.zeros((2, len(names), target.shape[1]))
    rng = np.random.default_rng(seed)
    for _ in range(n):
        donor = _donors(scans, len(pairs), rng)
        for k, exchange in enumerate(changes):
            shown = {name: getattr(pairs, name) for name in pairs.__dataclass_fields__}
            left = said(_Changed(**shown, donor=donor, change=exchange, whole=pairs))
            change[k] += 1 - scan_r(left, whole).mean(axis=0)
            drop[k] += base - scan_r(left, true_of).mean(axis=0)
    return Occlusion(what, names, at, change / n, drop / n, base, pairs.target_axis.names)


def _donors(scans: Sequence[IntArray], n: int, rng: np.random.Generator) -> IntArray:
    """For each window another one of its scan, at least a quarter of the scan away."""
    donor = np.empty(n, dtype=np.int64)
    for rows in scans:
        far = max(1, len(rows) // 4)
        step = rng.integers(far, max(far + 1, len(rows) - far + 1), size=len(rows))
        donor[rows] = rows[(np.arange(len(rows)) + step) % len(rows)]
    return donor


def _parts(
    pairs: PairedWindows, what: str, patch_s: float, bands: Any
) -> tuple[tuple[str, ...], AnyArray, list[Callable[[Any, Any], Any]]]:
    """Names, places and changes of the parts."""
    if what == "channel":
        names = pairs.ch_names
        return names, np.arange(len(names)), [_rows_of(i) for i in range(len(names))]
    if what == "band":
        chosen = dict(BANDS) if bands is None else dict(bands)
        chosen = {k: v for k, v in chosen.items() if v[0] < pairs.sfreq / 2}
        parts = [_band_of(lo, hi, pairs.sfreq) for lo, hi in chosen.values()]
        return tuple(chosen), np.arange(len(parts)), parts
    size = round(patch_s * pairs.sfreq)
    if not 1 <= size <= pairs.n_times:
        raise ConfigError(f"patch_s={patch_s} does not fit windows of {pairs.length_s:g} s.")
    count = pairs.n_times // size
    start = pairs.n_times - size * np.arange(count, 0, -1)
    at = (pairs.n_times - start - size / 2) / pairs.sfreq
    # the window may end some time before the volume
    at = at + float(np.median(pairs.target_time_s - pairs.stop_s()))
    names = tuple(f"{lag:g} s" for lag in np.round(at, 3))
    return names, at, [_stretch_of(int(a), int(a) + size) for a in start]


def _stretch_of(a: int, b: int) -> Callable[[Any, Any], Any]:
    def change(x: Any, other: Any) -> Any:
        out = x.clone()
        out[:, :, a:b] = other[:, :, a:b]
        return out

    return change


def _rows_of(i: int) -> Callable[[Any, Any], Any]:
    def change(x: Any, other: Any) -> Any:
        out = x.clone()
        out[:, i] = other[:, i]
        return out

    return change


def _band_of(lo: float, hi: float, sfreq: float) -> Callable[[Any, Any], Any]:
    def change(x: Any, other: Any) -> Any:
        import torch

        freq = torch.fft.rfftfreq(x.shape[-1], 1 / sfreq)
        inside = (freq >= lo) & (freq < hi)
        mine, theirs = torch.fft.rfft(x), torch.fft.rfft(other)
        return torch.fft.irfft(torch.where(inside, theirs, mine), x.shape[-1])

    return change
