"""A file that HDF5 may write to without ever being told that the disk is full.

When a write fails, the HDF5 library keeps what it could not write, tries again
as it closes the file, and often ends the process with a segmentation fault.
So the first failure is kept here, to be raised when HDF5 has closed the file,
and HDF5 is told that all is well: the file is thrown away in any case.
"""

import io
from typing import BinaryIO

__all__ = ["Sink"]

_MOST_KEPT = 256 << 20
_STRUCTURE = 1 << 15  # what describes a file is written in pieces of a few kB at most


class Sink(io.RawIOBase):
    """A binary file that remembers its first failure and pretends to go on.

    Parameters
    ----------
    file : binary file
        Open for reading and writing, unbuffered.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.error: OSError | None = None
        self._at = 0
        self._end = 0  # where the pretended file ends
        self._pieces: list[tuple[int, bytes]] = []
        self._kept = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; HDF5 asks for the end in order to know the size."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size()}[whence]
        self._at = start + offset
        return self._at

    def _size(self) -> int:
        return max(self._file.seek(0, io.SEEK_END), self._end)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """What was written, or would have been."""
        self._file.seek(self._at)
        view = memoryview(buffer).cast("B")
        view[:] = self._file.read(len(view)).ljust(len(view), b"\0")
        for start, piece in self._pieces:
            a, b = max(start, self._at), min(start + len(piece), self._at + len(view))
            if a < b:
                view[a - self._at : b - self._at] = piece[a - start : b - start]
        self._at += len(view)
        return len(view)

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        """Write all of it; after a failure, pretend to."""
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                self._file.seek(self._at)
                done = 0
                while done < len(view):  # a disk that is nearly full takes a part
                    done += self._file.write(view[done:])
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._pretend(view)
        self._at += len(view)
        return len(view)

    def _pretend(self, view: memoryview) -> None:
        self._end = max(self._end, self._at + len(view))
        # HDF5 may read its structure again, never the samples
        if len(view) <= _STRUCTURE and self._kept + len(view) <= _MOST_KEPT:
            self._kept += len(view)
            self._pieces.append((self._at, bytes(view)))

    def truncate(self, size: int | None = None) -> int:
        """Set the size, which may need room too."""
        size = self._at if size is None else size
        if self.error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self.error = error
        self._end = size if self.error is not None else 0
        return size

    def raise_failure(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.error is not None:
            raise self.error
