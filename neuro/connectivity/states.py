"""States of dynamic connectivity: clustering, and what a sequence of states says."""

from typing import Literal, NamedTuple

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.stats import permutation_p, phase_randomise
from neuro.typing import AnyArray, FloatArray, IntArray, Seed

__all__ = ["StateSummary", "States", "VarianceTest", "cluster_states", "dynamics_test",
           "state_summary"]  # fmt: skip


class States(NamedTuple):
    """``labels`` (n_windows,), ``centroids`` (k, n_features), ``inertia`` within states."""

    labels: IntArray
    centroids: FloatArray
    inertia: float


class StateSummary(NamedTuple):
    """How states follow each other.

    ``occupancy`` (k,) share of windows; ``dwell_s`` (k,) mean length of a visit,
    NaN for a state never visited; ``transitions`` (k, k) probability of going
    from row to column at a step, staying included; ``n_transitions`` changes.
    """

    occupancy: FloatArray
    dwell_s: FloatArray
    transitions: FloatArray
    n_transitions: int


class VarianceTest(NamedTuple):
    """Variance of connectivity over windows beside surrogates that are stationary."""

    variance: float
    null: FloatArray
    p: float


def cluster_states(
    features: AnyArray,
    k: int,
    *,
    seed: Seed,
    metric: Literal["euclidean", "correlation"] = "euclidean",
    n_init: int = 10,
    exemplars: AnyArray | None = None,
) -> States:
    """Group windows into k recurring states by k-means.

    Parameters
    ----------
    features : array, shape (n_windows, n_features)
        Vectors of windowed correlations, or LEiDA eigenvectors.
    k : int
        Number of states.
    seed : int or Generator
        Of the starts.
    metric : "euclidean" or "correlation"
        Correlation compares patterns whatever their size: rows are centred and
        scaled first.
    n_init : int
        Starts; the best is kept.
    exemplars : array, shape (n_windows,), optional
        Recording of each window. The centroids are found on each recording's
        windows of above-median variance, so that none dominates, and then
        refined on all windows.

    Returns
    -------
    States
        In order of decreasing occupancy.

    Raises
    ------
    ConfigError
        k out of range or unknown metric.
    DataError
        NaN in the features.

    Examples
    --------
    >>> x = np.concatenate([np.zeros((20, 2)), np.ones((10, 2))])
    >>> cluster_states(x, 2, seed=0).centroids.round(6).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    from sklearn.cluster import KMeans

    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise DataError(f"Features must be finite (n_windows, n_features), got {x.shape}.")
    if not 2 <= k <= len(x):
        raise ConfigError(f"k={k} must be from 2 to the number of windows, {len(x)}.")
    if metric not in ("euclidean", "correlation"):
        raise ConfigError(f"metric={metric!r} is not known: use 'euclidean' or 'correlation'.")
    if metric == "correlation":
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    state = int(np.random.default_rng(seed).integers(2**31 - 1))
    init: AnyArray | str = "k-means++"
    if exemplars is not None:
        chosen = _exemplars(x, np.asarray(exemplars), k)
        init = KMeans(k, n_init=n_init, random_state=state).fit(x[chosen]).cluster_centers_
        n_init = 1
    model = KMeans(k, init=init, n_init=n_init, random_state=state).fit(x)
    order = np.argsort(-np.bincount(model.labels_, minlength=k), kind="stable")
    rank = np.empty(k, dtype=np.int64)
    rank[order] = np.arange(k)
    return States(rank[model.labels_], np.asarray(model.cluster_centers_)[order], model.inertia_)


def _exemplars(x: FloatArray, recording: AnyArray, k: int) -> IntArray:
    """Windows of above-median variance in each recording."""
    if recording.shape != (len(x),):
        raise DataError(f"exemplars must name the recording of each of {len(x)} windows.")
    spread = x.var(axis=1)
    chosen = [
        rows[spread[rows] >= np.median(spread[rows])]
        for rows in (np.flatnonzero(recording == r) for r in np.unique(recording))
    ]
    found = np.concatenate(chosen)
    return found if len(found) >= k else np.arange(len(x))


def state_summary(
    labels: AnyArray, step_s: float, *, run: AnyArray | None = None, k: int | None = None
) -> StateSummary:
    """Occupancy, dwell times and transitions of a sequence of states.

    Parameters
    ----------
    labels : int array, shape (n_windows,)
        State of each window in time order.
    step_s : float
        Seconds from window to window.
    run : array, shape (n_windows,), optional
        Segment or recording of each window: no visit or transition runs
        across a change.
    k : int, optional
        Number of states; one more than the largest label by default.

    Returns
    -------
    StateSummary

    Raises
    ------
    DataError
        No labels, negative ones, or a run of another length.

    Examples
    --------
    >>> found = state_summary(np.array([0, 0, 1, 1, 1, 0]), 2.0)
    >>> found.occupancy.tolist(), found.dwell_s.tolist(), found.n_transitions
    ([0.5, 0.5], [3.0, 6.0], 2)
    """
    found = np.asarray(labels)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu" or found.min() < 0:
        raise DataError("labels must be non-negative whole numbers, one a window.")
    runs = np.zeros(len(found), np.int64) if run is None else np.unique(run, return_inverse=True)[1]
    if len(runs) != len(found):
        raise DataError(f"{len(runs)} run entries for {len(found)} windows.")
    size = int(found.max()) + 1 if k is None else k
    if size <= found.max():
        raise DataError(f"k={size}, but a label is {int(found.max())}.")
    joined = runs[1:] == runs[:-1]
    counts = np.zeros((size, size))
    np.add.at(counts, (found[:-1][joined], found[1:][joined]), 1)
    visits = np.concatenate([[True], ~joined | (found[1:] != found[:-1])])
    n_visits = np.bincount(found[visits], minlength=size)
    n_windows = np.bincount(found, minlength=size)
    dwell = np.divide(n_windows * step_s, n_visits, out=np.full(size, np.nan), where=n_visits > 0)
    total = counts.sum(axis=1, keepdims=True)
    rates = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    changes = int((joined & (found[1:] != found[:-1])).sum())
    return StateSummary(n_windows / len(found), dwell, rates, changes)


def dynamics_test(
    x: AnyArray,
    sfreq: float,
    *,
    window_s: float = 60.0,
    taper: str = "hann",
    step_s: float | None = None,
    n: int = 99,
    seed: Seed,
) -> VarianceTest:
    """Whether connectivity varies more over time than a stationary process would.

    The surrogates get the same random phases in all rows, which keeps spectra
    and static covariance (Prichard & Theiler 1994).

    Parameters
    ----------
    x : array, shape (n_chans, n_times)
        One continuous stretch.
    sfreq : float
        Hz.
    window_s, taper, step_s
        As in :func:`~neuro.connectivity.windowed_correlation`.
    n : int
        Number of surrogates.
    seed : int or Generator
        Source of randomness.

    Returns
    -------
    VarianceTest
        Mean over pairs of the variance over windows, its null, and p.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((4, 300))
    >>> 0 < dynamics_test(x, 0.5, n=19, seed=0).p <= 1
    True
    """
    from neuro.connectivity.dynamic import windowed_correlation

    def spread(series: FloatArray) -> float:
        found = windowed_correlation(
            series,
            sfreq,
            window_s=window_s,
            step_s=step_s,
            taper=taper,  # type: ignore[arg-type]
        )
        return float(found.values.var(axis=0).mean())

    series = np.asarray(x, dtype=np.float64)
    observed = spread(series)
    null = np.array([spread(s) for s in phase_randomise(series, n=n, seed=seed)])
    return VarianceTest(observed, null, float(permutation_p(observed, null)))
