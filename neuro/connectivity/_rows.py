"""Series as checked rows, and the covariance estimators a user may name."""

from typing import Literal, TypeAlias

import numpy as np

from neuro.errors import DataError
from neuro.typing import AnyArray, FloatArray

__all__ = ["ESTIMATORS", "Estimator", "as_rows"]

Estimator: TypeAlias = Literal["empirical", "ledoit_wolf", "oas", "graphical_lasso"]
ESTIMATORS = ("empirical", "ledoit_wolf", "oas", "graphical_lasso")


def as_rows(x: AnyArray, least: int = 3) -> FloatArray:
    """Series as float64 with each row centred; refuses NaN and constant rows.

    Examples
    --------
    >>> as_rows(np.array([[1, 2, 3]])).tolist()
    [[-1.0, 0.0, 1.0]]
    """
    found = np.asarray(x, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] < least:
        raise DataError(
            f"Series must have shape (n_chans, n_times >= {least}), got {found.shape}; time last."
        )
    if not np.isfinite(found).all():
        rows = np.flatnonzero(~np.isfinite(found).all(axis=1))
        raise DataError(f"NaN or inf in row(s) {rows[:8].tolist()}: drop or interpolate them.")
    # float64 throughout: raw BOLD of mean 1e4 and sd 50 loses its digits in float32
    centred = found - found.mean(axis=1, keepdims=True)
    floor = 1e-12 * np.abs(found).max(axis=1)
    flat = np.flatnonzero(np.abs(centred).max(axis=1) <= floor)
    if len(flat):
        raise DataError(f"Row(s) {flat[:8].tolist()} are constant: they correlate with nothing.")
    return np.asarray(centred)
