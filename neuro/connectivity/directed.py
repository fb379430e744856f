"""Directed spectral connectivity from vector autoregressive models.

PDC shows direct links only; DTF also those that pass through other channels.
Formulas are written with rows = targets, as in the literature, and transposed once
at the end: in every result rows are sources and columns targets.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.connectivity._epochs import Trials, as_epochs, check_average, check_sfreq
from neuro.connectivity._models import Bands, Order, by_source, fit_models, grid
from neuro.connectivity.granger import GRANGER
from neuro.connectivity.measure import Average, Estimate, Measure
from neuro.errors import ConfigError, did_you_mean
from neuro.signal.ar import VAR
from neuro.typing import FloatArray

__all__ = ["DIRECTED", "directed_connectivity", "pdc_of"]

_Complex: TypeAlias = NDArray[np.complex128]
_Formula: TypeAlias = Callable[[_Complex, _Complex, NDArray[np.float64]], FloatArray]


def pdc_of(a: _Complex) -> FloatArray:
    """PDC from ``A(f)``: ``|A_ij|`` over the norm of its column (all that j sends).

    Parameters
    ----------
    a : complex128 array, shape (n_freqs, n_chans, n_chans)
        Rows are targets.

    Returns
    -------
    float64 array, shape (n_freqs, n_chans, n_chans)
        Rows are targets.
    """
    size = np.abs(a)
    return np.asarray(size / np.sqrt((size**2).sum(axis=-2, keepdims=True)))


def _pdc(a: _Complex, h: _Complex, cov: NDArray[np.float64]) -> FloatArray:
    return pdc_of(a)


def _gpdc(a: _Complex, h: _Complex, cov: NDArray[np.float64]) -> FloatArray:
    return pdc_of(a / np.sqrt(np.diagonal(cov))[:, np.newaxis])


def _dtf(a: _Complex, h: _Complex, cov: NDArray[np.float64]) -> FloatArray:
    size = np.abs(h)
    return np.asarray(size / np.sqrt((size**2).sum(axis=-1, keepdims=True)))


def _ffdtf(a: _Complex, h: _Complex, cov: NDArray[np.float64]) -> FloatArray:
    size = np.abs(h)
    return np.asarray(size / np.sqrt((size**2).sum(axis=(0, 2), keepdims=True)))


def _ddtf(a: _Complex, h: _Complex, cov: NDArray[np.float64]) -> FloatArray:
    # the inverse of S = H cov H^H is A^H cov^-1 A: no second inversion
    inverse = a.conj().transpose(0, 2, 1) @ np.linalg.inv(cov) @ a
    power = np.sqrt(np.diagonal(inverse, axis1=-2, axis2=-1).real)
    partial_coherence = np.abs(inverse) / (power[:, :, np.newaxis] * power[:, np.newaxis, :])
    return np.asarray(_ffdtf(a, h, cov) * partial_coherence)


_FORMULA: Mapping[str, _Formula] = MappingProxyType(
    {"pdc": _pdc, "gpdc": _gpdc, "dtf": _dtf, "ffdtf": _ffdtf, "ddtf": _ddtf}
)


def _values(model: VAR, name: str, freqs: NDArray[np.float64], fs: float) -> FloatArray:
    a, h = model.transfer(freqs, fs)
    return by_source(_FORMULA[name](a, h, model.cov))


def directed_connectivity(
    x: Trials,
    sfreq: float,
    methods: Sequence[str],
    *,
    average: Average,
    order: Order = "bic",
    max_order: int | None = None,
    ridge: float = 0.0,
    bands: Bands | None = None,
    fmin: float | None = None,
    fmax: float | None = None,
    n_freqs: int = 257,
    ch_names: Sequence[str] | None = None,
) -> dict[str, Estimate]:
    """Several directed measures from one vector autoregressive model.

    Do not band-pass the signal first (the model order explodes): choose ``bands``.

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times), or list of (n_chans, n_times)
        Trials; lags never cross them. A trial with NaN is left out whole.
    sfreq : float
        Sampling rate in Hz.
    methods : sequence of str
        "pdc", "gpdc" (invariant to the scale of channels), "dtf", "ffdtf", "ddtf".
    average : "trials" or "time"
        One model over all trials, or one a trial.
    order : int or "aic", "bic", "hq"
        Number of lags or the criterion that chooses it.
    max_order : int or None
        Largest order tried.
    ridge : float
        As in :func:`neuro.signal.ar.fit_var`.
    bands : mapping of name to (low, high), or None
        Half-open bands in Hz over which values are averaged.
    fmin, fmax : float or None
        Range to report without bands.
    n_freqs : int
        Points of the grid from 0 to the Nyquist frequency. "ffdtf" and "ddtf" are
        normalised over all of them, so they scale with ``1 / sqrt(n_freqs)``.
    ch_names : sequence of str or None
        Names for messages.

    Returns
    -------
    dict of str to Estimate
        Values (n_freqs or n_bands, source, target), with a leading trial axis where
        ``average="time"``; attrs hold order, spectral radius and whiteness p.

    Raises
    ------
    DataError
        Redundant or constant channels, too few samples, an unstable model, a band
        above the Nyquist frequency.
    ConfigError
        Unknown measure or option.

    Examples
    --------
    >>> e = np.random.default_rng(0).standard_normal((2, 3000))
    >>> for t in range(1, 3000):
    ...     e[1, t] += 0.8 * e[0, t - 1]
    >>> pdc = directed_connectivity(e, 100, ["pdc"], average="trials", order=1)["pdc"].values
    >>> bool(pdc[:, 0, 1].min() > 0.5), bool(pdc[:, 1, 0].max() < 0.1)  # only 0 drives 1
    (True, True)
    """
    if isinstance(methods, str) or not methods:
        raise ConfigError("methods must be a sequence of names, for instance ('pdc', 'dtf')")
    for name in methods:
        if name not in _FORMULA:
            raise ConfigError(f"Measure {name!r} is not known. {did_you_mean(name, _FORMULA)}")
    check_average(average)
    fs = check_sfreq(sfreq)
    frequencies = grid(fs, n_freqs, fmin, fmax, bands)
    epochs = as_epochs(x, ch_names=ch_names)
    fit = fit_models(epochs, average, order, max_order=max_order, ridge=ridge)
    out = {}
    for name in methods:
        parts = [_values(model, name, frequencies.freqs, fs) for model in fit.models]
        values = np.stack(parts) if average == "time" else parts[0]
        n = 1 if average == "time" else len(epochs.trials)
        out[name] = frequencies.estimate(values, average, fit.attrs, n, fit.n_eff)
    return out


def _single(x: Trials, sfreq: float, *, name: str, **options: Any) -> Estimate:
    return directed_connectivity(x, sfreq, (name,), **options)[name]


def _measure(name: str, reference: str) -> Measure:
    return Measure(
        name,
        partial(_single, name=name),
        directed=True,
        unit="1",
        range=(0.0, 1.0),
        signed=False,
        needs="var",
        min_windows=1,
        reference=reference,
        symmetry="none",
        diagonal=float("nan"),  # of a model, not fixed: what a channel keeps to itself
    )


DIRECTED: Mapping[str, Measure] = MappingProxyType(
    {
        "pdc": _measure("pdc", "Baccala & Sameshima 2001"),
        "gpdc": _measure("gpdc", "Baccala et al. 2007"),
        "dtf": _measure("dtf", "Kaminski & Blinowska 1991"),
        "ffdtf": _measure("ffdtf", "Korzeniewska et al. 2003, full-frequency DTF"),
        "ddtf": _measure("ddtf", "Korzeniewska et al. 2003, direct DTF"),
        **GRANGER,
    }
)
"""Directed measures by name: from models, and the Granger family."""
