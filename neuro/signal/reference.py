"""References as matrices: average, named electrodes, bipolar chains."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.typing import AnyArray, FloatArray

__all__ = ["Scheme", "apply_matrix", "reference_matrix"]

Scheme: TypeAlias = Literal["average"] | Sequence[str] | Sequence[tuple[str, str]]


def _position(name: str, places: dict[str, int]) -> int:
    if name not in places:
        raise DataError(f"Channel {name!r} is not in the data. {did_you_mean(name, places)}")
    return places[name]


def _bipolar(
    places: dict[str, int], pairs: list[tuple[str, str]], bads: frozenset[str]
) -> tuple[FloatArray, tuple[str, ...]]:
    if len(set(pairs)) != len(pairs):
        raise DataError("A bipolar pair is named twice; channel names must stay unique.")
    rows, names = [], []
    for anode, cathode in pairs:
        if anode == cathode:
            raise DataError(f"The pair ({anode!r}, {cathode!r}) is a channel minus itself.")
        row = np.zeros(len(places))
        row[_position(anode, places)] = 1.0
        row[_position(cathode, places)] = -1.0
        if not {anode, cathode} & bads:
            rows.append(row)
            names.append(f"{anode}-{cathode}")
    if not rows:
        raise DataError(f"No bipolar pair is free of bad channels ({sorted(bads)}).")
    return np.stack(rows), tuple(names)


def reference_matrix(
    ch_names: Sequence[str], scheme: Scheme, *, bads: Sequence[str] = ()
) -> tuple[FloatArray, tuple[str, ...]]:
    """Matrix that re-references: ``new = matrix @ old`` (see :func:`apply_matrix`).

    Parameters
    ----------
    ch_names : sequence of str
        Names of the channels in the data, unique.
    scheme : "average", sequence of str, or sequence of (anode, cathode)
        Subtract the mean of all good channels; subtract the mean of the named
        ones (e.g. ``["M1", "M2"]``); or differences of named pairs.
    bads : sequence of str
        Bad channels. They take no part in a mean but are re-referenced
        themselves; a pair that holds one is left out.

    Returns
    -------
    matrix : float64 array, shape (n_out, n_chans)
        Every row sums to zero, so a common offset disappears.
    names : tuple of str, length n_out
        New channel names; ``"FP1-F7"`` for a pair.

    Raises
    ------
    DataError
        Unknown or repeated names, or nothing good left to refer to.
    ConfigError
        The scheme is not one of the forms above.

    Examples
    --------
    >>> matrix, names = reference_matrix(["FP1", "F7", "T3"], [("FP1", "F7"), ("F7", "T3")])
    >>> names
    ('FP1-F7', 'F7-T3')
    >>> matrix.tolist()
    [[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]]
    """
    names = tuple(ch_names)
    places = {name: i for i, name in enumerate(names)}
    if len(places) != len(names) or not names:
        raise DataError(f"Channel names must be unique and at least one, got {list(names)}.")
    bad = frozenset(bads)
    for name in sorted(bad):
        _position(name, places)
    if isinstance(scheme, str) and scheme != "average":
        raise ConfigError(
            f"scheme={scheme!r} is not known. Use 'average', channel names in a list, or pairs."
        )
    entries: list[str | tuple[str, str]] = list(names) if scheme == "average" else list(scheme)
    if not entries:
        raise ConfigError("The reference scheme is empty: name at least one channel or pair.")
    if all(not isinstance(entry, str) and len(entry) == 2 for entry in entries):
        pairs = [(entry[0], entry[1]) for entry in entries]
        return _bipolar(places, pairs, bad)
    if not all(isinstance(entry, str) for entry in entries):
        raise ConfigError("A scheme holds either channel names or (anode, cathode) pairs.")
    used = [_position(str(entry), places) for entry in entries if entry not in bad]
    if not used:
        raise DataError(f"Every reference channel is bad: {sorted(bad)}.")
    weights = np.zeros(len(names))
    weights[used] = 1.0 / len(set(used))
    return np.eye(len(names)) - weights, names


def apply_matrix(matrix: AnyArray, x: AnyArray) -> FloatArray:
    """``matrix @ x`` in which a missing channel spoils only rows that use it.

    A plain product turns every row into NaN as soon as one channel is NaN,
    because ``0 * NaN`` is NaN.

    Parameters
    ----------
    matrix : array, shape (n_out, n_chans)
        Linear combination of channels.
    x : array, shape (..., n_chans, n_times)
        Signal; NaN where missing.

    Returns
    -------
    float array, shape (..., n_out, n_times)
        Combined channels; float32 for float32 input, computed in float64.

    Raises
    ------
    DataError
        The shapes do not fit.

    Examples
    --------
    >>> matrix, _ = reference_matrix(["A", "B", "C"], [("A", "B")], bads=["C"])
    >>> apply_matrix(matrix, np.array([[3.0], [1.0], [np.nan]])).tolist()
    [[2.0]]
    """
    matrix, x = np.asarray(matrix, dtype=np.float64), np.asarray(x)
    if matrix.ndim != 2 or x.ndim < 2 or x.shape[-2] != matrix.shape[1]:
        raise DataError(
            f"A matrix of shape {matrix.shape} cannot combine a signal of shape {x.shape}: "
            "channels are the second last axis."
        )
    dtype = np.float32 if x.dtype == np.float32 else np.float64
    missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(1, dtype=bool)
    if not missing.any():
        return (matrix @ x.astype(np.float64)).astype(dtype, copy=False)
    out = matrix @ np.where(missing, 0.0, x)
    touched = (matrix != 0).astype(np.float32) @ missing.astype(np.float32) > 0
    out[touched] = np.nan
    return out.astype(dtype, copy=False)
