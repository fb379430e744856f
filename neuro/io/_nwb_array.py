"""Samples that stay in an NWB file, where time comes first, until asked for."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from neuro.errors import FileError
from neuro.io import safe
from neuro.io._files import blame
from neuro.typing import AnyArray

__all__ = ["NwbArray"]


class NwbArray:
    """A data set of an NWB file, turned to shape (axis, time).

    Parameters
    ----------
    path : Path
        The file.
    dataset : str
        Place of the data set in it, shape (time,) or (time, axis).
    shape : tuple of int
        (axis, time).
    dtype : dtype
        int16 or float32, as samples are handed out.

    Notes
    -----
    One handle a process: HDF5 handles do not survive a fork.
    """

    def __init__(self, path: Path, dataset: str, shape: tuple[int, int], dtype: Any) -> None:
        status = path.stat()
        self._path, self._dataset = Path(os.path.abspath(path)), dataset
        self._seen = (status.st_size, status.st_mtime_ns)
        self._shape = shape
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._file: Any = None
        self._owner = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of (axis, time)."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """int16 or float32."""
        return self._dtype

    def __repr__(self) -> str:
        return f"NwbArray({self._path.name}:{self._dataset}, {self._shape}, {self._dtype})"

    def __getitem__(self, key: Any) -> AnyArray:
        rows, times = key if isinstance(key, tuple) else (key, slice(None))
        with blame(self._path, "cannot be read", Exception):
            block = np.asarray(self._open()[self._dataset][times])
        block = block[np.newaxis] if block.ndim == 1 else block.T
        return np.ascontiguousarray(block[rows], dtype=self._dtype)

    def _open(self) -> Any:
        if self._file is None or self._owner != os.getpid():
            status = self._path.stat()
            if (status.st_size, status.st_mtime_ns) != self._seen:
                raise FileError(
                    f"'{self._path.name}' has changed since it was read. Read it again."
                )
            self._file, self._owner = safe.open_hdf5(self._path), os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_owner": 0}
