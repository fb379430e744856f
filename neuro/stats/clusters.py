"""Cluster permutation tests: where on a line, plane or set of sensors an effect lies."""

import inspect
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.stats.resampling import Tail
from neuro.typing import AnyArray, FloatArray, IntArray, Seed

__all__ = ["Clusters", "cluster_permutation"]

_TAILS = {"greater": 1, "less": -1, "two-sided": 0}


class Clusters(NamedTuple):
    """Groups of neighbours that exceed the threshold together.

    A small p says that the data differ somewhere in the cluster; it does not
    make its border or its peak certain (Sassenhagen & Draschkow 2019).
    """

    statistic: FloatArray  # (...), t at every point
    label: IntArray  # (...), 0 outside, else the cluster's number from 1, most significant first
    p: FloatArray  # (n_clusters,), corrected for all points
    mass: FloatArray  # (n_clusters,), sum of t

    def significant(self, level: float = 0.05) -> AnyArray:
        """Points in a cluster with p below `level`, (...)."""
        return np.isin(self.label, 1 + np.flatnonzero(self.p < level))


def cluster_permutation(
    x: AnyArray,
    y: AnyArray | None = None,
    *,
    seed: Seed,
    n: int = 999,
    tail: Tail = "two-sided",
    threshold: float | None = None,
    adjacency: Any = None,
) -> Clusters:
    """Test every point of a map at once, by the mass of clusters (mne's implementation).

    Parameters
    ----------
    x : array, shape (n_units, ...)
        One map an independent unit (subject): a difference that is 0 without
        an effect, or the first group if `y` is given.
    y : array, shape (n_other_units, ...), or None
        Second group of other units; for two conditions of the same units pass
        their difference as `x`.
    seed : int or Generator
        Source of randomness.
    n : int
        Number of permutations: sign flips, or exchanges between the groups.
    tail : "greater", "less" or "two-sided"
        Which differences (x above or below 0 or y) count.
    threshold : float, optional
        Absolute t from which on points join; that of p 0.05 at a single point
        if omitted. It decides what kind of cluster is found, not the level.
    adjacency : sparse matrix, False or None
        Which points are neighbours, as from `mne.channels.find_ch_adjacency` or
        `mne.stats.combine_adjacency`; None: neighbours along every axis; False:
        none.

    Returns
    -------
    Clusters

    Raises
    ------
    DataError
        Fewer than three units a group, maps of different shape, NaN, or points
        that are equal in all units.
    ConfigError
        Unknown tail or a threshold that is not positive.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((12, 30))
    >>> x[:, 10:18] += 2
    >>> found = cluster_permutation(x, seed=0, n=99)
    >>> float(found.p[0]), int(found.label[12])
    (0.01, 1)
    """
    groups = [np.asarray(a, dtype=np.float64) for a in ((x,) if y is None else (x, y))]
    _check(groups, n, tail, threshold)
    from mne import stats as mne_stats

    if y is None:
        test, statistic, df = (
            mne_stats.permutation_cluster_1samp_test,
            mne_stats.ttest_1samp_no_p,
            len(groups[0]) - 1,
        )
    else:
        test, statistic, df = (
            mne_stats.permutation_cluster_test,
            mne_stats.ttest_ind_no_p,
            len(groups[0]) + len(groups[1]) - 2,
        )
    # mne counts the data themselves as one of its permutations: the +1 rule
    options: dict[str, Any] = {"n_permutations": n + 1, "stat_fun": statistic}
    draw = int(np.random.default_rng(seed).integers(2**31 - 1))
    options["rng" if "rng" in inspect.signature(test).parameters else "seed"] = draw
    t_min = threshold or _t_of_five_percent(df, tail)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No clusters found", category=RuntimeWarning)
        values, masks, p, _ = test(
            groups[0] if y is None else groups,
            threshold=-t_min if tail == "less" else t_min,
            tail=_TAILS[tail],
            adjacency=_fitting(adjacency, groups[0][0].size),
            out_type="mask",
            buffer_size=None,
            verbose="error",
            **options,
        )
    return _ordered(np.asarray(values), masks, np.asarray(p))


def _check(groups: Sequence[FloatArray], n: int, tail: str, threshold: float | None) -> None:
    first = groups[0]
    if first.ndim < 2 or any(g.shape[1:] != first.shape[1:] for g in groups) or not first.size:
        shapes = " and ".join(str(g.shape) for g in groups)
        raise DataError(f"Maps of one shape are needed, (n_units, ...), got {shapes}.")
    if min(len(g) for g in groups) < 3:
        raise DataError(f"At least three units a group, got {[len(g) for g in groups]}.")
    if not all(np.isfinite(g).all() for g in groups):
        raise DataError("NaN or inf in a map: leave that unit or those points out.")
    spread = np.max([np.ptp(g, axis=0) for g in groups], axis=0)
    if (spread == 0).any():
        raise DataError(
            f"{int((spread == 0).sum())} points are equal in all units, so their t is not "
            "defined; leave them out."
        )
    if tail not in _TAILS:
        raise ConfigError(f"tail={tail!r} is not known: use 'greater', 'less' or 'two-sided'.")
    if n < 1 or (threshold is not None and not threshold > 0):
        raise ConfigError(f"n={n} and threshold={threshold} must be positive.")


def _t_of_five_percent(df: int, tail: str) -> float:
    from scipy import special

    return float(special.stdtrit(df, 0.975 if tail == "two-sided" else 0.95))


def _fitting(adjacency: Any, n_points: int) -> Any:
    shape = getattr(adjacency, "shape", None)
    if shape is not None and shape != (n_points, n_points):
        raise DataError(
            f"adjacency has shape {shape} for maps of {n_points} points; combine sensors and times "
            "with mne.stats.combine_adjacency."
        )
    return adjacency


def _ordered(t: FloatArray, where: list[Any], p: FloatArray) -> Clusters:
    """Number the clusters by p, then by mass; mne gives slices for a line, else masks."""
    masks = []
    for place in where:
        mask = np.zeros(t.shape, dtype=bool)
        mask[place] = True
        masks.append(mask)
    mass = np.array([t[m].sum() for m in masks])
    order = np.lexsort((-np.abs(mass), p))
    label = np.zeros(t.shape, dtype=np.int64)
    for number, k in enumerate(order, start=1):
        label[masks[k]] = number
    return Clusters(t, label, p[order], mass[order])
