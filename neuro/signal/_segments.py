"""Rules every operation along time shares: segments, missing samples, edges.

A segment is a half-open sample range that nothing may cross. What follows a
gap is a new beginning, for a filter as for a resampler.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.typing import AnyArray, FloatArray

__all__ = [
    "Missing",
    "Segments",
    "as_rows",
    "check_choice",
    "check_finite",
    "check_segments",
    "odd_extend",
    "row_blocks",
    "row_name",
]

Missing: TypeAlias = Literal["raise", "propagate"]
Segments: TypeAlias = AnyArray | Sequence[Sequence[int]]

_BLOCK_SAMPLES = 1 << 22  # float64 work arrays of about 32 MB, whatever the recording's size


def check_choice(name: str, value: str, options: Sequence[str]) -> None:
    """Raise ConfigError unless ``value`` is one of ``options``."""
    if value not in options:
        raise ConfigError(f"{name}={value!r} is not known. {did_you_mean(str(value), options)}")


def check_segments(segments: Segments | None, n_times: int) -> NDArray[np.int64]:
    """Segments as int64 (n, 2), checked; None means one segment over all samples.

    Parameters
    ----------
    segments : int array, shape (n, 2), or None
        Half-open sample ranges, in order, not overlapping.
    n_times : int
        Number of samples they index.

    Returns
    -------
    int64 array, shape (n, 2)
        The same ranges.

    Raises
    ------
    DataError
        Wrong shape or type, none given, empty, out of range or overlapping.

    Examples
    --------
    >>> check_segments(None, 10).tolist()
    [[0, 10]]
    """
    if n_times < 1:
        raise DataError("The signal has no samples: the time axis (last) has length 0.")
    if segments is None:
        return np.array([[0, n_times]], dtype=np.int64)
    found = np.asarray(segments)
    if found.ndim != 2 or found.shape[1] != 2 or len(found) == 0 or found.dtype.kind not in "iu":
        raise DataError(
            f"segments must be whole numbers of shape (n >= 1, 2), got {found.dtype} "
            f"{found.shape}: one row [start, stop) a segment."
        )
    ranges = found.astype(np.int64)
    bad = (ranges[:, 0] < 0) | (ranges[:, 0] >= ranges[:, 1]) | (ranges[:, 1] > n_times)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        start, stop = ranges[i].tolist()
        raise DataError(
            f"Segment {i} is [{start}, {stop}) but must be a non-empty part of [0, {n_times})."
        )
    if (ranges[1:, 0] < ranges[:-1, 1]).any():
        i = int(np.flatnonzero(ranges[1:, 0] < ranges[:-1, 1])[0])
        raise DataError(
            f"Segments {i} and {i + 1} overlap or are out of order; sort and merge them."
        )
    return ranges


def as_rows(x: AnyArray) -> tuple[AnyArray, tuple[int, ...], np.dtype[Any]]:
    """View of ``x`` as (rows, time), its leading shape, and the result's float type.

    float32 stays float32 (the arithmetic is float64 all the same); every
    other real type gives float64.
    """
    x = np.asarray(x)
    if x.ndim < 1 or x.dtype.kind not in "fiu":
        raise DataError(
            f"Expected real numbers with time last, got dtype {x.dtype} and shape {x.shape}."
        )
    dtype = np.dtype(np.float32 if x.dtype == np.float32 else np.float64)
    n_rows = int(np.prod(x.shape[:-1], dtype=np.int64))
    return x.reshape(n_rows, x.shape[-1]), x.shape[:-1], dtype


def row_name(row: int, lead: tuple[int, ...], ch_names: Sequence[str] | None) -> str:
    """How messages call a flat row index: the channel's name, else its index."""
    index = np.unravel_index(row, lead) if lead else ()
    if ch_names is not None and lead and len(ch_names) == lead[-1]:
        return f"channel {ch_names[int(index[-1])]!r}"
    if len(index) == 1:
        return f"channel {int(index[0])}"
    return f"row {tuple(int(i) for i in index)}" if lead else "the signal"


def check_finite(
    rows: AnyArray,
    segments: NDArray[np.int64],
    lead: tuple[int, ...],
    ch_names: Sequence[str] | None,
) -> None:
    """Raise DataError that names the first channel with NaN or inf inside a segment."""
    if rows.dtype.kind != "f":
        return
    for start, stop in segments.tolist():
        # one pass in blocks: a mask of the whole recording would double the peak memory
        for block in row_blocks(len(rows), stop - start):
            bad = ~np.isfinite(rows[block, start:stop])
            if bad.any():
                row, at = (int(v) for v in np.argwhere(bad)[0])
                name = row_name(block.start + row, lead, ch_names)
                raise DataError(
                    f"NaN or inf in {name} at sample {start + at} (segment [{start}, {stop})). "
                    "Interpolate it, cut it out with segments, or pass nan='propagate'."
                )


def row_blocks(n_rows: int, n_times: int) -> Iterator[slice]:
    """Slices of rows such that a float64 copy of one block stays small."""
    size = max(1, _BLOCK_SAMPLES // max(1, n_times))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def odd_extend(x: FloatArray, before: int, after: int) -> FloatArray:
    """Extend (rows, time) past both ends by point reflection about the end samples.

    Value and slope stay continuous, so an offset or a drift causes no jump.
    Where the signal is too short to be reflected as far as asked, the last
    reflected value is held.

    Parameters
    ----------
    x : float array, shape (rows, n_times)
        Signal.
    before, after : int
        Samples to add on the left and on the right.

    Returns
    -------
    float array, shape (rows, before + n_times + after)
        Extended signal.

    Examples
    --------
    >>> odd_extend(np.array([[1.0, 2.0, 4.0]]), 1, 3).tolist()
    [[0.0, 1.0, 2.0, 4.0, 6.0, 7.0, 7.0]]
    """
    n = x.shape[-1]
    left, right = min(before, n - 1), min(after, n - 1)
    head = 2 * x[:, :1] - x[:, 1 : left + 1][:, ::-1]
    tail = 2 * x[:, -1:] - x[:, n - 1 - right : n - 1][:, ::-1]
    parts = [head, x, tail]
    if before > left:
        first = head[:, :1] if left else x[:, :1]
        parts.insert(0, np.repeat(first, before - left, axis=1))
    if after > right:
        last = tail[:, -1:] if right else x[:, -1:]
        parts.append(np.repeat(last, after - right, axis=1))
    return np.concatenate(parts, axis=1)
