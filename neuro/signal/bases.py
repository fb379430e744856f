"""History bases: what a few smooth functions of the recent past say about the next bin.

A basis is an array (n_basis, n_lags), lag 1 first: column k weighs the sample k + 1
bins back. Nothing here sees the present bin, so features made with it are strictly
causal and may predict that bin.
"""

from itertools import pairwise

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray, FloatArray

__all__ = [
    "HistoryBuffer",
    "bspline_basis",
    "exponential_basis",
    "history_features",
    "raised_cosine_basis",
]


def _check_sizes(n_basis: int, n_lags: int, least: int = 1) -> None:
    if n_basis < least or n_lags < n_basis:
        raise ConfigError(
            f"n_basis={n_basis} must be at least {least} and at most n_lags={n_lags}."
        )


def exponential_basis(n_lags: int, tau_bins: float | tuple[float, ...] = 1.0) -> FloatArray:
    """Decaying exponentials, each adding up to 1.

    With one ``tau_bins`` of 1 and five lags this is the basis of the one-hot HMM-GLM's
    demonstration (arXiv 2310.15263, released code).

    Parameters
    ----------
    n_lags : int
        Length in bins.
    tau_bins : float or tuple of float
        Decay times in bins, one function each.

    Returns
    -------
    float64 array, shape (n_basis, n_lags)
        Lag 1 first.

    Raises
    ------
    ConfigError
        A size or decay that is not positive.

    Examples
    --------
    >>> exponential_basis(5).round(4).tolist()
    [[0.6364, 0.2341, 0.0861, 0.0317, 0.0117]]
    """
    taus = np.atleast_1d(np.asarray(tau_bins, dtype=np.float64))
    _check_sizes(1, n_lags)
    if taus.ndim != 1 or not ((taus > 0) & np.isfinite(taus)).all():
        raise ConfigError(f"tau_bins={tau_bins!r} must be above 0.")
    decay = np.exp(-np.arange(1, n_lags + 1) / taus[:, np.newaxis])
    return np.asarray(decay / decay.sum(axis=1, keepdims=True))


def raised_cosine_basis(n_basis: int, n_lags: int, *, offset: float = 1.0) -> FloatArray:
    """Raised cosines on a logarithmic axis of lags: fine near the spike, coarse far away.

    Pillow et al., Nature 454:995 (2008), supplement. Their functions overlap so that
    the sum is flat from the second peak to the last but one.

    Parameters
    ----------
    n_basis : int
        Functions.
    n_lags : int
        Length in bins; the last function falls to zero there.
    offset : float
        Bins added before the logarithm; large values make the spacing linear.

    Returns
    -------
    float64 array, shape (n_basis, n_lags)
        Lag 1 first, peak 1.

    Raises
    ------
    ConfigError
        Sizes out of range or an offset that is not positive.

    Examples
    --------
    >>> raised_cosine_basis(3, 8).argmax(axis=1).tolist()
    [0, 1, 2]
    """
    _check_sizes(n_basis, n_lags)
    if not (np.isfinite(offset) and offset > 0):
        raise ConfigError(f"offset={offset!r} must be above 0.")
    warped = np.log(np.arange(n_lags + 1) + offset)  # from lag 1 to one bin past the last
    # peaks one spacing apart; each bump is two spacings wide on either side
    spacing = (warped[-1] - warped[0]) / (n_basis + 1)
    peaks = warped[0] + spacing * np.arange(n_basis)
    phase = (warped[np.newaxis, :n_lags] - peaks[:, np.newaxis]) * np.pi / (2 * spacing)
    return np.asarray(0.5 * (1 + np.cos(np.clip(phase, -np.pi, np.pi))))


def bspline_basis(n_basis: int, n_lags: int, *, degree: int = 3) -> FloatArray:
    """B-splines with even knots; at every lag they add up to 1.

    Parameters
    ----------
    n_basis : int
        Functions, more than the degree.
    n_lags : int
        Length in bins.
    degree : int
        Of the polynomial pieces; 0 gives boxes.

    Returns
    -------
    float64 array, shape (n_basis, n_lags)
        Lag 1 first.

    Raises
    ------
    ConfigError
        Sizes out of range.

    Examples
    --------
    >>> bspline_basis(5, 20).sum(axis=0).round(12).min()
    np.float64(1.0)
    """
    if degree < 0:
        raise ConfigError(f"degree={degree} must be 0 or more.")
    _check_sizes(n_basis, n_lags, degree + 1)
    inner = np.linspace(0.0, 1.0, n_basis - degree + 1)
    knots = np.concatenate([np.zeros(degree), inner, np.ones(degree)])
    at = (np.arange(n_lags) + 0.5) / n_lags
    # Cox and de Boor's recursion from boxes upwards
    values = np.array([(a <= at) & (at < b) for a, b in pairwise(knots)], dtype=np.float64)
    for k in range(1, degree + 1):
        rising = _ratio(at - knots[: -k - 1, None], (knots[k:-1] - knots[: -k - 1])[:, None])
        falling = _ratio(knots[k + 1 :, None] - at, (knots[k + 1 :] - knots[1:-k])[:, None])
        values = rising * values[:-1] + falling * values[1:]
    return values


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """``a / b``, and 0 where knots coincide."""
    return np.asarray(np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0))


def _checked_basis(basis: AnyArray) -> FloatArray:
    found = np.atleast_2d(np.asarray(basis, dtype=np.float64))
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise DataError(f"A basis is finite and (n_basis, n_lags), got {np.shape(basis)}.")
    return found


def history_features(x: AnyArray, basis: AnyArray, *, dtype: type = np.float64) -> FloatArray:
    """Past of each row seen through each basis function.

    ``out[m, b, t] = sum_k basis[b, k] x[m, t - 1 - k]``: the bin itself is never part
    of it, and before the first bin there was nothing. Only the features are stored,
    not the lags they are made of.

    Parameters
    ----------
    x : array, shape (n_rows, n_times)
        Counts or signals of one session, time last.
    basis : array, shape (n_basis, n_lags) or (n_lags,)
        Lag 1 first.
    dtype : type
        float64 or float32, of the result.

    Returns
    -------
    array, shape (n_rows, n_basis, n_times)
        Features.

    Raises
    ------
    DataError
        Wrong shapes.

    Examples
    --------
    >>> history_features([[1.0, 0, 0, 2, 0]], [0.5, 0.25])[0, 0].tolist()
    [0.0, 0.5, 0.25, 0.0, 1.0]
    """
    rows: FloatArray = np.asarray(x, dtype=dtype)
    weights = _checked_basis(basis)
    if rows.ndim != 2:
        raise DataError(f"Expected (n_rows, n_times), time last, got {rows.shape}.")
    n_times = rows.shape[1]
    out: FloatArray = np.zeros((len(rows), len(weights), n_times), dtype=dtype)
    # lag by lag in a fixed order, so that a stream adds up the same bits
    for k in range(min(weights.shape[1], n_times - 1)):
        for b, weight in enumerate(weights[:, k]):
            out[:, b, k + 1 :] += dtype(weight) * rows[:, : n_times - 1 - k]
    return out


class HistoryBuffer:
    """Features of the next bin, bin by bin: the same bits as :func:`history_features`.

    Parameters
    ----------
    n_rows : int
        Units.
    basis : array, shape (n_basis, n_lags) or (n_lags,)
        Lag 1 first.

    Raises
    ------
    ConfigError
        n_rows below 1.
    DataError
        A malformed basis.

    Examples
    --------
    >>> past = HistoryBuffer(1, [0.5, 0.25])
    >>> [past.push([v]).item() for v in (1.0, 0.0, 0.0)]
    [0.0, 0.5, 0.25]
    """

    def __init__(self, n_rows: int, basis: AnyArray) -> None:
        if n_rows < 1:
            raise ConfigError(f"n_rows={n_rows} must be at least 1.")
        self._basis = _checked_basis(basis)
        self._past = np.zeros((self._basis.shape[1], n_rows))

    def push(self, bin_: AnyArray) -> FloatArray:
        """Features of this bin, made of the bins before it; then the bin joins the past.

        Parameters
        ----------
        bin_ : array, shape (n_rows,)
            Values of the bin.

        Returns
        -------
        float64 array, shape (n_rows, n_basis)
            Features that were known before the bin.

        Raises
        ------
        DataError
            Wrong number of rows.
        """
        values = np.asarray(bin_, dtype=np.float64)
        if values.shape != self._past.shape[1:]:
            raise DataError(f"Expected {self._past.shape[1:]} values, got {values.shape}.")
        out = np.zeros((len(values), len(self._basis)))
        for weight, past in zip(self._basis.T, self._past, strict=True):
            out += weight * past[:, np.newaxis]
        self._past[1:] = self._past[:-1].copy()
        self._past[0] = values
        return out

    def reset(self) -> None:
        """Forget the past, as at the start of a session."""
        self._past[:] = 0.0

    def state_dict(self) -> dict[str, FloatArray]:
        """What :meth:`load_state_dict` needs to go on from here."""
        return {"past": self._past.copy()}

    def load_state_dict(self, state: dict[str, FloatArray]) -> None:
        """Go on from where :meth:`state_dict` was taken.

        Raises
        ------
        DataError
            If the state is of another shape.
        """
        past = np.asarray(state["past"], dtype=np.float64)
        if past.shape != self._past.shape:
            raise DataError(f"The state is {past.shape}, this buffer {self._past.shape}.")
        self._past = past.copy()
