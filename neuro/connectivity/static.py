"""Static functional connectivity: correlation, shrunk, partial, precision, tangent.

nilearn and scikit-learn do the estimation; what is added is the effective number
of samples, which autocorrelation makes far smaller than the number of volumes.

nilearn's ``kind="correlation"`` is the *shrunk* correlation: ``shrunk_correlation``
here. Truths and parity: see :mod:`neuro.connectivity`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from neuro.connectivity._rows import ESTIMATORS, Estimator, as_rows
from neuro.connectivity.measure import Average, Estimate, Measure
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.stats import benjamini_hochberg
from neuro.typing import AnyArray, BoolArray, FloatArray

__all__ = [
    "STATIC",
    "CorrelationTest",
    "correlation",
    "correlation_test_matrix",
    "covariance",
    "effective_n_matrix",
    "fisher_z",
    "partial_correlation",
    "precision",
    "shrunk_correlation",
]

_CLIP = 1 - 1e-7  # Fisher z of a perfect correlation is infinite


def fisher_z(r: AnyArray) -> FloatArray:
    """Variance-stabilised correlation, with a diagonal of 0.

    Parameters
    ----------
    r : array, shape (..., n, n)
        Correlations.

    Returns
    -------
    float64 array, same shape
        ``atanh(r)``, r clipped to 1 - 1e-7; its standard error is about
        ``1 / sqrt(n_eff - 3)``.

    Examples
    --------
    >>> fisher_z(np.array([[1.0, 0.5], [0.5, 1.0]])).round(4).tolist()
    [[0.0, 0.5493], [0.5493, 0.0]]
    """
    z = np.arctanh(np.clip(np.asarray(r, dtype=np.float64), -_CLIP, _CLIP))
    n = z.shape[-1]
    z[..., np.arange(n), np.arange(n)] = 0.0
    return np.asarray(z)


def correlation(x: AnyArray) -> FloatArray:
    """Pearson correlations between rows, without shrinkage.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.

    Returns
    -------
    float64 array, shape (n_chans, n_chans)
        Diagonal 1.

    Raises
    ------
    DataError
        NaN, a constant row, or fewer than 3 samples.

    Examples
    --------
    >>> correlation(np.array([[1.0, 2, 3], [3.0, 2, 1]])).round(12).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    centred = as_rows(x)
    unit = centred / np.sqrt((centred * centred).sum(axis=1, keepdims=True))
    r = np.clip(unit @ unit.T, -1.0, 1.0)
    np.fill_diagonal(r, 1.0)
    return np.asarray((r + r.T) / 2)


def covariance(x: AnyArray, estimator: Estimator = "ledoit_wolf") -> FloatArray:
    """Covariance between rows.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    estimator : "empirical", "ledoit_wolf", "oas" or "graphical_lasso"
        Graphical lasso chooses its penalty by cross-validation on standardised
        series.

    Returns
    -------
    float64 array, shape (n_chans, n_chans)

    Raises
    ------
    ConfigError
        Unknown estimator.
    DataError
        NaN, a constant row, or too few samples.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 500))
    >>> covariance(x).shape
    (3, 3)
    """
    return _fitted(x, estimator)[0]


def _fitted(x: AnyArray, estimator: str) -> tuple[FloatArray, FloatArray | None]:
    """Covariance, and the precision where the estimator has its own."""
    from sklearn import covariance as sk

    if estimator not in ESTIMATORS:
        raise ConfigError(
            f"estimator={estimator!r} is not known. {did_you_mean(estimator, ESTIMATORS)}"
        )
    centred = as_rows(x)
    if estimator == "graphical_lasso":
        sd = centred.std(axis=1, keepdims=True)
        # the penalty treats all pairs alike, so they must have one scale
        model = _quiet_lasso((centred / sd).T)
        scale = sd * sd.T
        return np.asarray(model.covariance_ * scale), np.asarray(model.precision_ / scale)
    kinds = {
        "empirical": sk.EmpiricalCovariance,
        "ledoit_wolf": sk.LedoitWolf,
        "oas": sk.OAS,
    }
    model = kinds[estimator](assume_centered=True, store_precision=False).fit(centred.T)
    return np.asarray(model.covariance_), None


def _quiet_lasso(z: FloatArray) -> Any:
    import warnings

    from sklearn.covariance import GraphicalLassoCV
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # a fold that does not converge at a tiny penalty only loses the cross-validation
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        return GraphicalLassoCV(assume_centered=True).fit(z)


def shrunk_correlation(x: AnyArray, estimator: Estimator = "ledoit_wolf") -> FloatArray:
    """Correlations of a shrunk covariance; what nilearn calls "correlation".

    Shrinkage pulls all correlations towards 0: 150 volumes of 100 regions of
    white noise shrink to exactly 0, structured data by about 0.85.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    estimator : str
        As in :func:`covariance`.

    Returns
    -------
    float64 array, shape (n_chans, n_chans)

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 500))
    >>> bool(abs(shrunk_correlation(x)[0, 1]) < abs(correlation(x)[0, 1]))
    True
    """
    cov, _ = _fitted(x, estimator)
    sd = np.sqrt(np.diag(cov))
    r = cov / np.outer(sd, sd)
    np.fill_diagonal(r, 1.0)
    return np.asarray(r)


def precision(x: AnyArray, estimator: Estimator = "graphical_lasso") -> FloatArray:
    """Inverse covariance; sparse with the graphical lasso.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    estimator : str
        As in :func:`covariance`. The empirical one needs full rank.

    Returns
    -------
    float64 array, shape (n_chans, n_chans)

    Raises
    ------
    DataError
        The covariance is singular: fewer samples than rows, or rows that depend
        on each other, as after an average reference.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 500))
    >>> bool(np.allclose(precision(x, "empirical") @ np.cov(x, bias=True), np.eye(3)))
    True
    """
    cov, inverse = _fitted(x, estimator)
    if inverse is not None:
        return (inverse + inverse.T) / 2
    sd = np.sqrt(np.diag(cov))
    # judged on correlations: a channel in other units must not look like a lost dimension
    r = cov / np.outer(sd, sd)
    eigen = np.linalg.eigvalsh(r)
    if eigen[0] < 1e-10 * eigen[-1]:
        rank = int((eigen > 1e-10 * eigen[-1]).sum())
        raise DataError(
            f"The covariance of {len(cov)} rows has rank {rank}: an average reference or a "
            "regressed signal removes a dimension, and so do fewer samples than rows "
            f"({np.shape(x)[1]} samples). Drop a row, or use estimator='ledoit_wolf'."
        )
    p = np.linalg.inv(r) / np.outer(sd, sd)
    return np.asarray((p + p.T) / 2)


def partial_correlation(x: AnyArray, estimator: Estimator = "ledoit_wolf") -> FloatArray:
    """Correlation of each pair given all other rows, from the precision.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    estimator : str
        As in :func:`covariance`.

    Returns
    -------
    float64 array, shape (n_chans, n_chans)
        ``-P_ij / sqrt(P_ii P_jj)``, diagonal 1.

    Raises
    ------
    DataError
        As in :func:`precision`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a = rng.standard_normal(4000); b = a + rng.standard_normal(4000)
    >>> c = b + rng.standard_normal(4000)
    >>> bool(abs(partial_correlation(np.stack([a, b, c]))[0, 2]) < 0.05)
    True
    """
    p = precision(x, estimator)
    d = np.sqrt(np.diag(p))
    out = -p / np.outer(d, d)
    np.fill_diagonal(out, 1.0)
    return np.asarray(out)


# ---- effective number of samples -----------------------------------------------


def _lag_sums(z: FloatArray, segments: AnyArray, max_lag: int) -> FloatArray:
    """Sums of lagged products inside segments, shape (n_chans, max_lag + 1)."""
    total = np.zeros((len(z), max_lag + 1))
    for start, stop in np.asarray(segments).tolist():
        part = z[:, start:stop]
        lag = min(max_lag, part.shape[1] - 1)
        size = 1 << (part.shape[1] + lag).bit_length()
        power = np.abs(np.fft.rfft(part, size)) ** 2
        total[:, : lag + 1] += np.fft.irfft(power, size)[:, : lag + 1]
    return total


def effective_n_matrix(
    x: AnyArray, *, segments: AnyArray | None = None, max_lag: int | None = None
) -> FloatArray:
    """Number of independent samples each pair of rows is worth (Bartlett).

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    segments : int array, shape (n, 2), optional
        Half-open sample ranges no lag crosses; one by default.
    max_lag : int, optional
        Largest lag in the sum; a fifth of the samples by default.

    Returns
    -------
    float64 array, shape (n_chans, n_chans)
        ``n / (1 + 2 sum_k rho_i(k) rho_j(k))``, from just above 3 to n.

    Examples
    --------
    >>> x = np.cumsum(np.random.default_rng(0).standard_normal((2, 500)), axis=1)
    >>> bool(effective_n_matrix(x)[0, 1] < 50)
    True
    """
    z = as_rows(x)
    n_times = z.shape[1]
    ranges = np.array([[0, n_times]]) if segments is None else np.asarray(segments)
    lag = n_times // 5 if max_lag is None else max_lag
    if not 0 <= lag < n_times:
        raise ConfigError(f"max_lag={lag} must lie between 0 and n_times - 1 = {n_times - 1}.")
    sums = _lag_sums(z, ranges, lag)
    rho = sums[:, 1:] / sums[:, :1]
    inflation = 1 + 2 * rho @ rho.T
    n = int((ranges[:, 1] - ranges[:, 0]).sum())
    return np.asarray(np.clip(n / np.maximum(inflation, 1.0), 3.0 + 1e-9, n))


class CorrelationTest(NamedTuple):
    """Correlations with their tests, all of shape (n_chans, n_chans)."""

    r: FloatArray
    p: FloatArray
    n_eff: FloatArray
    significant: BoolArray


def correlation_test_matrix(
    x: AnyArray,
    *,
    q: float = 0.05,
    segments: AnyArray | None = None,
    max_lag: int | None = None,
) -> CorrelationTest:
    """Pearson correlations with p-values that respect autocorrelation.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Series.
    q : float
        False discovery rate over all pairs.
    segments, max_lag
        As in :func:`effective_n_matrix`.

    Returns
    -------
    CorrelationTest
        p of a t distribution with ``n_eff - 2`` degrees of freedom, 1 on the
        diagonal; ``significant`` after Benjamini and Hochberg.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((4, 300))
    >>> bool(correlation_test_matrix(x).significant.any())
    False
    """
    from scipy import special

    r = correlation(x)
    n_eff = effective_n_matrix(x, segments=segments, max_lag=max_lag)
    df = n_eff - 2
    t = np.abs(r) * np.sqrt(df / np.maximum(1 - r**2, 1e-300))
    p = np.asarray(2 * special.stdtr(df, -t))
    np.fill_diagonal(p, 1.0)
    rows, columns = np.triu_indices(len(r), 1)
    significant = np.zeros(r.shape, dtype=bool)
    found = benjamini_hochberg(p[rows, columns], q).rejected
    significant[rows, columns] = found
    return CorrelationTest(r, p, n_eff, significant | significant.T)


# ---- measures for the front door -----------------------------------------------


def _stretches(x: AnyArray, average: Average) -> "list[FloatArray]":
    """Series one matrix is made of: each trial, or all trials centred on their own means."""
    epochs = np.asarray(x, dtype=np.float64)
    if average == "time" or len(epochs) == 1:
        return list(epochs)
    centred = epochs - epochs.mean(axis=2, keepdims=True)
    return [np.concatenate(list(centred), axis=1)]


def _kept(epochs: AnyArray, segments: AnyArray) -> tuple[FloatArray, AnyArray]:
    """Kept samples of a single stretch side by side, and where each segment lies then."""
    pieces = [epochs[:, :, a:b] for a, b in segments.tolist()]
    ends = np.cumsum([p.shape[2] for p in pieces])
    ranges = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
    return np.concatenate(pieces, axis=2), ranges


def _measure(function: Callable[..., FloatArray], name: str) -> Callable[..., Estimate]:
    def run(
        x: AnyArray,
        sfreq: float,
        *,
        average: Average,
        segments: AnyArray | None = None,
        **options: Any,
    ) -> Estimate:
        """Matrices of each stretch, as the front door wants them."""
        epochs = np.asarray(x)
        if segments is not None:  # of one stretch: what was cut out is left out
            epochs, segments = _kept(epochs, np.asarray(segments))
        parts = _stretches(epochs, average)
        values = np.stack([function(part, **options) for part in parts])
        pooled = average == "trials" and len(epochs) > 1
        ranges = segments
        if pooled:
            length = epochs.shape[2]
            starts = np.arange(len(epochs)) * length
            ranges = np.stack([starts, starts + length], axis=1)
        n_eff = [
            float(np.median(_upper(effective_n_matrix(part, segments=ranges)))) for part in parts
        ]
        one = pooled or len(epochs) == 1
        return Estimate(
            values=values[0] if one else values,
            dims=("source", "target") if one else ("trial", "source", "target"),
            n_windows=len(epochs),
            n_eff=float(np.mean(n_eff)),
            attrs={"estimator": options.get("estimator", name), "n_times": parts[0].shape[1]},
        )

    run.options_of = function  # type: ignore[attr-defined]
    return run


def _upper(matrix: FloatArray) -> FloatArray:
    if len(matrix) == 1:
        return matrix.ravel()
    return matrix[np.triu_indices(len(matrix), 1)]


def _tangent(
    x: AnyArray,
    sfreq: float,
    *,
    average: Average,
    segments: AnyArray | None = None,
    estimator: Estimator = "ledoit_wolf",
) -> Estimate:
    from neuro.connectivity.tangent import TangentSpace

    epochs = np.asarray(x)
    if average != "time":
        raise ConfigError("The tangent space compares stretches: use average='time'.")
    values = TangentSpace(estimator).fit(epochs).transform(epochs)
    return Estimate(
        values=values,
        dims=("trial", "source", "target"),
        n_windows=len(epochs),
        n_eff=float(epochs.shape[2]),
        attrs={"estimator": estimator, "note": "mean covariance of exactly these stretches"},
    )


def _z(x: AnyArray) -> FloatArray:
    """Fisher z of Pearson correlations."""
    return fisher_z(correlation(x))


def _row(
    name: str,
    function: Callable[..., Estimate],
    unit: str,
    span: tuple[float, float],
    diagonal: float,
    reference: str,
) -> Measure:
    return Measure(
        name=name,
        function=function,
        directed=False,
        unit=unit,
        range=span,
        signed=True,
        needs="samples",
        min_windows=1,
        reference=reference,
        diagonal=diagonal,
    )


_INF = float("inf")
STATIC: dict[str, Measure] = {
    m.name: m
    for m in (
        _row("correlation", _measure(correlation, "Pearson"), "1", (-1, 1), 1.0, "Pearson"),
        _row("fisher_z", _measure(_z, "Pearson"), "1", (-_INF, _INF), 0.0, "Fisher 1921"),
        _row(
            "shrunk_correlation",
            _measure(shrunk_correlation, "ledoit_wolf"),
            "1",
            (-1, 1),
            1.0,
            "Ledoit & Wolf 2004; nilearn's 'correlation'",
        ),
        _row(
            "partial_correlation",
            _measure(partial_correlation, "ledoit_wolf"),
            "1",
            (-1, 1),
            1.0,
            "Marrelec et al. 2006",
        ),
        _row(
            "precision",
            _measure(precision, "graphical_lasso"),
            "1/unit^2",
            (-_INF, _INF),
            float("nan"),
            "Friedman et al. 2008",
        ),
        _row(
            "covariance",
            _measure(covariance, "ledoit_wolf"),
            "unit^2",
            (-_INF, _INF),
            float("nan"),
            "Ledoit & Wolf 2004",
        ),
        _row("tangent", _tangent, "1", (-_INF, _INF), float("nan"), "Varoquaux et al. 2010"),
    )
}
