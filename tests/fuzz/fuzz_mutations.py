"""Seeded damage to files: bytes, blocks, integers, and in text words and lines."""

import gzip
import io
import re
import zipfile
from random import Random

__all__ = ["damage"]

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_QUOTED = re.compile(rb"(?<=\")[^\"<>&\n]{0,200}(?=\")")
_WORDS = (
    b"", b"0", b"-1", b"1e308", b"-1e308", b"1e-320", b"nan", b"inf", b"99999999999999999999",
    b"2147483647", b"-2147483648", b"4294967295", b"9223372036854775807", b"1" * 400, b"n/a",
    b"null", b"true", b"[]", b"{}", b"\"", b"'", b"\0", b"\xff\xfe", b"\xc3\x28", b"../../x",
    b"/etc/passwd", b"%s%n", b"\t", b",", b"\n", b"\r", b":", b"[" * 300, b"{\"a\":" * 300,
    b"&a", b"*a", b"!!python/name:os.system", "é\u202e\u0000".encode(), b"\x1b[31m",
)  # fmt: skip


def mutate(data: bytes, rng: Random, *, header: int, text: bool) -> bytes:
    """`data` after one to four acts of damage, mostly in its header."""
    kinds = _TEXT_ACTS if text and rng.random() < 0.6 else _ACTS
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        if not out:
            break
        reach = min(header, len(out)) if rng.random() < 0.6 else len(out)
        rng.choice(kinds)(out, rng, reach)
    return bytes(out)


def _flip(out: bytearray, rng: Random, reach: int) -> None:
    for _ in range(rng.randint(1, 8)):
        out[rng.randrange(reach)] ^= 1 << rng.randrange(8)


def _byte(out: bytearray, rng: Random, reach: int) -> None:
    out[rng.randrange(reach)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _overwrite(out: bytearray, rng: Random, reach: int) -> None:
    at, n = rng.randrange(reach), rng.randint(1, 64)
    block = rng.choice((rng.randbytes(n), b"\0" * n, b"\xff" * n, b" " * n))
    out[at : at + n] = block[: len(out) - at]


def _cut(out: bytearray, rng: Random, reach: int) -> None:
    del out[rng.randrange(reach) :]


def _insert(out: bytearray, rng: Random, reach: int) -> None:
    at, n = rng.randrange(reach), rng.randint(1, 64)
    start = rng.randrange(len(out))
    out[at:at] = rng.choice((rng.randbytes(n), bytes(out[start : start + n])))


def _remove(out: bytearray, rng: Random, reach: int) -> None:
    at = rng.randrange(reach)
    del out[at : at + rng.randint(1, 64)]


def _copy(out: bytearray, rng: Random, reach: int) -> None:
    at, start, n = rng.randrange(reach), rng.randrange(len(out)), rng.randint(1, 64)
    block = bytes(out[start : start + n])[: len(out) - at]
    out[at : at + len(block)] = block


def _extreme(out: bytearray, rng: Random, reach: int) -> None:
    """An integer at an aligned place becomes 0, -1, the largest, or nearly what it was."""
    width = rng.choice((1, 2, 4, 8))
    order = rng.choice(("little", "big"))
    at = rng.randrange(reach) // width * width
    if at + width > len(out):
        return
    full = (1 << 8 * width) - 1
    was = int.from_bytes(out[at : at + width], order)  # type: ignore[arg-type]
    choices = (
        0, 1, full, full >> 1, (full >> 1) + 1, full - 1, was + 1, was - 1, was * 2, was << 8,
        was ^ full, 1 << rng.randrange(8 * width),
    )  # fmt: skip
    out[at : at + width] = (rng.choice(choices) & full).to_bytes(width, order)  # type: ignore[arg-type]


def _number(out: bytearray, rng: Random, reach: int) -> None:
    """A number in text becomes another word, of its width (as EDF needs) or not."""
    found = [m.span() for m in _NUMBER.finditer(bytes(out[:reach]))]
    if not found:
        return
    start, stop = rng.choice(found)
    word = rng.choice(_WORDS)
    if rng.random() < 0.5:
        word = word.ljust(stop - start)[: stop - start]
    out[start:stop] = word


def _quoted(out: bytearray, rng: Random, reach: int) -> None:
    """What stands between quotes becomes another such text or word: XML and JSON stay that."""
    found = [m.span() for m in _QUOTED.finditer(bytes(out[:reach]))]
    if not found:
        return
    (start, stop), (first, last) = rng.choice(found), rng.choice(found)
    plain = [w for w in _WORDS if w.isascii() and not set(w) & set(b'"<>&\\\0\n\r\x1b')]
    out[start:stop] = rng.choice((bytes(out[first:last]), rng.choice(plain)))


def _word(out: bytearray, rng: Random, reach: int) -> None:
    at = rng.randrange(reach)
    out[at : at + rng.choice((0, 0, 1, 4))] = rng.choice(_WORDS)


def _line(out: bytearray, rng: Random, reach: int) -> None:
    """A line is lost, stands twice, or moves."""
    lines = bytes(out).splitlines(keepends=True)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    act = rng.randrange(4)
    if act == 0:
        del lines[i]
    elif act == 1:
        lines.insert(j, lines[i])
    elif act == 2:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        lines[i] = lines[i] * rng.choice((2, 50))
    out[:] = b"".join(lines)


_ACTS = (_flip, _flip, _byte, _overwrite, _cut, _insert, _remove, _copy, _extreme, _extreme, _extreme)  # fmt: skip  # noqa: E501
_TEXT_ACTS = (_number, _number, _number, _quoted, _quoted, _word, _line, _flip, _cut)


def damage(name: str, data: bytes, rng: Random, *, header: int, text: bool) -> bytes:
    """As :func:`mutate`; half of the time below the compression of gzip and zip files."""
    if rng.random() < 0.5:
        if name.endswith((".gz", ".mgz")):
            inner = mutate(gzip.decompress(data), rng, header=header, text=text)
            return gzip.compress(inner, 1, mtime=0)
        if name.endswith(".npz"):
            return _damage_zip(data, rng)
        if name.endswith((".h5", ".nwb")):
            return _in_used_parts(data, rng)
    return mutate(data, rng, header=header, text=text)


def _damage_zip(data: bytes, rng: Random) -> bytes:
    """One member damaged, and a check sum that fits."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        chosen = rng.choice(old.namelist())
        for info in old.infolist():
            content = old.read(info)
            if info.filename == chosen:
                content = mutate(content, rng, header=128, text=rng.random() < 0.5)
            new.writestr(info.filename, content, info.compress_type)
    return out.getvalue()


def _in_used_parts(data: bytes, rng: Random) -> bytes:
    """HDF5 files are mostly empty space: damage near bytes that are not zero."""
    used = [m.start() for m in re.finditer(rb"[^\0]{2}", data)]
    at = rng.choice(used) // 16 * 16
    piece = mutate(data[at : at + 64], rng, header=64, text=False)
    return data[:at] + piece + data[at + 64 :]
