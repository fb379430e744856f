"""What headers of EDF, BDF, GDF and FIF files claim, compared with the file's size.

MNE makes lists and arrays of the sizes it is told before it reads what they
are to hold, and follows a chain of tags wherever it leads: a few damaged bytes
can cost minutes or gigabytes.
"""

import struct
from pathlib import Path

from neuro.errors import FileError
from neuro.io._files import DAMAGED

__all__ = ["check_records", "check_tags"]

# Bytes of a sample by GDF's code of its type; codes in between are not defined.
_GDF_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8, 16: 4, 17: 8}
_TAG = struct.Struct(">iIii")  # kind, type, bytes of data, place of the next tag
_FIXED = 256  # bytes of the header's first part, and of its part for each channel


def check_records(path: Path) -> None:
    """Refuse a header whose channels, samples or events cannot be in the file.

    A wrong number of data records is left to the reader of EDF and BDF, since
    a recording that was interrupted is still of use.

    Parameters
    ----------
    path : Path
        An ``.edf``, ``.bdf`` or ``.gdf`` file.

    Raises
    ------
    FileError
        Naming what is claimed and what there is.
    """
    size = path.stat().st_size
    is_gdf = path.suffix.lower() == ".gdf"
    with path.open("rb") as stream:
        head = stream.read(_FIXED)
        if len(head) < _FIXED:
            raise FileError(f"'{path.name}' ends inside its header. {DAMAGED}")
        version = _gdf_version(path, head) if is_gdf else 0.0
        n_chans = _n_chans(head, version)
        if _FIXED * (n_chans + 1) > size:
            raise FileError(
                f"'{path.name}' claims {n_chans} channels, whose headers alone are longer than "
                f"the file. {DAMAGED}"
            )
        if size == _FIXED * (n_chans + 1):
            raise FileError(f"'{path.name}' holds no samples: it is empty or was cut short.")
        if not is_gdf:
            return
        row = _record_bytes(path, stream.read(_FIXED * n_chans), n_chans)
        start = (
            struct.unpack("<q", head[184:192])[0]
            if version < 1.9
            else _FIXED * int.from_bytes(head[184:186], "little")
        )
        n_records = struct.unpack("<q", head[236:244])[0]
        held = size - start
        if start < 0 or n_records < 0 or n_records * row > held:
            raise FileError(
                f"'{path.name}' claims {n_records * row} bytes of samples but holds {held}. The "
                "file is truncated: get it again."
            )
        stream.seek(start + n_records * row)
        _check_events(path, stream.read(8), version, held - n_records * row)


def _gdf_version(path: Path, head: bytes) -> float:
    try:
        return float(head[4:8])
    except ValueError:
        raise FileError(f"'{path.name}' states no version of GDF. {DAMAGED}") from None


def _n_chans(head: bytes, version: float) -> int:
    if version:
        return int.from_bytes(head[252:256] if version < 1.9 else head[252:254], "little")
    text = head[252:256].strip()
    return int(text) if text.isdigit() else 0  # not a number: the reader says so


def _record_bytes(path: Path, wide: bytes, n_chans: int) -> int:
    """Bytes of one data record, out of the channels' part of a GDF header."""
    samples = struct.unpack(f"<{n_chans}i", wide[216 * n_chans : 220 * n_chans])
    kinds = struct.unpack(f"<{n_chans}i", wide[220 * n_chans : 224 * n_chans])
    if any(n < 0 for n in samples) or any(k not in _GDF_BYTES for k in kinds):
        raise FileError(
            f"'{path.name}' has a channel with a negative number of samples or of an unknown "
            f"type. {DAMAGED}"
        )
    return sum(n * _GDF_BYTES[k] for n, k in zip(samples, kinds, strict=True))


def _check_events(path: Path, table: bytes, version: float, held: int) -> None:
    if len(table) < 8:
        return  # no table of events
    n_events = int.from_bytes(table[4:8] if version < 1.94 else table[1:4], "little")
    each = 12 if table[0] == 3 else 6
    if each * n_events > held - 8:
        raise FileError(
            f"'{path.name}' claims {n_events} events, its table has room for {(held - 8) // each}. "
            "The file is truncated: get it again."
        )


def check_tags(path: Path) -> None:
    """Refuse a FIF file whose chain of tags leads in a circle.

    Parameters
    ----------
    path : Path
        A ``.fif`` file.

    Raises
    ------
    FileError
        If the chain is longer than the file has room for.
    """
    room = path.stat().st_size // _TAG.size + 1
    place, seen = 0, 0
    with path.open("rb") as stream:
        while place >= 0:
            stream.seek(place)
            tag = stream.read(_TAG.size)
            if len(tag) < _TAG.size:
                return
            _, _, size, following = _TAG.unpack(tag)
            # 0: the next tag follows the data; above 0: its place; below: the last one
            place = place + _TAG.size + size if following == 0 else following
            seen += 1
            if seen > room:
                raise FileError(f"'{path.name}': its chain of tags leads in a circle. {DAMAGED}")
