"""The plain ways from EEG to BOLD that a network has to beat, all from one set of band powers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neuro.data import PairedWindows, Regular, canonical_eeg_name
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.contenders.floors import BANDS, LaggedBandPower
from neuro.evaluate.contenders.sources import features_of
from neuro.evaluate.probing.probes import RidgeProbe
from neuro.signal import BANDS as NAMED_BANDS
from neuro.signal import heart_beats, hrf
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = [
    "BASELINES",
    "BandPowers",
    "Baseline",
    "baseline_learner",
    "baselines_for",
    "ridge",
]

_BIN_S = 1.0
_STRETCHES = 5  # of one scan, where there is only one to choose a penalty on
_POSTERIOR = ("O1", "O2", "Oz", "POz", "PO3", "PO4", "PO7", "PO8", "Pz", "P3", "P4")
_PHYSIO = ("eog", "ecg", "emg", "resp", "ppg", "gsr", "motion")


class BandPowers:
    """Logarithm of band power of every window, computed once and read by all baselines.

    Parameters
    ----------
    pairs : PairedWindows
        All windows.

    Attributes
    ----------
    ch_names : tuple of str
        EEG channels only.
    bands : tuple of (float, float)
        Hz.
    """

    def __init__(self, pairs: PairedWindows) -> None:
        self.pairs = pairs
        self._rows = np.flatnonzero(~np.isin(np.array(pairs.axis.types), _PHYSIO))
        self.ch_names = tuple(np.array(pairs.ch_names)[self._rows].tolist())
        self.bands = tuple((a, b) for a, b in BANDS if b <= pairs.sfreq / 2)

    @cached_property
    def power(self) -> FloatArray:
        """Bins of 1 s, the last one ends with the window: (window, bin, channel, band)."""
        flat = features_of(self.pairs, LaggedBandPower(_BIN_S, self.bands))
        n_bins = max(1, int(self.pairs.length_s / _BIN_S))
        shape = (len(self.pairs), n_bins, len(self.pairs.ch_names), len(self.bands))
        return np.asarray(flat.reshape(shape)[:, :, self._rows])

    def lagged(self) -> FloatArray:
        """Every bin by itself: the ridge finds the response."""
        return np.asarray(self.power.reshape(len(self.power), -1))

    def mean(self) -> FloatArray:
        """Mean over the window: no lags."""
        return np.asarray(self.power.mean(axis=1).reshape(len(self.power), -1))

    def last(self) -> FloatArray:
        """The last second alone: no delay."""
        return np.asarray(self.power[:, -1].reshape(len(self.power), -1))

    def vigilance(self) -> FloatArray:
        """Alpha, theta and their ratio at the back of the head, weighted by the canonical HRF."""
        known = [canonical_eeg_name(name) for name in self.ch_names]
        rows = [i for i, name in enumerate(known) if name in _POSTERIOR] or list(range(len(known)))
        at = {name: self.bands.index(NAMED_BANDS[name]) for name in ("theta", "alpha")}
        course = self.power[:, :, rows].mean(axis=2)
        theta, alpha = course[..., at["theta"]], course[..., at["alpha"]]
        n_bins = self.power.shape[1]
        # bin k ends n_bins - 1 - k seconds before the volume; its middle counts
        age = np.arange(n_bins)[::-1] + 0.5
        kernel = np.interp(age, np.arange(0, 32, 0.1), hrf(0.1))
        return np.stack([alpha @ kernel, theta @ kernel, (alpha - theta) @ kernel], axis=1)


@dataclass(frozen=True)
class Baseline:
    """A plain model by name.

    Parameters
    ----------
    name : str
        As in the table.
    features : callable(BandPowers) -> ndarray, shape (n, n_features), or None
        What ridge regression reads; None predicts the training mean.
    about : str
        In words.
    """

    name: str
    features: Callable[[BandPowers], FloatArray] | None
    about: str


BASELINES: Mapping[str, Baseline] = {
    b.name: b
    for b in (
        Baseline(
            "lagged_ridge",
            BandPowers.lagged,
            "ridge on log band power, every second of the window by itself",
        ),
        Baseline(
            "mean_ridge",
            BandPowers.mean,
            "ridge on log band power, mean over the window",
        ),
        Baseline(
            "zero_lag_ridge",
            BandPowers.last,
            "ridge on log band power of the last second",
        ),
        Baseline(
            "vigilance",
            BandPowers.vigilance,
            "posterior alpha, theta and their ratio through the canonical HRF",
        ),
        Baseline("physio", lambda powers: physio(powers.pairs), "heart, eyes and motion, no EEG"),
        Baseline("constant", None, "mean of the training part"),
    )
}


def baselines_for(pairs: PairedWindows) -> list[Baseline]:
    """Baselines that the recordings allow: `physio` needs such channels or streams.

    Examples
    --------
    >>> from neuro.data import pair
    >>> from neuro.datasets import synthetic
    >>> made = synthetic.eeg_fmri(0, n_scans=1, n_volumes=30)
    >>> [b.name for b in baselines_for(pair(made.recordings, window_s=16))][-2:]
    ['vigilance', 'constant']
    """
    known = bool(_physio_streams(pairs, 0)) or bool(np.isin(pairs.axis.types, _PHYSIO).any())
    bands = {"theta", "alpha"} if pairs.sfreq / 2 >= NAMED_BANDS["alpha"][1] else set()
    out = [b for b in BASELINES.values() if b.name not in ("physio", "vigilance")]
    if bands:
        out.insert(3, BASELINES["vigilance"])
    if known:
        out.insert(-1, BASELINES["physio"])
    return out


def ridge(
    features: FloatArray, target: FloatArray, train: IntArray, test: IntArray, units: AnyArray
) -> FloatArray:
    """Ridge regression with the penalty chosen on whole units of the training part.

    Parameters
    ----------
    features : ndarray, shape (n, n_features)
        Of all windows.
    target : ndarray, shape (n, roi)
        Of all windows; read in the training part only.
    train, test : ndarray of int
        Rows.
    units : ndarray, shape (n,)
        Subject or scan of each window.

    Returns
    -------
    ndarray, shape (n_test, roi)
    """
    model = _fitted(features[train], target[train], units[train])
    return np.asarray(model.predict(features[test]))


def _fitted(features: FloatArray, target: FloatArray, groups: AnyArray) -> RidgeProbe:
    if len(np.unique(groups)) < 2:
        # one scan: consecutive stretches, of which only neighbours share samples
        groups = np.arange(len(features)) * _STRETCHES // len(features)
    return RidgeProbe().fit(features, target, groups=groups)


def baseline_learner(
    name: str,
) -> Callable[[PairedWindows], Callable[[PairedWindows], FloatArray]]:
    """A baseline as a function from training windows to a function of windows.

    What :func:`neuro.evaluate.crossmodal.occlude` and streams can call.

    Parameters
    ----------
    name : str
        Of :data:`BASELINES`.

    Returns
    -------
    callable(PairedWindows) -> callable(PairedWindows) -> ndarray, shape (n, roi)

    Raises
    ------
    ConfigError
        If there is no such baseline.

    Examples
    --------
    >>> from neuro.data import pair
    >>> from neuro.datasets import synthetic
    >>> made = synthetic.eeg_fmri(0, n_scans=1, n_volumes=30, sfreq=100)
    >>> pairs = pair(made.recordings, window_s=16)
    >>> baseline_learner("zero_lag_ridge")(pairs)(pairs).shape
    (22, 3)
    """
    if name not in BASELINES:
        raise ConfigError(f"No baseline {name!r}. {did_you_mean(name, BASELINES)}")
    features = BASELINES[name].features

    def learn(train: PairedWindows) -> Callable[[PairedWindows], FloatArray]:
        target = np.asarray(train.target, dtype=np.float64)
        if features is None:
            return lambda pairs: np.repeat(target.mean(axis=0)[None], len(pairs), axis=0)
        units = train.recording
        model = _fitted(features(BandPowers(train)), target, units)
        return lambda pairs: np.asarray(model.predict(features(BandPowers(pairs))))

    return learn


# ---- what is no brain signal -----------------------------------------------------------


def physio(pairs: PairedWindows) -> FloatArray:
    """Heart rate, and size and level of eyes and motion, each second of every window.

    Parameters
    ----------
    pairs : PairedWindows
        With channels or streams of type eog, ecg, emg, resp, ppg, gsr or
        motion.

    Returns
    -------
    ndarray, shape (n_windows, n_features)

    Raises
    ------
    DataError
        If there is none, or recordings differ in them.
    """
    parts: list[FloatArray | None] = [None] * len(pairs)
    for r in range(len(pairs.recordings)):
        rows = np.flatnonzero(pairs.recording == r)
        if len(rows):
            found = _physio_of(pairs, r, rows)
            for row, values in zip(rows.tolist(), found, strict=True):
                parts[row] = values
    widths = {len(p) for p in parts if p is not None}
    if widths == {0} or len(widths) != 1:
        raise DataError(
            "Recordings hold no heart, eye or motion channel, or not the same ones: leave "
            "'physio' out of baselines=."
        )
    return np.stack([p for p in parts if p is not None])


def _physio_streams(pairs: PairedWindows, r: int) -> list[str]:
    return [
        name
        for name, stream in pairs.recordings[r].streams.items()
        if name != pairs.stream
        and isinstance(stream, Regular)
        and any(kind in _PHYSIO for kind in stream.axis.types)
    ]


def _physio_of(pairs: PairedWindows, r: int, rows: IntArray) -> FloatArray:
    """Features of one recording's windows, (n_rows, n_features)."""
    rec = pairs.recordings[r]
    end = pairs.session_time(pairs.stop[rows], pairs.recording[rows])
    n_bins = max(1, int(pairs.length_s / _BIN_S))
    edges = end[:, None] - np.arange(n_bins, -1, -1) * _BIN_S
    out = []
    names = _physio_streams(pairs, r)
    if np.isin(pairs.axis.types, _PHYSIO).any():
        names.append(pairs.stream)
    for name in sorted(names):
        stream = rec.regular(name)
        t = rec.clock(name).to_session(stream.time(np.arange(stream.n_times)))
        for row, kind in enumerate(stream.axis.types):
            if kind not in _PHYSIO:
                continue
            x = np.nan_to_num(np.asarray(stream.read(0, stream.n_times, np.array([row])))[0])
            x = x.astype(np.float64)
            if kind == "ecg":
                out.append(_heart_rate(t[heart_beats(x, stream.sfreq)], edges))
                continue
            # sums up to each edge: means of any stretch are differences
            at = np.searchsorted(t, edges)
            n = np.maximum(np.diff(at, axis=1), 1)
            total = [np.diff(np.concatenate([[0.0], np.cumsum(v)])[at], axis=1) / n
                     for v in (x, np.abs(x - np.median(x)))]  # fmt: skip
            out.append(np.concatenate([total[0], np.log(total[1] + 1e-12)], axis=1))
    return np.concatenate(out, axis=1) if out else np.zeros((len(rows), 0))


def _heart_rate(beat_s: FloatArray, edges: FloatArray) -> FloatArray:
    """Beats a second in the middle of each bin, from the intervals between beats."""
    middle = (edges[:, 1:] + edges[:, :-1]) / 2
    if len(beat_s) < 3:
        return np.zeros_like(middle)
    rate = 1 / np.maximum(np.diff(beat_s), 1e-3)
    return np.asarray(np.interp(middle, (beat_s[1:] + beat_s[:-1]) / 2, rate))
