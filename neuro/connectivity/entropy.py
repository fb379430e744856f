"""Transfer entropy: what a source's past says beyond the target's own, in nats.

``TE = I(target now; source past | target past)``. Four estimators: Gaussian (equal
to half of Granger causality), Gaussian copula (any marginals, monotone dependence),
nearest neighbours (any dependence, slow), and plug-in with Miller-Madow correction
for counts and symbols.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.connectivity._epochs import Trials, as_epochs, check_average, check_sfreq
from neuro.connectivity.measure import Average, Estimate, Measure
from neuro.errors import ConfigError, DataError
from neuro.signal._segments import check_choice
from neuro.stats import permutation_p
from neuro.typing import AnyArray, FloatArray, Seed

__all__ = [
    "ENTROPY",
    "TransferMethod",
    "choose_embedding",
    "conditional_information",
    "transfer_entropy",
    "transfer_entropy_p",
]

TransferMethod: TypeAlias = Literal["gaussian", "copula", "ksg", "discrete"]
_METHODS = ("gaussian", "copula", "ksg", "discrete")
_Real: TypeAlias = NDArray[np.float64]


def _logdet(rows: _Real) -> float:
    """Log-determinant of the covariance of (n_vars, n) rows; 0 without variables."""
    if not len(rows):
        return 0.0
    sign, value = np.linalg.slogdet(np.atleast_2d(rows @ rows.T / (rows.shape[1] - 1)))
    if sign <= 0 or not np.isfinite(value):
        raise DataError("Two of the variables are copies of each other: information is infinite.")
    return float(value)


def _entropy_bias(n_vars: int, n: int) -> float:
    """What a Gaussian entropy of ``n_vars`` variables from n samples lacks, in nats."""
    from scipy.special import psi

    terms = psi((n - np.arange(1, n_vars + 1)) / 2.0).sum()
    return float(0.5 * (terms + n_vars * (np.log(2) - np.log(n - 1.0))))


def _gaussian(x: _Real, y: _Real, z: _Real, *, corrected: bool = False) -> float:
    x, y, z = (v - v.mean(axis=1, keepdims=True) for v in (x, y, z))
    xz, yz, xyz = np.vstack([x, z]), np.vstack([y, z]), np.vstack([x, y, z])
    value = 0.5 * (_logdet(xz) + _logdet(yz) - _logdet(z) - _logdet(xyz))
    if corrected:
        n = x.shape[1]
        bias = [_entropy_bias(len(v), n) for v in (xz, yz, z, xyz)]
        value -= bias[0] + bias[1] - bias[2] - bias[3]
    return value


def _copula(x: _Real, y: _Real, z: _Real) -> float:
    """Gaussian information of ranks turned normal (Ince et al. 2017), bias removed."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    n = x.shape[1]

    def normal(v: _Real) -> _Real:
        ranks = np.asarray(rankdata(v, axis=1) if len(v) else v, np.float64)
        return np.asarray(ndtri(ranks / (n + 1)))

    return _gaussian(normal(x), normal(y), normal(z), corrected=True)


def _ksg(x: _Real, y: _Real, z: _Real, k: int = 4) -> float:
    """Nearest neighbours in the maximum norm (Frenzel & Pompe 2007)."""
    from scipy.spatial import cKDTree
    from scipy.special import psi

    if x.shape[1] <= k + 1:
        raise DataError(f"{x.shape[1]} samples are too few for {k} neighbours.")

    def scaled(v: _Real) -> _Real:
        spread = v.std(axis=1, keepdims=True)
        return np.asarray(
            (v - v.mean(axis=1, keepdims=True)) / (spread + (spread == 0)), np.float64
        )

    x, y, z = scaled(x), scaled(y), scaled(z)
    joint = np.vstack([x, y, z]).T
    distance = np.asarray(cKDTree(joint).query(joint, k=k + 1, p=np.inf)[0])[:, -1]
    radius = np.nextafter(distance, 0)  # strictly inside

    def inside(v: _Real) -> _Real:
        points = v.T
        tree = cKDTree(points)
        return np.asarray(tree.query_ball_point(points, radius, p=np.inf, return_length=True))

    value = psi(k) + np.mean(
        psi(inside(z)) - psi(inside(np.vstack([x, z]))) - psi(inside(np.vstack([y, z])))
    )
    return float(value)


def _codes(rows: _Real) -> NDArray[np.int64]:
    """One whole number for each distinct column."""
    code = np.zeros(rows.shape[1], dtype=np.int64)
    for row in rows:
        values, index = np.unique(row, return_inverse=True)
        code = code * len(values) + index
        code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    return code


def _discrete(x: _Real, y: _Real, z: _Real) -> float:
    """Plug-in information with Miller-Madow: (states - 1) / 2n for each entropy."""

    def entropy(rows: _Real) -> float:
        counts = np.bincount(_codes(rows))
        p = counts[counts > 0] / counts.sum()
        return float(-(p * np.log(p)).sum() + (len(p) - 1) / (2 * counts.sum()))

    pairs = (np.vstack([x, z]), np.vstack([y, z]), np.vstack([x, y, z]))
    return entropy(pairs[0]) + entropy(pairs[1]) - entropy(z) - entropy(pairs[2])


_ESTIMATOR: Mapping[str, Callable[[_Real, _Real, _Real], float]] = MappingProxyType(
    {"gaussian": _gaussian, "copula": _copula, "ksg": _ksg, "discrete": _discrete}
)


def conditional_information(
    x: AnyArray, y: AnyArray, z: AnyArray, *, method: TransferMethod = "copula"
) -> float:
    """Conditional mutual information ``I(x; y | z)`` in nats.

    Parameters
    ----------
    x, y, z : array, shape (n_vars, n_samples)
        Variables; ``z`` may have no rows.
    method : "gaussian", "copula", "ksg" or "discrete"
        Estimator; "copula" and "discrete" subtract their bias, so values of
        unrelated variables scatter about 0 and may be negative.

    Returns
    -------
    float
        Information in nats.

    Raises
    ------
    DataError
        Lengths differ, too few samples, or copies among the variables.
    ConfigError
        Unknown method.

    Examples
    --------
    >>> x, e = np.random.default_rng(0).standard_normal((2, 1, 5000))
    >>> value = conditional_information(x, x + e, np.empty((0, 5000)), method="gaussian")
    >>> bool(abs(value - np.log(2) / 2) < 0.02)
    True
    """
    check_choice("method", method, _METHODS)
    a, b, c = (np.atleast_2d(np.asarray(v, np.float64)) for v in (x, y, z))
    n = a.shape[1]
    if not (n == b.shape[1] == c.shape[1]) or n < 3 + len(a) + len(b) + len(c):
        raise DataError(
            f"Variables of shapes {a.shape}, {b.shape}, {c.shape}: the same number of samples is "
            "needed, and more of them than variables."
        )
    return _ESTIMATOR[method](a, b, c)


def _past(trials: Sequence[_Real], channels: Sequence[int], depth: int, skip: int) -> _Real:
    """Rows: each channel at lags 1 to ``depth``; columns: samples after ``skip``, all trials."""
    if not len(channels):
        return np.empty((0, sum(t.shape[1] - skip for t in trials)))
    parts = [
        np.stack([t[c, skip - k : t.shape[1] - k] for c in channels for k in range(1, depth + 1)])
        for t in trials
    ]
    return np.concatenate(parts, axis=1)


def _now(trials: Sequence[_Real], channel: int, skip: int) -> _Real:
    return np.concatenate([t[channel : channel + 1, skip:] for t in trials], axis=1)


def _pair(
    trials: Sequence[_Real],
    source: int,
    target: int,
    depth: tuple[int, int],
    method: str,
    given: Sequence[int],
) -> float:
    """TE of one pair, pasts of ``depth`` = (source, target) samples."""
    skip = max(depth)
    own = _past(trials, [target], depth[1], skip)
    rest = _past(trials, given, depth[0], skip)
    return _ESTIMATOR[method](
        _past(trials, [source], depth[0], skip),
        _now(trials, target, skip),
        np.vstack([own, rest]),
    )


def choose_embedding(
    x: Trials, *, max_lag: int = 10, method: TransferMethod = "copula", gain: float = 0.001
) -> int:
    """Samples of its own past a channel needs: the last one that still says something.

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times), or list of (n_chans, n_times)
        Trials.
    max_lag : int
        Largest depth tried.
    method : str
        As in :func:`conditional_information`.
    gain : float
        Least information, in nats, that one more sample must add (for "gaussian",
        whose bias is not removed, add ``1 / n_samples``).

    Returns
    -------
    int
        The largest depth over channels, at least 1.

    Examples
    --------
    >>> e = np.random.default_rng(0).standard_normal((1, 4000))
    >>> for t in range(3, 4000):
    ...     e[0, t] += 0.6 * e[0, t - 3]
    >>> choose_embedding(e, max_lag=6)
    3
    """
    check_choice("method", method, _METHODS)
    trials = [np.asarray(t, np.float64) for t in as_epochs(x, min_chans=1).trials]
    trials = [t for t in trials if t.shape[1] > max_lag]
    if max_lag < 1 or not trials:
        raise DataError(f"max_lag={max_lag} must be at least 1 and shorter than a trial.")
    deepest = 1
    for channel in range(trials[0].shape[0]):
        now, past = _now(trials, channel, max_lag), _past(trials, [channel], max_lag, max_lag)
        for lag in range(max_lag, deepest, -1):
            if _ESTIMATOR[method](past[lag - 1 : lag], now, past[: lag - 1]) > gain:
                deepest = lag
                break
    return deepest


def _prepare(
    x: Trials, method: str, ch_names: Sequence[str] | None, depth: tuple[int, int]
) -> tuple[list[_Real], int, tuple[int, ...]]:
    check_choice("method", method, _METHODS)
    if min(depth) < 1:
        raise ConfigError(f"source_lags and target_lags must be at least 1, got {depth}.")
    epochs = as_epochs(x, ch_names=ch_names)
    trials = [np.asarray(t, np.float64) for t in epochs.trials]
    kept = [i for i, t in enumerate(trials) if t.shape[1] > max(depth)]
    trials = [trials[i] for i in kept]
    samples = sum(t.shape[1] - max(depth) for t in trials)
    if samples < 10 + 4 * sum(depth):
        raise DataError(
            f"{samples} samples with a full past are too few for a past of {sum(depth)}; use "
            "more data or fewer lags."
        )
    if method == "discrete":
        states = [
            len(np.unique(np.concatenate([t[c] for t in trials]))) for c in range(len(trials[0]))
        ]
        if max(states) > max(16, samples // 8):
            raise DataError(
                f"A channel takes {max(states)} values in {samples} samples: 'discrete' is for "
                "counts and symbols. Bin it, or use 'copula'."
            )
    return trials, epochs.n_dropped, tuple(epochs.kept[kept].tolist())


def transfer_entropy(
    x: Trials,
    sfreq: float,
    *,
    average: Average,
    method: TransferMethod = "copula",
    source_lags: int = 1,
    target_lags: int | None = None,
    conditional: bool = False,
    ch_names: Sequence[str] | None = None,
) -> Estimate:
    """Transfer entropy of every pair, in nats.

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times), or list of (n_chans, n_times)
        Trials; pasts never cross them.
    sfreq : float
        Sampling rate in Hz (kept for the record).
    average : "trials" or "time"
        One value over all trials, or one a trial.
    method : "gaussian", "copula", "ksg" or "discrete"
        As in :func:`conditional_information`.
    source_lags : int
        Samples of the source's past.
    target_lags : int or None
        Samples of the target's own past; None asks :func:`choose_embedding`. A past
        too short leaves the target's own memory to be mistaken for the source's.
    conditional : bool
        Given also the past of all other channels.
    ch_names : sequence of str or None
        Names for messages.

    Returns
    -------
    Estimate
        Values ([trial,] source, target), diagonal 0.

    Raises
    ------
    DataError
        Too few samples, copies among channels, or too many values for "discrete".
    ConfigError
        Unknown method or lags below 1.

    Examples
    --------
    >>> e = np.random.default_rng(0).standard_normal((2, 3000))
    >>> for t in range(1, 3000):
    ...     e[1, t] += 0.8 * e[0, t - 1]
    >>> te = transfer_entropy(e, 100, average="trials", target_lags=1).values
    >>> bool(abs(te[0, 1] - np.log(1.64) / 2) < 0.03), bool(te[1, 0] < 0.01)
    (True, True)
    """
    check_average(average)
    check_sfreq(sfreq)
    lags = target_lags
    if lags is None:
        # symbols: every further sample multiplies the number of states
        lags = choose_embedding(x, method=method, max_lag=3 if method == "discrete" else 10)
    depth = (source_lags, lags)
    trials, n_dropped, kept = _prepare(x, method, ch_names, depth)
    parts = []
    for group in [[t] for t in trials] if average == "time" else [trials]:
        parts.append(_all_pairs(group, depth, method, conditional))
    by_trial = average == "time"
    return Estimate(
        np.stack(parts) if by_trial else parts[0],
        (*(("trial",) if by_trial else ()), "source", "target"),
        n_windows=1 if by_trial else len(trials),
        n_eff=float(
            min(t.shape[1] for t in trials) if by_trial else sum(t.shape[1] for t in trials)
        ),
        attrs=MappingProxyType(
            {
                "estimator": method,
                "average": average,
                "source_lags": source_lags,
                "target_lags": lags,
                "conditional": conditional,
                "n_dropped": n_dropped,
                "kept_trials": kept,
            }
        ),
    )


def _all_pairs(
    trials: Sequence[_Real], depth: tuple[int, int], method: str, conditional: bool
) -> _Real:
    m = trials[0].shape[0]
    out = np.zeros((m, m))
    for i in range(m):
        for j in range(m):
            if i != j:
                rest = [c for c in range(m) if c not in (i, j)] if conditional else []
                out[i, j] = _pair(trials, i, j, depth, method, rest)
    return out


def transfer_entropy_p(
    x: Trials,
    *,
    method: TransferMethod = "copula",
    source_lags: int = 1,
    target_lags: int = 1,
    n: int = 199,
    seed: Seed,
) -> FloatArray:
    """P-values of the transfer entropy of every pair.

    The source is shifted around its trial (several trials: the same shift share of
    each), which keeps its own memory and breaks the coupling; shuffled samples would
    destroy both and call everything significant.

    Parameters
    ----------
    x : array, shape (n_epochs, n_chans, n_times), or list of (n_chans, n_times)
        Trials.
    method, source_lags, target_lags
        As in :func:`transfer_entropy`.
    n : int
        Number of surrogates.
    seed : int or Generator
        Source of randomness.

    Returns
    -------
    float64 array, shape (n_chans, n_chans)
        p for source (row) on target (column), at least ``1 / (n + 1)``; 1 on the
        diagonal.

    Examples
    --------
    >>> e = np.random.default_rng(0).standard_normal((2, 500))
    >>> for t in range(1, 500):
    ...     e[1, t] += 0.8 * e[0, t - 1]
    >>> p = transfer_entropy_p(e, method="gaussian", n=49, seed=0)
    >>> float(p[0, 1]), bool(p[1, 0] > 0.05)
    (0.02, True)
    """
    if n < 1:
        raise ConfigError(f"n={n} surrogates: at least 1 is needed.")
    depth = (source_lags, target_lags)
    trials, _, _ = _prepare(x, method, None, depth)
    rng = np.random.default_rng(seed)
    m = trials[0].shape[0]
    out = np.ones((m, m))
    # a shift by less than a tenth would leave part of the coupling in place
    shares = rng.uniform(0.1, 0.9, size=n)
    for i in range(m):
        for j in range(m):
            if i == j:
                continue
            pair = [t[[i, j]] for t in trials]
            observed = _pair(pair, 0, 1, depth, method, [])
            null = np.empty(n)
            for s, share in enumerate(shares):
                moved = [np.stack([np.roll(t[0], round(share * t.shape[1])), t[1]]) for t in pair]
                null[s] = _pair(moved, 0, 1, depth, method, [])
            out[i, j] = permutation_p(observed, null)
    return out


ENTROPY: Mapping[str, Measure] = MappingProxyType(
    {
        "transfer_entropy": Measure(
            "transfer_entropy",
            transfer_entropy,
            directed=True,
            unit="nats",
            range=(float("-inf"), float("inf")),  # unbiased estimates scatter about 0
            signed=False,
            needs="samples",
            min_windows=1,
            reference="Schreiber 2000; Ince et al. 2017; Frenzel & Pompe 2007",
            symmetry="none",
        )
    }
)
"""Information measures by name."""
