"""Correlation of amplitude envelopes, with or without orthogonalisation.

Signals that mix at the sensors share amplitude at zero lag. Before a pair is
correlated, the part of one in phase with the other is removed sample by sample
(Hipp et al. 2012), in both directions, and the two results are averaged.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.connectivity._epochs import Trials, as_epochs, check_average, check_sfreq
from neuro.connectivity.measure import Average, Estimate, Measure
from neuro.errors import ConfigError, DataError
from neuro.signal import apply_filter, bandpass
from neuro.typing import AnyArray

__all__ = ["ENVELOPE", "envelope_correlation"]

_Real: TypeAlias = NDArray[np.float64]
_BLOCK = 1 << 20


def _analytic(trial: AnyArray, fs: float, band: tuple[float, float]) -> NDArray[np.complex128]:
    """Analytic signal of the band, without the stretch in which filters settle."""
    from scipy.signal import hilbert

    low, high = band
    trim = round(fs / (high - low))  # the envelope of a band cannot change faster than its width
    if trial.shape[1] < 5 * trim:
        raise DataError(
            f"Trials of {trial.shape[1] / fs:g} s are too short for the envelope of "
            f"{low:g}-{high:g} Hz: {5 * trim / fs:g} s are needed. Use longer trials or a wider "
            "band."
        )
    filtered = apply_filter(np.asarray(trial, np.float64), bandpass(low, high, fs))
    z = np.asarray(hilbert(filtered, axis=-1), np.complex128)
    return z[:, trim : z.shape[-1] - trim]


def _scores(power: _Real, log: bool) -> _Real:
    """Rows of zero mean and unit length, of the log power or the amplitude."""
    with np.errstate(divide="ignore"):
        values = np.log(power) if log else np.sqrt(power)
    if log:  # a sample of exactly no power says only that it is the lowest
        values = np.where(np.isfinite(values), values, np.log(np.finfo(np.float64).tiny))
    values = values - values.mean(axis=-1, keepdims=True)
    size = np.sqrt((values**2).sum(axis=-1, keepdims=True))
    return np.asarray(values / (size + (size == 0)))


def _orthogonal(z: NDArray[np.complex128], log: bool) -> _Real:
    """Correlation of each channel's envelope with the others', made orthogonal to it."""
    n_chans, n = z.shape
    size = np.abs(z)
    unit = z.conj() / (size + (size == 0))
    own = _scores(size**2, log)
    total = (size**2).sum(axis=1)
    out = np.zeros((n_chans, n_chans))
    block = max(1, _BLOCK // n)
    for i in range(n_chans):
        for start in range(0, n_chans, block):
            part = slice(start, start + block)
            across = (z[part] * unit[i]).imag ** 2  # what of each is a quarter cycle off i
            row = _scores(across, log) @ own[i]
            # an exact copy leaves rounding, and the envelope of rounding is no signal
            out[i, part] = np.where(across.sum(axis=1) > 1e-20 * total[part], row, 0.0)
    np.fill_diagonal(out, 0.0)
    return (out + out.T) / 2


def _plain(z: NDArray[np.complex128], log: bool) -> _Real:
    scores = _scores(np.abs(z) ** 2, log)
    out = scores @ scores.T
    np.fill_diagonal(out, 1.0)
    return np.asarray(np.clip(out, -1.0, 1.0))


def envelope_correlation(
    x: Trials,
    sfreq: float,
    *,
    average: Average,
    bands: Mapping[str, tuple[float, float]],
    orthogonal: bool = True,
    scale: Literal["log", "amplitude"] = "log",
    ch_names: Sequence[str] | None = None,
) -> Estimate:
    """Correlation of band-limited amplitude envelopes of all pairs.

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times), or list of (n_chans, n_times)
        Trials, some cycles of the envelope long; each is filtered on its own.
    sfreq : float
        Sampling rate in Hz.
    average : "trials" or "time"
        Mean over trials of the correlation along time, or one matrix a trial.
    bands : mapping of name to (low, high)
        Bands in Hz.
    orthogonal : bool
        Remove the zero-lag part of each pair first (Hipp et al. 2012).
    scale : "log" or "amplitude"
        What is correlated: log power, or the amplitude itself.
    ch_names : sequence of str or None
        Names for messages.

    Returns
    -------
    Estimate
        Values ([trial,] band, source, target), symmetric; diagonal 0 where
        orthogonal (a channel has nothing orthogonal to itself), else 1. Orthogonal
        values underestimate: a true 1 becomes about 0.58 on the log scale.

    Raises
    ------
    DataError
        Trials too short, a band above the Nyquist frequency, constant channels.
    ConfigError
        No band, or an unknown option.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((2, 3, 2000))
    >>> r = envelope_correlation(x, 200, average="trials", bands={"alpha": (8, 13)}).values
    >>> r.shape, bool(abs(r).max() < 0.3)
    ((1, 3, 3), True)
    """
    check_average(average)
    if scale not in ("log", "amplitude"):
        raise ConfigError(f"scale={scale!r} must be 'log' or 'amplitude'.")
    fs = check_sfreq(sfreq)
    if not bands:
        raise ConfigError("Envelopes need bands=: name at least one (low, high) in Hz.")
    for name, (low, high) in bands.items():
        if not 0 < low < high:
            raise ConfigError(f"Band {name!r} is ({low}, {high}); it needs 0 < low < high.")
        if high >= fs / 2:
            raise DataError(
                f"Band {name!r} ends at {high:g} Hz; it must lie below the Nyquist frequency "
                f"{fs / 2:g} Hz."
            )
    epochs = as_epochs(x, ch_names=ch_names)
    correlate = _orthogonal if orthogonal else _plain
    parts = [
        np.stack([correlate(_analytic(t, fs, band), scale == "log") for band in bands.values()])
        for t in epochs.trials
    ]
    by_trial = average == "time"
    samples = min(t.shape[1] for t in epochs.trials) * (1 if by_trial else len(parts))
    widest = max(high - low for low, high in bands.values())
    return Estimate(
        np.stack(parts) if by_trial else np.mean(parts, axis=0),
        (*(("trial",) if by_trial else ()), "band", "source", "target"),
        np.array([(low + high) / 2 for low, high in bands.values()]),
        tuple(bands),
        1 if by_trial else len(parts),
        max(1.0, samples / fs * widest),
        MappingProxyType(
            {
                "estimator": "hilbert",
                "average": average,
                "orthogonal": orthogonal,
                "scale": scale,
                "n_dropped": epochs.n_dropped,
                "kept_trials": tuple(epochs.kept.tolist()),
            }
        ),
    )


ENVELOPE: Mapping[str, Measure] = MappingProxyType(
    {
        "envelope_correlation": Measure(
            "envelope_correlation",
            envelope_correlation,
            directed=False,
            unit="1",
            range=(-1.0, 1.0),
            signed=True,
            needs="envelope",
            min_windows=1,
            reference="Hipp et al. 2012",
        )
    }
)
"""Envelope measures by name."""
