"""How the slow signal is filtered and scaled before it is predicted, and what may be seen then.

Two protocols. ``"paper"`` is how EEG-to-BOLD models were published: every scan
is low-passed forward and backward, centred and scaled as a whole, so that test
volumes shape the training volumes and their own scale. ``"strict"`` filters
the training and the test stretch of a scan apart and takes centre and scale
from the training part alone.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from neuro.data import PairedWindows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.signal import apply_filter, lowpass
from neuro.typing import BoolArray, FloatArray, IntArray

__all__ = ["Protocol", "check_varying", "prepared_targets", "whole_scan"]

Protocol = Literal["paper", "strict"]

_ORDER = 5
_QUANTILE = 0.95


def whole_scan(x: FloatArray, tr: float, lowpass_hz: float | None = 0.15) -> FloatArray:
    """A scan as NeuroBOLT's own code prepares it: nothing held back.

    Butterworth low-pass of order 5, forward and backward; the scan's mean
    taken off; division by the 95th percentile of the absolute value
    (arXiv 2410.05341 and its code).

    Parameters
    ----------
    x : ndarray, shape (roi, volume)
        One scan.
    tr : float
        Seconds between volumes.
    lowpass_hz : float or None
        Edge; None leaves the scan unfiltered.

    Returns
    -------
    float64 ndarray, shape (roi, volume)

    Raises
    ------
    DataError
        If the scan is too short for the filter, or a region is constant.

    Examples
    --------
    >>> x = np.sin(np.arange(200) / 9)[None] + 100
    >>> y = whole_scan(x, 2.1)
    >>> round(float(np.quantile(np.abs(y), 0.95)), 6)
    1.0
    """
    x = np.asarray(x, dtype=np.float64)
    if lowpass_hz is not None:
        x = _forward_backward(x, tr, lowpass_hz)
    x = x - x.mean(axis=1, keepdims=True)
    return np.asarray(x / _scale(np.abs(x), "this scan"))


def _forward_backward(x: FloatArray, tr: float, lowpass_hz: float) -> FloatArray:
    from scipy import signal

    b, a = signal.butter(_ORDER, lowpass_hz, fs=1 / tr)
    if x.shape[1] <= 3 * len(b):
        raise DataError(f"{x.shape[1]} volumes are too few for the low-pass at {lowpass_hz} Hz.")
    # scipy's own edges, not this package's: they are part of what was published
    return np.asarray(signal.filtfilt(b, a, x, axis=1))


def _scale(size: FloatArray, where: str) -> FloatArray:
    scale = np.quantile(size, _QUANTILE, axis=1, keepdims=True)
    if (scale <= 1e-12).any():
        at = int(np.flatnonzero(scale[:, 0] <= 1e-12)[0])
        raise DataError(f"Region {at} is constant in {where}: leave it out.")
    return np.asarray(scale)


def prepared_targets(
    pairs: PairedWindows,
    train: IntArray,
    test: IntArray,
    protocol: Protocol,
    *,
    lowpass_hz: float | None = 0.15,
    series: Sequence[FloatArray] | None = None,
) -> FloatArray:
    """Targets of all windows under one protocol; NaN outside the two parts if strict.

    Parameters
    ----------
    pairs : PairedWindows
        All windows.
    train, test : ndarray of int
        Rows of the two parts.
    protocol : {"strict", "paper"}
        See the module.
    lowpass_hz : float or None
        Edge of the low-pass, order 5, zero phase.
    series : sequence of ndarray, shape (roi, volume), optional
        Other courses of the scans than those measured (a simulation's
        noise-free ones), to be prepared the same way.

    Returns
    -------
    float64 ndarray, shape (n_windows, roi)

    Raises
    ------
    DataError
        If a stretch is too short for the filter, or a region is constant.
    ConfigError
        If there is no such protocol.
    """
    if protocol not in get_args(Protocol):
        raise ConfigError(
            f"No protocol {protocol!r}. {did_you_mean(str(protocol), get_args(Protocol))}"
        )
    whole = _series(pairs) if series is None else [np.asarray(x, np.float64) for x in series]
    out = np.full((len(pairs), len(pairs.target_axis)), np.nan)
    if protocol == "paper":
        for r, x in enumerate(whole):
            rows = np.flatnonzero(pairs.recording == r)
            if len(rows):
                tr = 1 / float(pairs.target_series(r).rate)
                out[rows] = whole_scan(x, tr, lowpass_hz)[:, pairs.target_sample[rows]].T
        return out
    for part in (train, test):
        for r in np.unique(pairs.recording[part]).tolist():
            rows = part[pairs.recording[part] == r]
            out[rows] = _stretches(pairs, r, rows, whole[r], lowpass_hz)
    centre = out[train].mean(axis=0)
    return np.asarray((out - centre) / _scale(np.abs(out[train] - centre).T, "training").T)


def _series(pairs: PairedWindows) -> list[FloatArray]:
    """The whole slow series of every recording, missing volumes filled from their neighbours."""
    found: list[FloatArray] = []
    for r in range(len(pairs.recordings)):
        x = np.asarray(pairs.target_series(r).values(), dtype=np.float64)
        for row in x:
            known = np.isfinite(row)
            if known.any() and not known.all():
                row[~known] = np.interp(np.flatnonzero(~known), np.flatnonzero(known), row[known])
        found.append(x)
    return found


def _stretches(
    pairs: PairedWindows, r: int, rows: IntArray, x: FloatArray, lowpass_hz: float | None
) -> FloatArray:
    """Each run of consecutive volumes among these rows, filtered by itself, (n_rows, roi)."""
    order = np.argsort(pairs.target_sample[rows])
    volume = pairs.target_sample[rows][order]
    y = x[:, volume]
    if lowpass_hz is not None:
        edges = np.flatnonzero(np.diff(volume) != 1) + 1
        bounds = np.concatenate([[0], edges, [len(volume)]])
        design = lowpass(lowpass_hz, pairs.target_series(r).rate, order=_ORDER)
        y = apply_filter(y, design, segments=np.stack([bounds[:-1], bounds[1:]], axis=1))
    out = np.empty((len(rows), len(x)))
    out[order] = y.T
    return out


def check_varying(pairs: PairedWindows) -> BoolArray:
    """Which regions can be predicted: neither marked bad nor empty.

    Parameters
    ----------
    pairs : PairedWindows
        All windows.

    Returns
    -------
    ndarray of bool, shape (roi,)

    Raises
    ------
    DataError
        If a region that is not marked bad is constant in a scan.
    """
    usable = np.ones(len(pairs.target_axis), dtype=bool)
    for r in range(len(pairs.recordings)):
        series = pairs.target_series(r)
        usable &= ~series.axis.bad & np.isfinite(series.values()).any(axis=1)
    for r in range(len(pairs.recordings)):
        x = pairs.target_series(r).values()
        flat = usable & (np.nanmax(np.where(usable[:, None], x, 0), axis=1) ==
                         np.nanmin(np.where(usable[:, None], x, 0), axis=1))  # fmt: skip
        if flat.any():
            name = pairs.target_axis.names[int(np.flatnonzero(flat)[0])]
            raise DataError(
                f"Region {name!r} is constant in {pairs.target_recordings[r].id!r}. Mark it bad "
                "in the stream's axis or leave it out: stream.take(rows)."
            )
    return usable
