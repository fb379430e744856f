"""Dynamic connectivity: windows in seconds, exponential weights, edges, phases.

Windows hold weighted moments, ``m = sum w x``, ``cov = sum w (x - m)(y - m)'``
with weights that sum to 1; multiplying the *signal* by the taper instead, as is
often done, weights by the square and needs a mean of zero in each window (an offset
of 100 then moves a correlation from 0.32 to 0.997). No window, filter or phase
crosses a segment border: kept stretches of a censored run are never spliced.

Choose a window no shorter than one period of the slowest frequency in the data
(100 s for a high-pass at 0.01 Hz), or the sliding itself makes fluctuations.
Results of different methods differ strongly: report more than one.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from neuro.connectivity.measure import Average, Estimate, Measure
from neuro.connectivity.phase import as_series, phase_coherence, phases, valid_samples
from neuro.connectivity.result import matrix_of, vector_of
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.signal._segments import check_segments
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = [
    "DYNAMIC",
    "Dynamic",
    "edge_series",
    "ewma_correlation",
    "taper_weights",
    "windowed_correlation",
]

Taper: TypeAlias = Literal["boxcar", "hann", "hamming", "gaussian", "tukey"]
_TAPERS = ("boxcar", "hann", "hamming", "gaussian", "tukey")
_COSINE = {"boxcar": (1.0, 0.0), "hann": (0.5, -0.5), "hamming": (0.54, -0.46)}
_ROWS = 8  # of the triangle a thread works on: sums of 8 x 400 pairs stay in its cache
_REFRESH = {np.dtype(np.float64): 4096, np.dtype(np.float32): 256}
_MATRIX_BYTES = 4 << 30


class Dynamic(NamedTuple):
    """Connectivity in time.

    ``values`` (n_windows, n_pairs) in upper-triangle order or (n_windows,
    n_chans, n_chans); ``centres_s`` (n_windows,) seconds from the first sample;
    ``run`` (n_windows,) the segment each came from.
    """

    values: FloatArray
    centres_s: FloatArray
    run: IntArray


def taper_weights(taper: str, n: int, *, sigma: float | None = None) -> FloatArray:
    """Weights of a window, with sum 1.

    Parameters
    ----------
    taper : "boxcar", "hann", "hamming", "gaussian" or "tukey"
        Hann and Hamming over a full period of their cosine, so that no weight
        but the first is 0; Tukey with a quarter of cosine at either end.
    n : int
        Samples.
    sigma : float, optional
        Standard deviation of the Gaussian in samples; a sixth of n by default.

    Returns
    -------
    float64 array, shape (n,)

    Raises
    ------
    ConfigError
        Unknown taper, fewer than 2 samples, or a sigma that is not its own.

    Examples
    --------
    >>> taper_weights("hann", 4).round(12).tolist()
    [0.0, 0.25, 0.5, 0.25]
    """
    if taper not in _TAPERS:
        raise ConfigError(f"taper={taper!r} is not known. {did_you_mean(str(taper), _TAPERS)}")
    if n < 2 or (sigma is not None and (taper != "gaussian" or sigma <= 0)):
        raise ConfigError(f"n={n} must be 2 or more, and sigma={sigma} above 0, for gaussian only.")
    t = np.arange(n)
    if taper in _COSINE:
        a0, a1 = _COSINE[taper]
        w = a0 + a1 * np.cos(2 * np.pi * t / n)
    elif taper == "gaussian":
        w = np.exp(-0.5 * ((t - (n - 1) / 2) / (n / 6 if sigma is None else sigma)) ** 2)
    else:
        from scipy.signal import windows as tapers

        w = np.asarray(tapers.tukey(n, 0.5, sym=False), dtype=np.float64)
    return np.asarray(w / w.sum())


def _standardised(x: FloatArray, ranges: IntArray) -> FloatArray:
    """Rows centred and scaled over the kept samples, as float64; refuses what cannot be."""
    kept = np.concatenate([x[:, a:b] for a, b in ranges.tolist()], axis=1)
    if not np.isfinite(kept).all():
        rows = np.flatnonzero(~np.isfinite(kept).all(axis=1))
        raise DataError(f"NaN or inf inside a segment, row(s) {rows[:8].tolist()}: cut it out.")
    mean = kept.mean(axis=1, keepdims=True)
    sd = kept.std(axis=1, keepdims=True)
    flat = np.flatnonzero(sd[:, 0] <= 1e-12 * np.abs(kept).max(axis=1))
    if len(flat):
        raise DataError(f"Row(s) {flat[:8].tolist()} are constant: they correlate with nothing.")
    return np.asarray((x - mean) / sd)


def _samples(seconds: float, sfreq: float, name: str, least: int) -> int:
    if not np.isfinite(sfreq) or sfreq <= 0:
        raise ConfigError(f"sfreq={sfreq} must be a positive rate in Hz (for fMRI: 1 / TR).")
    n = round(float(seconds) * sfreq)
    if n < least:
        raise ConfigError(
            f"{name}={seconds:g} s is {n} samples at {sfreq:.4g} Hz; at least {least} are needed."
        )
    return n


def windowed_correlation(
    x: AnyArray,
    sfreq: float,
    *,
    window_s: float = 60.0,
    step_s: float | None = None,
    taper: Taper = "hann",
    sigma_s: float | None = None,
    segments: AnyArray | None = None,
    form: Literal["vector", "matrix"] = "vector",
    dtype: Any = np.float64,
    threads: int | None = None,
) -> Dynamic:
    """Weighted correlations in windows that slide over each segment.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    sfreq : float
        Hz; 1 / TR for fMRI.
    window_s, step_s : float, float or None
        Seconds; a step of one sample by default.
    taper : str
        As in :func:`taper_weights`. Boxcar, Hann and Hamming cost the same for
        any window length.
    sigma_s : float, optional
        Of the Gaussian, seconds.
    segments : int array, shape (n, 2), optional
        Half-open sample ranges no window crosses; those shorter than a window
        give none.
    form : "vector" or "matrix"
        Upper triangles row by row, or whole matrices (twice the memory).
    dtype : float64 or float32
        Of the arithmetic and result; float32 is within 1e-5 and twice as fast.
    threads : int, optional
        All cores by default.

    Returns
    -------
    Dynamic
        NaN for a channel that is constant in a window.

    Raises
    ------
    DataError
        No segment is as long as a window, NaN in one, or a constant row.
    ConfigError
        An option out of range.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 200))
    >>> found = windowed_correlation(x, 0.5, window_s=60, taper="boxcar")
    >>> found.values.shape, float(found.centres_s[0])
    ((171, 3), 29.0)
    >>> bool(np.allclose(found.values[5, 0], np.corrcoef(x[:, 5:35])[0, 1]))
    True
    """
    series = as_series(x)
    kind = np.dtype(dtype)
    if kind not in _REFRESH or form not in ("vector", "matrix"):
        raise ConfigError(
            f"dtype={kind} must be float64 or float32, form {form!r} vector or matrix."
        )
    width = _samples(window_s, sfreq, "window_s", 4)
    step = 1 if step_s is None else _samples(step_s, sfreq, "step_s", 1)
    weights = taper_weights(taper, width, sigma=None if sigma_s is None else sigma_s * sfreq)
    ranges = check_segments(segments, series.shape[1])
    z = _standardised(series, ranges)
    long = [(k, a, b) for k, (a, b) in enumerate(ranges.tolist()) if b - a >= width]
    if not long:
        most = int((ranges[:, 1] - ranges[:, 0]).max())
        raise DataError(
            f"A window of {window_s:g} s ({width} samples) fits into none of {len(ranges)} "
            f"segment(s): the longest has {most / sfreq:g} s. Kept stretches are not spliced; "
            "shorten the window."
        )
    counts = [(b - a - width) // step + 1 for _, a, b in long]
    n_pairs = len(z) * (len(z) - 1) // 2
    values = np.empty((sum(counts), n_pairs), dtype=kind)
    centres, run, at = [], [], 0
    for (k, a, b), count in zip(long, counts, strict=True):
        _fill(z[:, a:b], weights, taper, step, values[at : at + count], threads)
        centres.append((a + step * np.arange(count) + (width - 1) / 2) / sfreq)
        run.append(np.full(count, k))
        at += count
    if form == "matrix":
        values = _matrices(values)
    return Dynamic(values, np.concatenate(centres), np.concatenate(run))


def _matrices(vectors: FloatArray) -> FloatArray:
    """Whole matrices with a diagonal of 1, if they fit into memory."""
    need = 2 * vectors.nbytes
    if need > _MATRIX_BYTES:
        raise DataError(
            f"{len(vectors)} matrices need {need / 2**30:.1f} GiB. Use form='vector' (half), "
            "dtype=float32 (half again), or a longer step_s."
        )
    return matrix_of(vectors, diagonal=1.0).astype(vectors.dtype, copy=False)


def _moments(z: FloatArray, weights: FloatArray, step: int) -> tuple[FloatArray, FloatArray]:
    """Weighted mean and 1 / sd of every window, shape (n_windows, n_chans)."""
    from scipy.signal import oaconvolve

    kernel = weights[np.newaxis, ::-1]
    mean = oaconvolve(z, kernel, mode="valid", axes=1)[:, ::step].T
    power = oaconvolve(z * z, kernel, mode="valid", axes=1)[:, ::step].T
    variance = power - mean**2
    # standardised rows: this is what rounding leaves of a channel that stands still
    moving = variance > 1e-10
    inv = np.where(moving, 1 / np.sqrt(np.where(moving, variance, 1.0)), np.nan)
    return np.ascontiguousarray(mean), inv


def _fill(
    z: FloatArray, weights: FloatArray, taper: str, step: int, out: FloatArray, threads: int | None
) -> None:
    """Correlations of every window of one segment into ``out`` (n_windows, n_pairs)."""
    width = len(weights)
    if taper in _COSINE and step <= max(1, width // 8):
        _running(z, weights, taper, step, out, threads)
        return
    rows, columns = np.triu_indices(len(z), 1)
    flat = rows * len(z) + columns
    root = np.sqrt(weights)
    for k in range(len(out)):
        part = z[:, k * step : k * step + width]
        part = (part - (part @ weights)[:, np.newaxis]) * root
        size = np.sqrt((part * part).sum(axis=1))
        part /= np.where(size > 1e-5, size, np.nan)[:, np.newaxis]
        part = part.astype(out.dtype, copy=False)
        np.take(part @ part.T, flat, out=out[k], mode="clip")


def _running(
    z: FloatArray, weights: FloatArray, taper: str, step: int, out: FloatArray, threads: int | None
) -> None:
    from neuro.connectivity._windowed import run_rows

    n, width = len(z), len(weights)
    a0, a1 = _COSINE[taper]
    total = a0 * width  # the cosine sums to 0 over its full period
    turn = 2 * np.pi * np.arange(width) / width
    mean, inv = _moments(z, weights, step)
    kind = out.dtype
    shared = [
        np.ascontiguousarray(v, dtype=kind) for v in (z.T, mean, inv, np.cos(turn), np.sin(turn))
    ]
    scalars = (kind.type(a0 / total), kind.type(a1 / total))

    def rows(first: int) -> None:
        last = min(n, first + _ROWS)
        sums = np.zeros((3, last - first, n), dtype=kind)
        run_rows(*shared, *scalars, step, _REFRESH[kind], first, last, sums, out)

    rows(0)  # compiles once, before threads could do it twice
    workers = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(rows, range(_ROWS, n, _ROWS)))
    np.clip(out, -1.0, 1.0, out=out)


def ewma_correlation(
    x: AnyArray,
    sfreq: float,
    *,
    tau_s: float = 30.0,
    step_s: float | None = None,
    segments: AnyArray | None = None,
) -> Dynamic:
    """Correlations under weights that fall exponentially into the past.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    sfreq : float
        Hz.
    tau_s : float
        Time constant in seconds; the effective window is about twice as long.
    step_s : float, optional
        Seconds from one output to the next; one sample by default.
    segments : int array, shape (n, 2), optional
        The past does not reach across a border.

    Returns
    -------
    Dynamic
        Vectors; the first of a segment comes after one time constant. The time
        given is the newest sample's.

    Raises
    ------
    DataError
        No segment is longer than the time constant.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 200))
    >>> ewma_correlation(x, 0.5, tau_s=30).values.shape
    (186, 3)
    """
    series = as_series(x)
    ranges = check_segments(segments, series.shape[1])
    z = _standardised(series, ranges)
    warm = _samples(tau_s, sfreq, "tau_s", 2)
    step = 1 if step_s is None else _samples(step_s, sfreq, "step_s", 1)
    keep = np.exp(-1 / (tau_s * sfreq))
    rows, columns = np.triu_indices(len(z), 1)
    values, centres, run = [], [], []
    for k, (a, b) in enumerate(ranges.tolist()):
        weight, mean, power = 0.0, np.zeros(len(z)), np.zeros((len(z), len(z)))
        for t in range(a, b):
            weight = keep * weight + 1
            mean = keep * mean + z[:, t]
            power *= keep
            power += np.outer(z[:, t], z[:, t])
            if t - a + 1 < warm or (t - a + 1 - warm) % step:
                continue
            m = mean / weight
            cov = power / weight - np.outer(m, m)
            sd = np.sqrt(np.maximum(np.diag(cov), 0))
            sd = np.where(sd > 1e-5, sd, np.nan)
            values.append((cov / np.outer(sd, sd))[rows, columns])
            centres.append(t / sfreq)
            run.append(k)
    if not values:
        raise DataError(f"No segment is as long as the time constant of {tau_s:g} s.")
    return Dynamic(np.clip(np.stack(values), -1, 1), np.array(centres), np.array(run))


def edge_series(x: AnyArray, sfreq: float, *, segments: AnyArray | None = None) -> Dynamic:
    """Products of standardised pairs at every sample.

    Their mean over time is the Pearson correlation exactly.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    sfreq : float
        Hz.
    segments : int array, shape (n, 2), optional
        Kept samples; standardised over all of them together.

    Returns
    -------
    Dynamic
        One vector a kept sample.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((2, 50))
    >>> edges = edge_series(x, 1.0)
    >>> bool(np.isclose(edges.values.mean(), np.corrcoef(x)[0, 1]))
    True
    """
    series = as_series(x)
    ranges = check_segments(segments, series.shape[1])
    z = _standardised(series, ranges)
    at = np.concatenate([np.arange(a, b) for a, b in ranges.tolist()])
    run = np.concatenate([np.full(b - a, k) for k, (a, b) in enumerate(ranges.tolist())])
    rows, columns = np.triu_indices(len(z), 1)
    kept = z[:, at]
    return Dynamic((kept[rows] * kept[columns]).T, at / sfreq, run)


# ---- measures for the front door -----------------------------------------------


def _single(x: AnyArray, average: Average) -> FloatArray:
    epochs = np.asarray(x)
    if average != "time" or len(epochs) != 1:
        raise ConfigError(
            "Dynamic connectivity runs along one continuous stretch: give one recording (its "
            "segments are respected) with average='time'."
        )
    return np.asarray(epochs[0])


def _estimated(found: Dynamic, diagonal: float, n_eff: float, **attrs: Any) -> Estimate:
    values = matrix_of(found.values, diagonal)
    return Estimate(
        values=values,
        dims=("window", "source", "target"),
        n_windows=1,
        n_eff=n_eff,
        attrs={"coords": {"window": found.centres_s}, "segment": found.run, **attrs},
    )


def _window_measure(default: Taper) -> Callable[..., Estimate]:
    def run(
        x: AnyArray,
        sfreq: float,
        *,
        average: Average,
        segments: AnyArray | None = None,
        window_s: float = 60.0,
        step_s: float | None = None,
        taper: Taper = default,
        sigma_s: float | None = None,
        dtype: Any = np.float64,
    ) -> Estimate:
        """Windows of one stretch as whole matrices."""
        found = windowed_correlation(
            _single(x, average),
            sfreq,
            window_s=window_s,
            step_s=step_s,
            taper=taper,
            sigma_s=sigma_s,
            segments=segments,
            form="matrix",
            dtype=dtype,
        )
        sigma = None if sigma_s is None else sigma_s * sfreq
        weights = taper_weights(taper, round(window_s * sfreq), sigma=sigma)
        n_eff = 1 / float((weights**2).sum())
        vectors = Dynamic(vector_of(found.values), found.centres_s, found.run)
        return _estimated(vectors, 1.0, n_eff, estimator=taper, window_s=window_s)

    return run


def _ewma(
    x: AnyArray,
    sfreq: float,
    *,
    average: Average,
    segments: AnyArray | None = None,
    tau_s: float = 30.0,
    step_s: float | None = None,
) -> Estimate:
    found = ewma_correlation(
        _single(x, average), sfreq, tau_s=tau_s, step_s=step_s, segments=segments
    )
    keep = np.exp(-1 / (tau_s * sfreq))
    return _estimated(found, 1.0, float((1 + keep) / (1 - keep)), estimator="ewma", tau_s=tau_s)


def _edges(
    x: AnyArray, sfreq: float, *, average: Average, segments: AnyArray | None = None
) -> Estimate:
    found = edge_series(_single(x, average), sfreq, segments=segments)
    return _estimated(found, float("nan"), 1.0, estimator="product of z-scores")


def _coherence(
    x: AnyArray,
    sfreq: float,
    *,
    average: Average,
    segments: AnyArray | None = None,
    band: tuple[float, float] = (0.03, 0.07),
    trim_periods: float = 1.0,
) -> Estimate:
    angles = phases(
        _single(x, average), sfreq, band=band, segments=segments, trim_periods=trim_periods
    )
    at = valid_samples(angles)
    ranges = check_segments(segments, angles.shape[1])
    run = np.searchsorted(ranges[:, 0], at, side="right") - 1
    found = Dynamic(phase_coherence(angles), at / sfreq, run)
    return _estimated(found, 1.0, 1.0, estimator="Hilbert", band=list(band))


def _row(
    name: str, function: Callable[..., Estimate], span: tuple[float, float], reference: str
) -> Measure:
    return Measure(
        name=name,
        function=function,
        directed=False,
        unit="1",
        range=span,
        signed=True,
        needs="samples",
        min_windows=1,
        reference=reference,
        diagonal=1.0 if name != "edge_series" else float("nan"),
    )


_INF = float("inf")
DYNAMIC: dict[str, Measure] = {
    m.name: m
    for m in (
        _row("sliding_window", _window_measure("boxcar"), (-1, 1), "Hutchison et al. 2013"),
        _row("tapered_window", _window_measure("hann"), (-1, 1), "Allen et al. 2014"),
        _row("ewma", _ewma, (-1, 1), "Lindquist et al. 2014"),
        _row("edge_series", _edges, (-_INF, _INF), "Zamani Esfahlani et al. 2020"),
        _row("phase_coherence", _coherence, (-1, 1), "Cabral et al. 2017"),
    )
}
