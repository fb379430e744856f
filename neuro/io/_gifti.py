"""What a GIFTI file declares, checked before nibabel builds anything from it."""

import base64
import math
import zlib
from pathlib import Path
from xml.parsers import expat

from neuro.errors import FileError
from neuro.io._files import DAMAGED, DEFAULT, Limits, blame, regular_file

__all__ = ["check_gifti"]

_WIDTH = 8  # bytes of the widest number that series are stored in
_PIECE = 1 << 20
_EXTERNAL = ("External", "ExternalFileBinary", "GIFTI_ENCODING_EXTBIN")
_PACKED = ("B64GZ", "GZipBase64Binary", "GIFTI_ENCODING_B64GZ")


def check_gifti(path: Path, limits: Limits = DEFAULT) -> None:
    """Refuse references to other files, and sizes that the file cannot hold.

    Parameters
    ----------
    path : Path
        The file.
    limits : Limits
        What it may claim.

    Raises
    ------
    FileError
        If it is no GIFTI file, is not well-formed, defines entities, keeps
        samples elsewhere, or claims or unpacks to too much.
    """
    path, status = regular_file(path)
    if status.st_size > limits.max_bytes // 16:
        raise FileError(f"'{path.name}' is too large for a GIFTI file. Convert it to CIFTI or MGZ.")
    with blame(path, "cannot be read", OSError):
        content = path.read_bytes()
    check = _Check(path.name, status.st_size, limits)
    with blame(path, "is not a readable GIFTI file", expat.ExpatError, ValueError, zlib.error):
        check.parser.Parse(content, True)
    if not check.is_gifti:
        raise FileError(f"'{path.name}' does not start like a GIFTI file. {DAMAGED}")


class _Check:
    """Handlers of one pass over the XML, by the parser that nibabel uses too."""

    def __init__(self, name: str, size: int, limits: Limits) -> None:
        self.name, self.size, self.limits = name, size, limits
        self.is_gifti = False
        self.claimed = 0  # bytes of all arrays
        self.packed = self.inside = False
        self.room = 0  # bytes that the present array may unpack to
        self.text: list[str] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.EntityDeclHandler = self.entity

    def entity(self, *_: object) -> None:
        raise FileError(f"'{self.name}' defines XML entities, which is refused.")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "GIFTI":
            self.is_gifti = True
        elif tag == "DataArray":
            self.array(attributes)
        elif tag == "Data":
            self.inside, self.text = True, []

    def array(self, attributes: dict[str, str]) -> None:
        encoding = attributes.get("Encoding", "")
        if attributes.get("ExternalFileName") or encoding in _EXTERNAL:
            raise FileError(
                f"'{self.name}' keeps its samples in another file, which is refused. Save it as "
                "one file (GZipBase64Binary)."
            )
        ndim = self.count(attributes, "Dimensionality")
        self.limits.check_ndim(f"'{self.name}': an array", ndim)
        self.room = _WIDTH * math.prod(self.count(attributes, f"Dim{i}") for i in range(ndim))
        self.claimed += self.room
        self.limits.check_bytes(f"'{self.name}'", self.claimed, self.size)
        self.packed = encoding in _PACKED

    def count(self, attributes: dict[str, str], key: str) -> int:
        text = attributes.get(key, "")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise FileError(f"'{self.name}': an array has {key} {text!r:.40}. {DAMAGED}")
        return int(text)

    def characters(self, text: str) -> None:
        if self.inside and self.packed:
            self.text.append(text)

    def end(self, tag: str) -> None:
        if tag != "Data":
            return
        self.inside = False
        if not self.packed:
            return
        packed = base64.b64decode("".join(self.text).encode("ascii"))
        self.text = []
        unpacker, total = zlib.decompressobj(), 0
        while packed and not unpacker.eof:
            total += len(unpacker.decompress(packed, _PIECE))
            packed = unpacker.unconsumed_tail
            if total > self.room:
                raise FileError(
                    f"'{self.name}': an array unpacks to more than the {self.room} bytes that "
                    f"its dimensions need at most. {DAMAGED}"
                )
