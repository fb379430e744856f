"""Vector autoregressive models: fitting, order, and the checks they must pass.

``x[t] = c + sum_k A_k x[t - k] + e[t]`` with ``coefs[k - 1][target, source]``, lag 1
first. Trials may have different lengths; no lag reaches across a border.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError
from neuro.signal._segments import check_choice
from neuro.typing import AnyArray, FloatArray

__all__ = [
    "VAR",
    "Criterion",
    "OrderChoice",
    "Whiteness",
    "accumulate_var",
    "choose_order",
    "fit_var",
    "multichannel_burg",
    "solve_var",
    "var_residuals",
    "whiteness_test",
]

Criterion: TypeAlias = Literal["aic", "bic", "hq"]
_Trials: TypeAlias = AnyArray | Sequence[AnyArray]
_Real: TypeAlias = NDArray[np.float64]
_RANK_TOLERANCE = 1e-10  # a channel the others explain but for 1e-5 of its amplitude is redundant


@dataclass(frozen=True, eq=False)
class VAR:
    """A fitted vector autoregressive model.

    Parameters
    ----------
    coefs : float64 array, shape (order, n_chans, n_chans)
        ``coefs[k - 1][i, j]``: effect of channel j, k samples ago, on channel i.
    cov : float64 array, shape (n_chans, n_chans)
        Covariance of the innovations, divided by the residual degrees of freedom.
    intercept : float64 array, shape (n_chans,)
        Constant term.
    n_obs : int
        Number of equations (samples with a full past) it was fitted to.
    """

    coefs: NDArray[np.float64]
    cov: NDArray[np.float64]
    intercept: NDArray[np.float64]
    n_obs: int

    @property
    def order(self) -> int:
        """Number of lags."""
        return len(self.coefs)

    @property
    def n_chans(self) -> int:
        """Number of channels."""
        return int(self.coefs.shape[1])

    @property
    def companion(self) -> _Real:
        """The model as one lag, shape (order * n_chans, order * n_chans)."""
        m, p = self.n_chans, self.order
        out = np.eye(m * p, k=-m)
        out[:m] = self.coefs.transpose(1, 0, 2).reshape(m, m * p)
        return out

    @property
    def radius(self) -> float:
        """Largest absolute eigenvalue of the companion matrix; stable below 1."""
        return float(np.abs(np.linalg.eigvals(self.companion)).max())

    def transfer(self, freqs: AnyArray, sfreq: float) -> tuple[AnyArray, AnyArray]:
        """``A(f) = I - sum_k A_k exp(-2 pi i f k / sfreq)`` and ``H(f)``, its inverse.

        Parameters
        ----------
        freqs : array, shape (n_freqs,)
            Frequencies in Hz.
        sfreq : float
            Sampling rate in Hz.

        Returns
        -------
        a, h : complex128 array, shape (n_freqs, n_chans, n_chans)
            Rows are targets, columns sources.
        """
        lags = np.arange(1, self.order + 1)
        wave = np.exp(-2j * np.pi * np.outer(np.asarray(freqs, np.float64), lags) / sfreq)
        a = np.eye(self.n_chans) - np.tensordot(wave, self.coefs, axes=1)
        return a, np.linalg.inv(a)

    def spectrum(self, freqs: AnyArray, sfreq: float) -> AnyArray:
        """One-sided cross-spectral density ``2 H cov H^H / sfreq``.

        Parameters
        ----------
        freqs : array, shape (n_freqs,)
            Frequencies in Hz; half the factor at 0 Hz and the Nyquist frequency.
        sfreq : float
            Sampling rate in Hz.

        Returns
        -------
        complex128 array, shape (n_freqs, n_chans, n_chans)
            Units squared per Hz.
        """
        f = np.asarray(freqs, np.float64)
        _, h = self.transfer(f, sfreq)
        sides = np.where((f == 0) | (f == sfreq / 2), 1.0, 2.0) / sfreq
        return np.asarray(
            sides[:, np.newaxis, np.newaxis] * (h @ self.cov @ h.conj().transpose(0, 2, 1))
        )


class OrderChoice(NamedTuple):
    """Order with the smallest criterion, and the criterion at orders 1, 2, ..."""

    order: int
    values: FloatArray


class Whiteness(NamedTuple):
    """Portmanteau statistic, its degrees of freedom and p (small: not white)."""

    statistic: float
    df: int
    p: float


def _as_trials(x: _Trials) -> list[_Real]:
    if isinstance(x, np.ndarray):
        x = x[np.newaxis] if x.ndim == 2 else x
    trials = [np.asarray(t, np.float64) for t in x]
    if not trials or any(t.ndim != 2 for t in trials) or len({len(t) for t in trials}) != 1:
        raise DataError("Expected trials of shape (n_chans, n_times) with the same channels.")
    if not all(np.isfinite(t).all() for t in trials):
        raise DataError("NaN or inf in a trial: drop the trial or cut the gap out.")
    return trials


def _check_rank(trials: Sequence[_Real], mean: _Real) -> None:
    """Refuse channels that are linear combinations of others."""
    m = len(mean)
    cov = np.zeros((m, m))
    for trial in trials:
        centred = trial - mean[:, np.newaxis]
        cov += centred @ centred.T
    _check_cov_rank(cov)


def _check_cov_rank(cov: _Real) -> None:
    m = len(cov)
    scale = np.sqrt(np.diagonal(cov))
    if (scale == 0).any():
        dead = np.flatnonzero(scale == 0).tolist()
        raise DataError(f"Constant channels {dead}: drop them before fitting a VAR.")
    values = np.linalg.eigvalsh(cov / np.outer(scale, scale))
    rank = int((values > _RANK_TOLERANCE * values[-1]).sum())
    if rank < m:
        raise DataError(
            f"The {m} channels have rank {rank}: an average reference, an interpolated or a "
            "copied channel makes some exact combinations of others, and a VAR is then not "
            f"defined. Drop {m - rank} channel(s), use another reference, or pass ridge > 0."
        )


def _gram(trials: Sequence[_Real], order: int, mean: _Real) -> tuple[_Real, int]:
    """``sum z z^T`` of ``z = (past lag 1, ..., past lag p, 1, present)`` and its count."""
    m = len(mean)
    size = m * (order + 1) + 1
    total, n_obs = np.zeros((size, size)), 0
    for trial in trials:
        usable = trial.shape[1] - order
        if usable < 1:
            continue
        centred = trial - mean[:, np.newaxis]
        for start in range(order, trial.shape[1], 1 << 14):
            stop = min(start + (1 << 14), trial.shape[1])
            rows = [centred[:, start - k : stop - k] for k in range(1, order + 1)]
            z = np.concatenate([*rows, np.ones((1, stop - start)), centred[:, start:stop]])
            total += z @ z.T
        n_obs += usable
    return total, n_obs


def _solve(gram: _Real, m: int, order: int, ridge: float) -> tuple[_Real, _Real]:
    """Coefficients (m, m * order + 1) and residual sum of squares from a Gram matrix."""
    full = m * ((gram.shape[0] - 1) // m - 1)  # columns of all lags the Gram matrix holds
    past = np.r_[np.arange(m * order), full]
    present = np.arange(full + 1, gram.shape[0])
    a, b, c = gram[np.ix_(past, past)], gram[np.ix_(past, present)], gram[np.ix_(present, present)]
    penalty = ridge * np.r_[np.diagonal(a)[:-1], 0.0]  # a share of each lag's power
    scale = 1 / np.sqrt(np.diagonal(a) + penalty)
    scaled = (a + np.diag(penalty)) * np.outer(scale, scale)
    try:
        beta = np.linalg.solve(scaled, b * scale[:, np.newaxis]) * scale[:, np.newaxis]
    except np.linalg.LinAlgError as error:
        raise DataError(
            f"The lagged channels are collinear at order {order}; lower the order, drop "
            "redundant channels, or pass ridge > 0."
        ) from error
    residual = c - b.T @ beta - beta.T @ b + beta.T @ a @ beta
    return beta.T, (residual + residual.T) / 2


def accumulate_var(
    x: AnyArray, order: int, shift: AnyArray, forget: float = 1.0
) -> tuple[FloatArray, float]:
    """Normal equations of a stretch of signal, for models fitted piece by piece.

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        Samples, the first ``order`` of which are only looked back at.
    order : int
        Number of lags.
    shift : array, shape (n_chans,)
        Constant subtracted first, the same for all pieces of a signal.
    forget : float
        Weight of a sample relative to the next.

    Returns
    -------
    gram : float64 array
        To be added up over pieces (older ones multiplied by ``forget ** n``).
    weight : float
        Sum of the weights of the ``n_times - order`` equations.
    """
    n = x.shape[1] - order
    centred = np.asarray(x, np.float64) - np.asarray(shift)[:, np.newaxis]
    rows = [centred[:, order - k : order - k + n] for k in range(1, order + 1)]
    z = np.concatenate([*rows, np.ones((1, n)), centred[:, order:]])
    weights = forget ** np.arange(n - 1, -1, -1.0)
    return (z * weights) @ z.T, float(weights.sum())


def solve_var(gram: AnyArray, weight: float, n_chans: int, order: int, shift: AnyArray) -> VAR:
    """Model from summed normal equations of :func:`accumulate_var`.

    Parameters
    ----------
    gram : array
        Sum over pieces.
    weight : float
        Sum of weights.
    n_chans, order : int
        Sizes.
    shift : array, shape (n_chans,)
        The constant that was subtracted.

    Returns
    -------
    VAR
        The weighted least-squares model.

    Raises
    ------
    DataError
        Fewer equations than coefficients, or redundant channels.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((2, 500))
    >>> model = solve_var(*accumulate_var(x, 2, np.zeros(2)), 2, 2, np.zeros(2))
    >>> bool(np.allclose(model.coefs, fit_var(x, 2).coefs))
    True
    """
    m, n_params = n_chans, n_chans * order + 1
    if weight <= n_params:
        raise DataError(
            f"{weight:.0f} samples cannot determine {n_params} coefficients a channel; lower the "
            "order, or use longer windows or a longer memory."
        )
    present = np.asarray(gram)[-m:, -m:] / weight
    mean = np.asarray(gram)[m * order, -m:] / weight
    _check_cov_rank(present - np.outer(mean, mean))
    beta, residual = _solve(np.asarray(gram), m, order, 0.0)
    coefs = np.ascontiguousarray(beta[:, :-1].reshape(m, order, m).transpose(1, 0, 2))
    constant = beta[:, -1] + shift - coefs.sum(axis=0) @ np.asarray(shift)
    return VAR(coefs, residual / (weight - n_params), constant, round(weight))


def fit_var(x: _Trials, order: int, *, ridge: float = 0.0) -> VAR:
    """Fit a vector autoregressive model by least squares.

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times) or (n_chans, n_times), or list
        Trials of one process, of any lengths; each must hold more than ``order``
        samples to contribute.
    order : int
        Number of lags.
    ridge : float
        Penalty on each coefficient as a share of the power of its lag; 0 is
        ordinary least squares.

    Returns
    -------
    VAR
        The model; check ``radius < 1`` and :func:`whiteness_test`.

    Raises
    ------
    DataError
        Fewer equations than coefficients, redundant channels (unless ridge), NaN.
    ConfigError
        ``order`` below 1 or ``ridge`` below 0.

    Examples
    --------
    >>> e = np.random.default_rng(0).standard_normal((2, 5000))
    >>> x = np.zeros_like(e)
    >>> for t in range(1, 5000):
    ...     x[:, t] = [[0.5, 0.0], [0.6, 0.5]] @ x[:, t - 1] + e[:, t]
    >>> bool(abs(fit_var(x, 1).coefs[0] - [[0.5, 0.0], [0.6, 0.5]]).max() < 0.03)
    True
    """
    if order < 1 or not ridge >= 0:
        raise ConfigError(f"order={order} must be at least 1 and ridge={ridge} not negative.")
    trials = _as_trials(x)
    m = len(trials[0])
    mean = np.concatenate(trials, axis=1).mean(axis=1)
    if ridge == 0:
        _check_rank(trials, mean)
    gram, n_obs = _gram(trials, order, mean)
    n_params = m * order + 1
    if (n_obs <= n_params and ridge == 0) or n_obs < 2:
        raise DataError(
            f"{n_obs} samples with a full past cannot determine {n_params} coefficients a "
            f"channel ({m} channels x order {order}); lower the order, take fewer channels or "
            "more data."
        )
    beta, residual = _solve(gram, m, order, ridge)
    coefs = beta[:, :-1].reshape(m, order, m).transpose(1, 0, 2)
    # samples were centred on `mean` before the fit: undo that in the constant
    intercept = beta[:, -1] + mean - coefs.sum(axis=0) @ mean
    return VAR(np.ascontiguousarray(coefs), residual / max(1, n_obs - n_params), intercept, n_obs)


def choose_order(x: _Trials, max_order: int, criterion: Criterion = "bic") -> OrderChoice:
    """Order of a VAR by an information criterion.

    All orders are compared on the same samples (those with ``max_order`` of past).

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times) or (n_chans, n_times), or list
        Trials.
    max_order : int
        Largest order tried.
    criterion : "aic", "bic" or "hq"
        Akaike (takes too many lags), Schwarz (consistent), Hannan-Quinn.

    Returns
    -------
    OrderChoice
        The order, and the criterion at orders 1 to ``max_order``. An order at the
        end of the range means the range was too short.

    Raises
    ------
    DataError
        Too few samples for ``max_order``, redundant channels, NaN.
    ConfigError
        Unknown criterion.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((2, 3000)).cumsum(axis=1) * 0.1
    >>> choose_order(np.diff(x, axis=1) + 0.0, 4).values.shape
    (4,)
    """
    check_choice("criterion", criterion, ("aic", "bic", "hq"))
    if max_order < 1:
        raise ConfigError(f"max_order={max_order} must be at least 1.")
    trials = _as_trials(x)
    m = len(trials[0])
    mean = np.concatenate(trials, axis=1).mean(axis=1)
    _check_rank(trials, mean)
    gram, n = _gram(trials, max_order, mean)
    if n <= m * (max_order + 1) + 1:
        raise DataError(
            f"{n} samples with a full past are too few to compare orders up to {max_order} for "
            f"{m} channels."
        )
    price = {"aic": 2.0, "bic": np.log(n), "hq": 2 * np.log(np.log(n))}[criterion] / n
    values = np.empty(max_order)
    for p in range(1, max_order + 1):
        _, residual = _solve(gram, m, p, 0.0)
        values[p - 1] = np.linalg.slogdet(residual / n)[1] + price * (p * m * m + m)
    return OrderChoice(int(values.argmin()) + 1, values)


def var_residuals(x: _Trials, model: VAR) -> list[FloatArray]:
    """Prediction errors of a model, trial by trial.

    Parameters
    ----------
    x : array or list
        Trials as in :func:`fit_var`.
    model : VAR
        The model.

    Returns
    -------
    list of float64 array, shape (n_chans, n_times - order)
        Errors of the samples with a full past; trials without one are left out.
    """
    out: list[FloatArray] = []
    for trial in _as_trials(x):
        n = trial.shape[1]
        if n <= model.order:
            continue
        e = trial[:, model.order :] - model.intercept[:, np.newaxis]
        for k, a in enumerate(model.coefs, start=1):
            e = e - a @ trial[:, model.order - k : n - k]
        out.append(e)
    return out


def whiteness_test(x: _Trials, model: VAR, n_lags: int = 20) -> Whiteness:
    """Multivariate portmanteau test (Hosking 1980) that residuals are white.

    Parameters
    ----------
    x : array or list
        The trials the model was fitted to.
    model : VAR
        The model.
    n_lags : int
        Largest lag tested, above the order.

    Returns
    -------
    Whiteness
        With the small-sample weights; a small p means the order is too low.

    Raises
    ------
    ConfigError
        ``n_lags`` is not above the order.

    Examples
    --------
    >>> x = np.random.default_rng(1).standard_normal((3, 2000))
    >>> bool(whiteness_test(x, fit_var(x, 2)).p > 0.01)
    True
    """
    from scipy import special

    if n_lags <= model.order:
        raise ConfigError(f"n_lags={n_lags} must be above the order {model.order}.")
    errors = var_residuals(x, model)
    n = sum(e.shape[1] for e in errors)
    mean = np.concatenate(errors, axis=1).mean(axis=1, keepdims=True)
    centred = [e - mean for e in errors]
    inverse = np.linalg.inv(np.asarray(sum(e @ e.T for e in centred)) / n)
    total = 0.0
    for lag in range(1, n_lags + 1):
        c = sum((e[:, lag:] @ e[:, :-lag].T for e in centred if e.shape[1] > lag), start=0.0) / n
        total += float(np.trace(np.asarray(c).T @ inverse @ c @ inverse)) / (n - lag)
    statistic, df = n**2 * total, model.n_chans**2 * (n_lags - model.order)
    return Whiteness(statistic, df, float(special.chdtrc(df, statistic)))


def multichannel_burg(x: AnyArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Burg's recursion for a few channels at once (Nuttall-Strand), batched.

    Always stable, and good on short windows: the estimator for pairs in windows of
    a quarter of a second. With one channel it is :func:`neuro.signal.burg`.

    Parameters
    ----------
    x : array, shape (..., n_chans, n_times)
        Zero-mean signals, at most 8 channels (the cost of a stage grows with the
        sixth power).
    order : int
        Number of lags, below ``n_times``.

    Returns
    -------
    coefs : float64 array, shape (..., order, n_chans, n_chans)
        Rows are targets, lag 1 first.
    cov : float64 array, shape (..., n_chans, n_chans)
        Covariance of the innovations.

    Raises
    ------
    DataError
        Order or number of channels out of range, or a silent or redundant channel.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((10, 2, 60))
    >>> coefs, cov = multichannel_burg(x - x.mean(axis=-1, keepdims=True), 4)
    >>> coefs.shape, cov.shape
    ((10, 4, 2, 2), (10, 2, 2))
    """
    data = np.asarray(x, np.float64)
    m, n = data.shape[-2:]
    if not 1 <= order < n or m > 8:
        raise DataError(
            f"order={order} must lie between 1 and n_times - 1 = {n - 1}, and at most 8 channels "
            f"go in, got {m}."
        )
    ef, eb = data, data
    pf = pb = data @ _t(data) / n
    if (np.linalg.eigvalsh(pf)[..., 0] <= _RANK_TOLERANCE * np.trace(pf, axis1=-2, axis2=-1)).any():
        raise DataError("A window holds a silent channel or copies of one channel: drop it.")
    forward: list[Any] = []
    backward: list[Any] = []
    eye = np.eye(m)
    for _ in range(order):
        ef, eb = ef[..., 1:], eb[..., :-1]
        left = (ef @ _t(ef)) @ np.linalg.inv(pf)
        right = np.linalg.inv(pb) @ (eb @ _t(eb))
        # left D + D right = 2 ef eb^T, as one linear system in the entries of D
        system = np.einsum("...ij,kl->...ikjl", left, eye) + np.einsum(
            "ij,...lk->...ikjl", eye, right
        )
        lead = system.shape[:-4]
        target = (2 * ef @ _t(eb)).reshape(*lead, m * m, 1)
        d = np.linalg.solve(system.reshape(*lead, m * m, m * m), target).reshape(*lead, m, m)
        a, b = d @ np.linalg.inv(pb), _t(d) @ np.linalg.inv(pf)
        forward, backward = (
            [fk - a @ bk for fk, bk in zip(forward, backward[::-1], strict=True)] + [a],
            [bk - b @ fk for bk, fk in zip(backward, forward[::-1], strict=True)] + [b],
        )
        ef, eb = ef - a @ eb, eb - b @ ef
        pf, pb = (eye - a @ b) @ pf, (eye - b @ a) @ pb
    return np.stack(forward, axis=-3), np.asarray((pf + _t(pf)) / 2)


def _t(a: AnyArray) -> AnyArray:
    return np.swapaxes(a, -1, -2)
