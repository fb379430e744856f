"""The last seconds of a stream, addressed by sample number."""

import numpy as np

from neuro.errors import DataError
from neuro.typing import BoolArray, FloatArray

__all__ = ["RingBuffer"]


class RingBuffer:
    """Samples in order, the oldest of which may be forgotten.

    Appending copies what is kept only when the room runs out, which doubles, so
    that its cost does not depend on the length of the chunks.

    Parameters
    ----------
    n_chans : int
        Rows.

    Examples
    --------
    >>> buffer = RingBuffer(1)
    >>> buffer.append(np.arange(5.0)[None], np.ones(5, dtype=bool))
    >>> buffer.forget(2)
    >>> (buffer.first, buffer.stop, buffer.samples(3, 5).tolist())
    (2, 5, [[3.0, 4.0]])
    """

    def __init__(self, n_chans: int) -> None:
        self._data: FloatArray = np.empty((n_chans, 1024))
        self._valid: BoolArray = np.empty(1024, dtype=bool)
        self._begin = self._end = 0  # columns that are in use
        self.first = 0

    @property
    def stop(self) -> int:
        """Number of the sample that comes next."""
        return self.first + self._end - self._begin

    def append(self, data: FloatArray, valid: BoolArray) -> None:
        """Add the samples that follow."""
        n = data.shape[1]
        if self._end + n > self._data.shape[1]:
            self._make_room(n)
        self._data[:, self._end : self._end + n] = data
        self._valid[self._end : self._end + n] = valid
        self._end += n

    def _make_room(self, n: int) -> None:
        kept = self._end - self._begin
        room = max(self._data.shape[1], 2 * (kept + n))
        data, valid = np.empty((len(self._data), room)), np.empty(room, dtype=bool)
        data[:, :kept] = self._data[:, self._begin : self._end]
        valid[:kept] = self._valid[self._begin : self._end]
        self._data, self._valid = data, valid
        self._begin, self._end = 0, kept

    def samples(self, start: int, stop: int) -> FloatArray:
        """Samples [start, stop), a copy, (n_chans, stop - start).

        Raises
        ------
        DataError
            If some are gone, or have not come yet.
        """
        return np.ascontiguousarray(self._data[:, self._columns(start, stop)])

    def whole(self, start: int, stop: int) -> bool:
        """Whether every sample of [start, stop) is valid."""
        return bool(self._valid[self._columns(start, stop)].all())

    def _columns(self, start: int, stop: int) -> slice:
        if not self.first <= start <= stop <= self.stop:
            raise DataError(
                f"Samples {start} to {stop} were asked for; kept are {self.first} to {self.stop}."
            )
        offset = self._begin - self.first
        return slice(start + offset, stop + offset)

    def forget(self, before: int) -> None:
        """Give up samples before this number."""
        drop = min(before, self.stop) - self.first
        if drop > 0:
            self._begin += drop
            self.first += drop
