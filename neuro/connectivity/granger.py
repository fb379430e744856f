"""Granger causality: in time, by frequency, and against reversed time.

The variance without a source follows exactly from the full model (a Riccati
equation, Barnett & Seth 2015) instead of from a second fit of finite order, whose
bias and variance would not cancel. Spectra are always factorised on the whole grid
from 0 Hz to the Nyquist frequency and cut afterwards.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.connectivity._epochs import (
    Epochs,
    Trials,
    as_epochs,
    check_average,
    check_sfreq,
)
from neuro.connectivity._models import Bands, Order, VarFit, fit_models, grid
from neuro.connectivity.measure import Average, Estimate, Measure
from neuro.errors import DataError
from neuro.signal._segments import check_choice
from neuro.signal.ar import VAR, fit_var
from neuro.signal.cross import cross_spectrum
from neuro.typing import AnyArray, IntArray

__all__ = ["GRANGER", "granger", "granger_reversed", "granger_spectral", "reduced_cov"]

_Real: TypeAlias = NDArray[np.float64]
_Complex: TypeAlias = NDArray[np.complex128]
_MAX_STEPS = 60


def _riccati(a: _Real, g: _Real, q: _Real) -> _Real:
    """Stabilising solution of ``P = a' P (I + g P)^-1 a + q`` by doubling.

    Each step doubles the number of samples looked back, so a dozen suffice.
    """
    eye, p = np.eye(len(a)), q
    for _ in range(_MAX_STEPS):
        solved = np.linalg.solve(eye + g @ p, np.concatenate([a, g], axis=1))
        w, v = solved[:, : len(a)], solved[:, len(a) :]
        step = a.T @ p @ w
        p, g, a = p + (step + step.T) / 2, g + a @ v @ a.T, a @ w
        if np.abs(step).max() <= 1e-15 * np.abs(p).max():
            return p
    raise DataError(
        "The prediction error without a source did not converge: the model is too close to "
        "instability. High-pass the signal or lower the order."
    )


def reduced_cov(model: VAR, keep: Sequence[int] | IntArray) -> _Real:
    """Innovation covariance of some channels predicted from their own past alone.

    Parameters
    ----------
    model : VAR
        Stable model of all channels.
    keep : sequence of int
        Channels that stay observed.

    Returns
    -------
    float64 array, shape (len(keep), len(keep))
        What no model of the kept channels, of any order, can undercut.

    Raises
    ------
    DataError
        The recursion does not converge.

    Examples
    --------
    >>> model = VAR(np.array([[[0.5, 0.0], [0.6, 0.5]]]), np.eye(2), np.zeros(2), 1000)
    >>> round(float(np.log(reduced_cov(model, [1])[0, 0])), 5)  # Granger causality 0 -> 1
    0.36179
    """
    index = np.asarray(keep)
    size, m = model.order * model.n_chans, model.n_chans
    observe = model.coefs[:, index, :].transpose(1, 0, 2).reshape(len(index), size)
    noise = model.cov[np.ix_(index, index)]
    gain = np.linalg.solve(noise, model.cov[index]).T  # of all innovations on the kept ones
    drift = model.companion
    drift[:m] -= gain @ observe
    q = np.zeros((size, size))
    q[:m, :m] = model.cov - gain @ model.cov[index]
    p = _riccati(drift.T, observe.T @ np.linalg.solve(noise, observe), (q + q.T) / 2)
    return np.asarray(observe @ p @ observe.T + noise)


def _log_ratio(reduced: _Real, full: _Real) -> _Real:
    # the ratio is at least 1 in exact arithmetic
    return np.asarray(np.maximum(np.log(reduced / full), 0.0))


def _conditional(model: VAR) -> _Real:
    """F of every pair given all other channels; rows are sources."""
    m = model.n_chans
    out = np.zeros((m, m))
    full = np.diagonal(model.cov)
    for source in range(m):
        keep = np.delete(np.arange(m), source)
        out[source, keep] = _log_ratio(np.diagonal(reduced_cov(model, keep)), full[keep])
    return out


def _pairwise(trials: Sequence[AnyArray], order: int, ridge: float) -> _Real:
    """F of every pair from its own bivariate model; rows are sources."""
    m = trials[0].shape[0]
    out = np.zeros((m, m))
    for i in range(m):
        for j in range(i + 1, m):
            part = _conditional(fit_var([t[[i, j]] for t in trials], order, ridge=ridge))
            out[i, j], out[j, i] = part[0, 1], part[1, 0]
    return out


def _prepare(
    x: Trials, sfreq: float, average: str, ch_names: Sequence[str] | None
) -> tuple[Epochs, float]:
    check_average(average)
    return as_epochs(x, ch_names=ch_names), check_sfreq(sfreq)


def _matrix(
    parts: list[_Real], average: Average, fit: VarFit, epochs: Epochs, **attrs: Any
) -> Estimate:
    by_trial = average == "time"
    return Estimate(
        np.stack(parts) if by_trial else parts[0],
        (*(("trial",) if by_trial else ()), "source", "target"),
        n_windows=1 if by_trial else len(epochs.trials),
        n_eff=fit.n_eff,
        attrs=MappingProxyType({**fit.attrs, **attrs}),
    )


def granger(
    x: Trials,
    sfreq: float,
    *,
    average: Average,
    order: Order = "bic",
    max_order: int | None = None,
    ridge: float = 0.0,
    conditional: bool = True,
    ch_names: Sequence[str] | None = None,
) -> Estimate:
    """Granger causality in the time domain, in nats.

    ``F = ln(var(e without the source's past) / var(e))``. Do not band-pass first.

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times), or list of (n_chans, n_times)
        Trials; lags never cross them.
    sfreq : float
        Sampling rate in Hz (kept for the record; F does not depend on it).
    average : "trials" or "time"
        One model over all trials, or one a trial.
    order, max_order, ridge
        As in :func:`neuro.connectivity.directed.directed_connectivity`.
    conditional : bool
        Given the past of all other channels (direct links), or of the pair alone.
    ch_names : sequence of str or None
        Names for messages.

    Returns
    -------
    Estimate
        Values ([trial,] source, target) >= 0, diagonal 0. Under no causality
        ``n_eff * F`` is about chi-squared with ``order`` degrees of freedom.

    Raises
    ------
    DataError
        Redundant or constant channels, too few samples, or an unstable model.

    Examples
    --------
    >>> e = np.random.default_rng(0).standard_normal((2, 3000))
    >>> for t in range(1, 3000):
    ...     e[1, t] += 0.8 * e[0, t - 1]
    >>> f = granger(e, 100, average="trials", order=2).values
    >>> bool(abs(f[0, 1] - np.log(1.64)) < 0.05), bool(f[1, 0] < 0.01)
    (True, True)
    """
    epochs, _ = _prepare(x, sfreq, average, ch_names)
    fit = fit_models(epochs, average, order, max_order=max_order, ridge=ridge)
    if conditional:
        parts = [_conditional(model) for model in fit.models]
    else:
        parts = [_pairwise(trials, fit.order, ridge) for trials in fit.groups]
    return _matrix(parts, average, fit, epochs, conditional=conditional)


def granger_reversed(
    x: Trials,
    sfreq: float,
    *,
    average: Average,
    order: Order = "bic",
    max_order: int | None = None,
    ridge: float = 0.0,
    conditional: bool = True,
    ch_names: Sequence[str] | None = None,
) -> Estimate:
    """Net Granger causality minus that of reversed time (Winkler et al. 2016).

    Mixtures of independent sources have the same net value in both directions of
    time, so what remains is not explained by volume conduction or noise.

    Parameters
    ----------
    x, sfreq, average, order, max_order, ridge, conditional, ch_names
        As in :func:`granger`.

    Returns
    -------
    Estimate
        Values ([trial,] source, target) ``(F_ij - F_ji) - (F_ij - F_ji of reversed
        time)``: positive where i leads j; antisymmetric.

    Raises
    ------
    DataError
        As :func:`granger`.

    Examples
    --------
    >>> e = np.random.default_rng(0).standard_normal((2, 3000))
    >>> for t in range(1, 3000):
    ...     e[1, t] += 0.8 * e[0, t - 1]
    >>> bool(granger_reversed(e, 100, average="trials", order=2).values[0, 1] > 0.5)
    True
    """
    options: dict[str, Any] = {
        "average": average,
        "max_order": max_order,
        "ridge": ridge,
        "conditional": conditional,
        "ch_names": ch_names,
    }
    ahead = granger(x, sfreq, order=order, **options)
    turned = [t[:, ::-1] for t in as_epochs(x).trials]
    back = granger(turned, sfreq, order=int(ahead.attrs["order"]), **options)
    net = ahead.values - np.swapaxes(ahead.values, -1, -2)
    mirrored = back.values - np.swapaxes(back.values, -1, -2)
    return Estimate(net - mirrored, ahead.dims, None, (), ahead.n_windows, ahead.n_eff, ahead.attrs)


def _geweke(h: _Complex, cov: _Real, target: int) -> _Real:
    """Spectral Granger causality of the other channel on ``target``; (..., n_freqs)."""
    source = 1 - target
    power = (h @ cov[..., np.newaxis, :, :] @ h.conj().swapaxes(-1, -2))[..., target, target].real
    own = cov[..., source, source] - cov[..., 0, 1] ** 2 / cov[..., target, target]
    caused = own[..., np.newaxis] * np.abs(h[..., target, source]) ** 2
    # rounding may push what is left over a hair above the whole
    return np.asarray(-np.log1p(-np.minimum(caused / power, 1 - 1e-15)))


def _var_pairs(
    trials: Sequence[AnyArray], order: int, ridge: float, freqs: _Real, fs: float
) -> _Real:
    m = trials[0].shape[0]
    out = np.zeros((len(freqs), m, m))
    for i in range(m):
        for j in range(i + 1, m):
            model = fit_var([t[[i, j]] for t in trials], order, ridge=ridge)
            _, h = model.transfer(freqs, fs)
            out[:, i, j] = _geweke(np.asarray(h), model.cov, 1)
            out[:, j, i] = _geweke(np.asarray(h), model.cov, 0)
    return out


def _wilson(s: _Complex) -> tuple[_Complex, _Real]:
    """Minimum-phase factors of spectra on the grid 0..Nyquist (Wilson 1972), batched.

    ``s`` is (n_pairs, n_freqs, 2, 2); returns H with the same shape and the
    innovation covariance (n_pairs, 2, 2).
    """
    n = 2 * (s.shape[1] - 1)
    gamma0 = np.fft.irfft(s, n, axis=1)[:, 0]
    psi = np.broadcast_to(
        np.linalg.cholesky((gamma0 + gamma0.swapaxes(-1, -2)) / 2)[:, np.newaxis], s.shape
    ).astype(np.complex128)
    eye = np.eye(2)
    for _ in range(_MAX_STEPS):
        inverse = np.linalg.inv(psi)
        g = inverse @ s @ inverse.conj().swapaxes(-1, -2) + eye
        lags = np.fft.irfft(g, n, axis=1)
        lags[:, 0] = np.triu(lags[:, 0]) - 0.5 * np.eye(2) * lags[:, 0]
        lags[:, n // 2] *= 0.5
        lags[:, n // 2 + 1 :] = 0
        new = psi @ np.fft.rfft(lags, n, axis=1)
        change = np.abs(new - psi).max() / np.abs(new).max()
        psi = new
        if change < 1e-10:
            break
    else:
        raise DataError(
            "The spectrum could not be factorised: windows are too few or two channels are "
            "almost copies. Use more windows, a wider bandwidth, or estimator='var'."
        )
    first = np.fft.irfft(psi, n, axis=1)[:, 0]
    h = psi @ np.linalg.inv(first)[:, np.newaxis]
    return h, np.asarray(first @ first.swapaxes(-1, -2))


def _wilson_pairs(trials: Sequence[AnyArray], fs: float, n_freqs: int) -> _Real:
    lengths = {t.shape[1] for t in trials}
    n = 2 * (n_freqs - 1)
    if min(lengths) < n:
        raise DataError(
            f"n_freqs={n_freqs} needs windows of {n} samples, but a trial has {min(lengths)}; "
            "lower n_freqs."
        )
    m = trials[0].shape[0]
    total, count = np.zeros((n_freqs, m, m), np.complex128), 0
    for trial in trials:
        windows = 1 + (trial.shape[1] - n) // (n // 2)
        density = cross_spectrum(trial, fs, method="multitaper", length_s=n / fs)[1]
        total, count = total + windows * density, count + windows
    total /= count
    total[1:-1] /= 2  # two-sided
    total[0] = total[1].real  # windows are centred, which empties 0 Hz
    rows, columns = np.triu_indices(m, 1)
    pair = np.stack([rows, columns], axis=1)
    s = total[:, pair[:, :, np.newaxis], pair[:, np.newaxis, :]].transpose(1, 0, 2, 3)
    h, cov = _wilson(s)
    out = np.zeros((n_freqs, m, m))
    out[:, rows, columns] = _geweke(h, cov, 1).T
    out[:, columns, rows] = _geweke(h, cov, 0).T
    return out


def granger_spectral(
    x: Trials,
    sfreq: float,
    *,
    average: Average,
    estimator: Literal["var", "wilson"] = "var",
    order: Order = "bic",
    max_order: int | None = None,
    ridge: float = 0.0,
    bands: Bands | None = None,
    fmin: float | None = None,
    fmax: float | None = None,
    n_freqs: int | None = None,
    ch_names: Sequence[str] | None = None,
) -> Estimate:
    """Pairwise Granger causality by frequency (Geweke 1982), in nats.

    Its mean over 0 Hz to the Nyquist frequency is the time-domain value of the pair.

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times), or list of (n_chans, n_times)
        Trials.
    sfreq : float
        Sampling rate in Hz.
    average : "trials" or "time"
        One estimate over all trials, or one a trial.
    estimator : "var" or "wilson"
        A bivariate model of each pair, or Wilson's factorisation of multitaper
        spectra, which needs no order.
    order, max_order, ridge
        "var" only, as in :func:`granger`.
    bands : mapping of name to (low, high), or None
        Half-open bands in Hz over which values are averaged.
    fmin, fmax : float or None
        Range to report; never changes a value.
    n_freqs : int or None
        Points of the grid from 0 to the Nyquist frequency; None is 257, for
        "wilson" fewer where trials are short.
    ch_names : sequence of str or None
        Names for messages.

    Returns
    -------
    Estimate
        Values ([trial,] n_freqs or n_bands, source, target) >= 0, diagonal 0.

    Raises
    ------
    DataError
        As :func:`granger`; or the factorisation does not converge.

    Examples
    --------
    >>> e = np.random.default_rng(0).standard_normal((2, 3000))
    >>> for t in range(1, 3000):
    ...     e[1, t] += 0.8 * e[0, t - 1]
    >>> f = granger_spectral(e, 100, average="trials", order=2).values
    >>> bool(abs(f[:, 0, 1].mean() - np.log(1.64)) < 0.05)
    True
    """
    check_choice("estimator", estimator, ("var", "wilson"))
    epochs, fs = _prepare(x, sfreq, average, ch_names)
    shortest = min(t.shape[1] for t in epochs.trials)
    points = 257 if n_freqs is None else n_freqs
    if estimator == "wilson" and n_freqs is None:
        points = min(points, shortest // 2 + 1)
    frequencies = grid(fs, points, fmin, fmax, bands)
    split = [[t] for t in epochs.trials] if average == "time" else [epochs.trials]
    n = 1 if average == "time" else len(epochs.trials)
    if estimator == "var":
        fit = fit_models(epochs, average, order, max_order=max_order, ridge=ridge)
        parts = [_var_pairs(trials, fit.order, ridge, frequencies.freqs, fs) for trials in split]
        attrs, n_eff = fit.attrs, fit.n_eff
    else:
        parts = [_wilson_pairs(trials, fs, points) for trials in split]
        attrs = {"estimator": "wilson", "average": average, "n_dropped": epochs.n_dropped}
        n_eff = float(min(sum(t.shape[1] for t in trials) for trials in split))
    values = np.stack(parts) if average == "time" else parts[0]
    return frequencies.estimate(values, average, attrs, n, n_eff)


GRANGER: Mapping[str, Measure] = MappingProxyType(
    {
        "granger": Measure(
            "granger",
            granger,
            directed=True,
            unit="nats",
            range=(0.0, float("inf")),
            signed=False,
            needs="var",
            min_windows=1,
            reference="Granger 1969; state-space form of Barnett & Seth 2015",
            symmetry="none",
        ),
        "granger_reversed": Measure(
            "granger_reversed",
            granger_reversed,
            directed=True,
            unit="nats",
            range=(float("-inf"), float("inf")),
            signed=True,
            needs="var",
            min_windows=1,
            reference="Winkler et al. 2016",
            symmetry="antisymmetric",
        ),
        "granger_spectral": Measure(
            "granger_spectral",
            granger_spectral,
            directed=True,
            unit="nats",
            range=(0.0, float("inf")),
            signed=False,
            needs="var",
            min_windows=1,
            reference="Geweke 1982; Wilson 1972 for the non-parametric path",
            symmetry="none",
        ),
    }
)
"""The Granger family by name."""
