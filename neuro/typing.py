"""Type aliases shared by the whole package."""

import os
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AnyArray",
    "BoolArray",
    "FloatArray",
    "IntArray",
    "LazyArray",
    "Modality",
    "PathLike",
    "Seed",
]

AnyArray: TypeAlias = NDArray[Any]
BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
PathLike: TypeAlias = str | os.PathLike[str]
Seed: TypeAlias = int | np.random.Generator
Modality: TypeAlias = Literal[
    "eeg", "ieeg", "meg", "bold", "spikes", "lfp", "calcium", "behaviour", "physio", "stim"
]


class LazyArray(Protocol):
    """What a stream needs of its samples: a 2-d array that may live on disk.

    numpy arrays, memory maps and the store's own lazy arrays satisfy it.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of (axis, time)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one stored sample."""

    def __getitem__(self, key: Any, /) -> AnyArray:
        """Samples at ``[rows, start:stop]`` as an array in memory."""
