"""Features of every row: vectors as they are, or connectivity of recordings."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuro.connectivity import connectivity, fisher_z, vector_of
from neuro.data import Recording, Static, Windows
from neuro.errors import DataError
from neuro.models.demovae.config import Measure
from neuro.typing import AnyArray, FloatArray

__all__ = ["checked_rows", "features_of", "is_recorded"]


def is_recorded(x: Any) -> bool:
    """Whether rows are recordings or windows, which know their demographics."""
    if isinstance(x, Windows | Recording):
        return True
    return isinstance(x, list | tuple) and len(x) > 0 and isinstance(x[0], Recording)


def features_of(x: Any, measure: Measure, stream: str | None = None) -> FloatArray:
    """Connectivity vectors of anything that has them.

    Parameters
    ----------
    x : array (n, n_features) or (n, n_rois, n_rois), Recordings, or Windows
        Vectors, symmetric matrices, or what connectivity is computed of. A static
        stream holds the vector or matrix itself.
    measure : str
        Of recordings and windows.
    stream : str, optional
        Of recordings with several.

    Returns
    -------
    float64 array, shape (n, n_features)
        Upper triangles, row by row, without the diagonal.

    Raises
    ------
    DataError
        No rows, or series that give no connectivity (constant, NaN, too short).
    """
    if not is_recorded(x):
        return _triangles(_array(x))
    if not isinstance(x, Windows):
        recordings = [x] if isinstance(x, Recording) else list(x)
        if stream is None and len(recordings[0].streams) == 1:
            stream = next(iter(recordings[0].streams))
        if stream is not None and isinstance(recordings[0].stream(stream), Static):
            return _triangles(_statics(recordings, stream))
        x = recordings
    method = "correlation" if measure == "fisher_z" else measure
    if isinstance(x, Windows):
        found = connectivity(x, method=method, average="time").values
    else:
        found = connectivity(x, method=method, stream=stream).values
    return np.asarray(vector_of(fisher_z(found) if measure == "fisher_z" else found))


def checked_rows(x: FloatArray, n_features: int | None = None) -> FloatArray:
    """Rows without a fault; training rows if the number of features is not known yet.

    Raises
    ------
    DataError
        NaN, features that never change, too few rows, or another number of features.
    """
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        columns = np.flatnonzero(~np.isfinite(x).all(axis=0))
        raise DataError(
            f"{len(bad)} of {len(x)} rows hold NaN or infinity (rows {bad[:5].tolist()}, features "
            f"{columns[:5].tolist()}): drop these rows, or the regions without signal."
        )
    if n_features is not None:
        if x.shape[1] != n_features:
            raise DataError(
                f"{x.shape[1]} features a row; the model was fitted to {n_features}: another atlas "
                "or another order of regions cannot be read."
            )
        return x
    if len(x) < 3:
        raise DataError(f"{len(x)} rows are too few to learn a distribution from.")
    constant = np.flatnonzero(np.ptp(x, axis=0) <= 1e-9 * np.abs(x).max())
    if len(constant):
        raise DataError(
            f"{len(constant)} of {x.shape[1]} features never change (the first is number "
            f"{constant[0]}): leave them out; they may be regions without signal."
        )
    return x


def _array(x: Any) -> FloatArray:
    found = np.asarray(x)
    if found.dtype.kind not in "fiu" or found.ndim not in (2, 3) or 0 in found.shape:
        raise DataError(
            "Expected vectors (n, n_features), matrices (n, n_rois, n_rois), recordings or "
            f"windows; got {found.dtype} {found.shape}."
        )
    return np.asarray(found, dtype=np.float64)


def _triangles(found: AnyArray) -> FloatArray:
    if found.ndim == 2:
        return np.asarray(found)
    turned = np.swapaxes(found, 1, 2)
    if found.shape[1] != found.shape[2] or not np.allclose(found, turned, equal_nan=True):
        raise DataError(
            f"An array of shape {found.shape} holds no symmetric matrices. Series become features "
            "by neuro.connectivity, or give recordings."
        )
    return vector_of(found)


def _statics(recordings: Sequence[Recording], stream: str) -> FloatArray:
    arrays = [np.asarray(rec.stream(stream).array) for rec in recordings]  # type: ignore[union-attr]
    if len({a.shape for a in arrays}) > 1:
        shapes = sorted({a.shape for a in arrays})
        raise DataError(f"Stream {stream!r} has different shapes: {shapes[:3]}.")
    return _array(np.stack(arrays))
