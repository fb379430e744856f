"""What was streamed, as an XDF file that any XDF reader opens, also after a kill."""

import struct
from pathlib import Path
from typing import IO, Self
from xml.sax import saxutils

import numpy as np

from neuro.errors import FileError
from neuro.stream.info import StreamInfo
from neuro.stream.sources import Chunk
from neuro.typing import PathLike

__all__ = ["XDFRecorder"]

_HEADER, _STREAM, _SAMPLES, _FOOTER = 1, 2, 3, 6
_SIGNAL, _MARKERS = 1, 2
_UNITS = {"uV": "microvolts", "mV": "millivolts", "V": "volts"}


def escape(text: str) -> str:
    """For XML, which has no way to write control characters and lone surrogates."""
    legal = "".join(c if c.isprintable() else "?" for c in text)
    return saxutils.escape(legal)


class XDFRecorder:
    """Writes every chunk at once; the `tap` of a live loop.

    Time stamps are written as the loop sees them, already on this machine's clock.

    Parameters
    ----------
    path : path
        ``.xdf``; must not exist.
    info : StreamInfo
        Of the samples.
    gap_s : float
        See :class:`~neuro.stream.Timeline`; written into the file.

    Raises
    ------
    FileError
        If the file exists.

    Examples
    --------
    >>> import tempfile, neuro
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "run.xdf"
    >>> with XDFRecorder(path, StreamInfo(("C3", "C4"), 100, "uV")) as recorder:
    ...     recorder(Chunk(np.ones((2, 200)), np.arange(200) / 100, ((0.5, "left"),)))
    >>> recording = neuro.read(path)
    >>> recording.streams["eeg"].shape, recording.events.type.tolist()
    ((2, 200), ['left'])
    >>> folder.cleanup()
    """

    def __init__(self, path: PathLike, info: StreamInfo, *, gap_s: float = 0.05) -> None:
        self.path = Path(path)
        try:
            self._file: IO[bytes] = open(self.path, "xb")  # noqa: SIM115 (closed by close)
        except FileExistsError as error:
            raise FileError(f"'{self.path.name}' exists already; choose another name.") from error
        self._info = info
        rate = float(info.sfreq)
        self._row = np.dtype([("n", "u1"), ("t", "<f8"), ("x", "<f4", (len(info.ch_names),))])
        self.n_samples = self.n_markers = 0
        self._file.write(b"XDF:")
        # without it, readers smooth stamps over what the live loop calls a gap
        gap = f"<gap_s>{gap_s + 1 / rate:.6f}</gap_s>"
        text = f"<?xml version='1.0'?><info><version>1.0</version>{gap}</info>"
        self._chunk(_HEADER, text.encode())
        channels = "".join(
            f"<channel><label>{escape(name)}</label>"
            f"<unit>{escape(_UNITS.get(info.unit, info.unit))}</unit><type>EEG</type></channel>"
            for name in info.ch_names
        )
        self._header(_SIGNAL, info.name or "signal", "EEG", len(info.ch_names), rate, channels)
        self._header(_MARKERS, "markers", "Markers", 1, 0.0, "")

    def _header(
        self, number: int, name: str, kind: str, width: int, rate: float, channels: str
    ) -> None:
        form = "string" if rate == 0 else "float32"
        text = (
            f"<?xml version='1.0'?><info><name>{escape(name)}</name><type>{kind}</type>"
            f"<channel_count>{width}</channel_count><nominal_srate>{rate!r}</nominal_srate>"
            f"<channel_format>{form}</channel_format>"
            f"<desc><channels>{channels}</channels></desc></info>"
        )
        self._chunk(_STREAM, struct.pack("<I", number) + text.encode())

    def _chunk(self, tag: int, content: bytes) -> None:
        self._file.write(struct.pack("<BQH", 8, len(content) + 2, tag) + content)
        # a killed program loses nothing that was written before
        self._file.flush()

    def __call__(self, chunk: Chunk) -> None:
        """Write what a source gave."""
        n = len(chunk.stamps)
        if n:
            rows = np.empty(n, self._row)
            rows["n"], rows["t"], rows["x"] = 8, chunk.stamps, chunk.data.T
            self._chunk(_SAMPLES, struct.pack("<IBQ", _SIGNAL, 8, n) + rows.tobytes())
            self.n_samples += n
        for time_s, label in chunk.markers:
            text = label.encode(errors="replace")
            one = struct.pack("<Bd", 8, time_s) + struct.pack("<BI", 4, len(text)) + text
            self._chunk(_SAMPLES, struct.pack("<IBQ", _MARKERS, 8, 1) + one)
            self.n_markers += 1

    def close(self) -> None:
        """End the file."""
        if self._file.closed:
            return
        for number, n in ((_SIGNAL, self.n_samples), (_MARKERS, self.n_markers)):
            text = f"<?xml version='1.0'?><info><sample_count>{n}</sample_count></info>"
            self._chunk(_FOOTER, struct.pack("<I", number) + text.encode())
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
