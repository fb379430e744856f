"""Nested parts of the training labels, whole units at a time."""

import numpy as np

from neuro.errors import ConfigError
from neuro.typing import AnyArray, IntArray, Seed

__all__ = ["labelled_part"]


def labelled_part(
    rows: IntArray, y: AnyArray, units: AnyArray, share: float, seed: Seed = 0
) -> IntArray:
    """Rows of a share of the training units; a larger share holds every smaller one.

    Units (subjects, runs or trials, whichever the evaluation resamples) are
    drawn whole, and in each class as many as its share asks for, at least
    one. Where a unit holds several classes it counts for its most frequent.

    Parameters
    ----------
    rows : ndarray of int
        Training rows.
    y : ndarray, shape (len(rows), ...)
        Their targets; floats are not stratified.
    units : ndarray, shape (len(rows),)
        Their units.
    share : float
        Above 0, at most 1.
    seed : int or Generator
        The order in which units are taken.

    Returns
    -------
    ndarray of int
        Part of `rows`, in their order.

    Raises
    ------
    ConfigError
        If the share is not above 0 and at most 1.

    Examples
    --------
    >>> y = np.repeat([0, 1], 50)
    >>> part = labelled_part(np.arange(100), y, np.arange(100), 0.1)
    >>> np.bincount(y[part]).tolist()
    [5, 5]
    """
    if not 0 < share <= 1:
        raise ConfigError(f"A share of labels lies above 0 and at most at 1, got {share}.")
    if share == 1:
        return rows
    names, unit = np.unique(units, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    stratum = _strata(y, unit, len(names))
    taken = np.zeros(len(names), dtype=bool)
    for kind in np.unique(stratum):
        mine = order[stratum[order] == kind]
        taken[mine[: max(1, int(np.ceil(share * len(mine) - 1e-9)))]] = True
    return np.asarray(rows[taken[unit]])


def _strata(y: AnyArray, unit: IntArray, n: int) -> IntArray:
    """Most frequent class of each unit; 0 for all where targets are no classes."""
    if y.dtype.kind != "i" or y.ndim > 1:
        return np.zeros(n, dtype=np.int64)
    table = np.zeros((n, int(y.max()) + 1))
    np.add.at(table, (unit, y), 1.0)
    return np.asarray(table.argmax(1))
