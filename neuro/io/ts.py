"""Time-series classification files (``.ts``), one trial a line.

A header of ``@keyword value`` lines is followed by ``@data`` and one line a
case: channels separated by ``:``, samples by ``,``, the class label last. The
format carries no sampling rate, no unit and no channel names; the caller
states them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.errors import FileError, did_you_mean
from neuro.typing import FloatArray, PathLike

if TYPE_CHECKING:
    from fractions import Fraction

    from neuro.data import Axis, Recording
    from neuro.typing import Modality

__all__ = ["TsFile", "read_ts", "ts_recording"]

_KEYWORDS = {
    "problemname",
    "timestamps",
    "missing",
    "univariate",
    "dimension",
    "dimensions",
    "equallength",
    "serieslength",
    "classlabel",
    "targetlabel",
    "data",
}
# Everything a line of samples may hold besides digits: signs, exponents,
# separators, and the two spellings of a missing value ("?" and "NaN").
_SAMPLE_BYTES = b"0123456789+-.eE,:?nNaA \r\t"
_MAX_BYTES = 2 << 30


@dataclass(frozen=True)
class TsFile:
    """Cases and labels of a ``.ts`` file.

    Parameters
    ----------
    problem : str
        Name in the file's header.
    cases : tuple of ndarray, each shape (n_chans, n_times), float32
        One array a trial; missing values are NaN.
    labels : tuple of str
        Class of each case; empty if the file has no classes.
    classes : tuple of str
        Class names in the header's order.
    notes : tuple of str
        Where the header contradicts the data; the data won.
    """

    problem: str
    cases: tuple[FloatArray, ...]
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        chans, times = self.cases[0].shape
        return f"TsFile({self.problem!r}: {len(self.cases)} cases, first ({chans}, {times}))"


@dataclass(frozen=True)
class _Header:
    problem: str
    classes: tuple[str, ...] | None
    dimensions: int | None
    length: int | None
    equal: bool | None


def read_ts(path: PathLike) -> TsFile:
    """Read a ``.ts`` classification file.

    Parameters
    ----------
    path : str or path
        The file. Comments may be in any encoding.

    Returns
    -------
    TsFile

    Raises
    ------
    FileError
        If the file is malformed, naming the line and what is wrong there.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "two.ts")
    >>> lines = ["@problemName two", "@classLabel true a b", "@data", "1,2:3,4:a", "5,6:7,8:b"]
    >>> _ = path.write_text(chr(10).join(lines))
    >>> ts = read_ts(path)
    >>> ts.labels, ts.cases[1].tolist()
    (('a', 'b'), [[5.0, 6.0], [7.0, 8.0]])
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise FileError(
                f"{path.name}: {size >> 20} MiB of text; this reader holds a file in memory and "
                f"stops at {_MAX_BYTES >> 20} MiB. Split the file."
            )
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise FileError(
            f"{path.name}: cannot be read ({error.strerror}). Check the path."
        ) from error
    header, start = _read_header(lines, path.name)
    cases: list[FloatArray] = []
    labels: list[str] = []
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip():
            continue
        case, label = _read_case(line.strip(), header, f"{path.name}, line {number}")
        cases.append(case)
        if label is not None:
            labels.append(label)
    if not cases:
        raise FileError(f"{path.name}: no cases after '@data'. The file may be truncated.")
    notes = _check_shapes(cases, header, path.name)
    return TsFile(header.problem, tuple(cases), tuple(labels), header.classes or (), notes)


def _read_header(lines: list[bytes], name: str) -> tuple[_Header, int]:
    fields: dict[str, list[str]] = {}
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        if not line.startswith(b"@"):
            raise FileError(
                f"{name}, line {number}: expected '@keyword' or '# comment' before '@data', "
                f"found {line[:40]!r}. Is this a .ts file?"
            )
        try:
            key, *values = line[1:].decode("utf-8").split()
        except (UnicodeDecodeError, ValueError):
            raise FileError(f"{name}, line {number}: unreadable keyword {line[:40]!r}.") from None
        key = key.lower()
        if key not in _KEYWORDS:
            raise FileError(
                f"{name}, line {number}: unknown keyword '@{key[:40]}'. "
                f"{did_you_mean(key, _KEYWORDS)}"
            )
        if key == "data":
            return _parse_header(fields, name), number
        if key in fields:
            raise FileError(f"{name}, line {number}: '@{key}' stands twice.")
        fields[key] = values
    raise FileError(f"{name}: no '@data' line. The file is truncated or not a .ts file.")


def _parse_header(fields: dict[str, list[str]], name: str) -> _Header:
    def flag(key: str) -> bool | None:
        if key not in fields:
            return None
        value = (fields[key] or [""])[0].lower()
        if value not in {"true", "false"}:
            raise FileError(f"{name}: '@{key}' must be true or false, got {value!r}.")
        return value == "true"

    def count(key: str) -> int | None:
        if key not in fields:
            return None
        text = " ".join(fields[key])
        if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) < 10**9:
            raise FileError(f"{name}: '@{key}' must be a positive whole number, got {text[:40]!r}.")
        return int(text)

    if flag("timestamps"):
        raise FileError(f"{name}: '@timestamps true' is not supported; only regular series are.")
    if flag("targetlabel"):
        raise FileError(f"{name}: '@targetLabel true' (regression) is not supported.")
    classes = None
    if flag("classlabel"):
        classes = tuple(fields["classlabel"][1:])
        if not classes or len(set(classes)) != len(classes):
            raise FileError(f"{name}: '@classLabel' needs distinct class names, got {classes}.")
    univariate = flag("univariate")
    dimensions = count("dimensions") or count("dimension")
    return _Header(
        problem=" ".join(fields.get("problemname", [])),
        classes=classes,
        dimensions=1 if univariate and dimensions is None else dimensions,
        length=count("serieslength"),
        equal=flag("equallength"),
    )


def _read_case(line: bytes, header: _Header, where: str) -> tuple[FloatArray, str | None]:
    label: str | None = None
    if header.classes is not None:
        line, _, tail = line.rpartition(b":")
        label = tail.strip().decode("utf-8", "replace")
        if label not in header.classes:
            raise FileError(
                f"{where}: class {label[:40]!r} is not in the header: {', '.join(header.classes)}. "
                "The line may be truncated."
            )
    if stray := line.translate(None, _SAMPLE_BYTES):
        raise FileError(f"{where}: {stray[:20]!r} is no part of a number.")
    channels = line.split(b":")
    lengths = {channel.count(b",") + 1 for channel in channels}
    if header.dimensions is not None and len(channels) != header.dimensions:
        raise FileError(f"{where}: {len(channels)} channels, the header says {header.dimensions}.")
    if len(lengths) != 1:
        raise FileError(f"{where}: channels of different lengths {sorted(lengths)[:5]}.")
    line = line.replace(b":", b",").replace(b"?", b"nan")
    try:
        with np.errstate(over="ignore"):
            flat = np.fromiter(map(float, line.split(b",")), dtype=np.float32)
    except (ValueError, OverflowError) as error:
        raise FileError(f"{where}: not a row of numbers ({error}).") from None
    if np.isinf(flat).any():
        raise FileError(f"{where}: a number is too large for 32 bits.")
    return flat.reshape(len(channels), -1), label


def _check_shapes(cases: list[FloatArray], header: _Header, name: str) -> tuple[str, ...]:
    rows = {case.shape[0] for case in cases}
    if len(rows) != 1:
        raise FileError(f"{name}: cases with different numbers of channels {sorted(rows)[:5]}.")
    lengths = {case.shape[1] for case in cases}
    if header.equal and len(lengths) != 1:
        raise FileError(
            f"{name}: '@equalLength true' but cases have {sorted(lengths)[:5]} samples. "
            "A line may be truncated."
        )
    if header.length is not None and lengths != {header.length}:
        # EyesOpenShut says 127 and has 128 in every one of its 1,372 series
        return (f"header says {header.length} samples a case, data have {sorted(lengths)[:5]}",)
    return ()


def ts_recording(
    path: PathLike,
    *,
    sfreq: "float | str | Fraction",
    unit: str,
    axis: "Axis | None" = None,
    modality: "Modality" = "eeg",
    dataset: str = "",
    run: str = "",
    subject: str = "pooled",
    task: str = "",
    names: dict[str, str] | None = None,
    check: bool = True,
) -> "Recording":
    """Recording of a ``.ts`` file: trials in a row, one segment and event each.

    Parameters
    ----------
    path : str or path
        The file.
    sfreq : float, str or Fraction
        Sampling rate in Hz; the format does not carry it.
    unit : str
        Unit of the samples; the format does not carry it.
    axis : Axis, optional
        Channel names and types; numbered channels by default.
    modality : str, default "eeg"
        Kind of signal; also the name of the stream.
    dataset, run, subject, task : str
        Identity. The format carries no subjects, so all trials stand under
        one ``"pooled"`` subject unless the caller knows better.
    names : dict of str to str, optional
        Class label in the file -> readable event type.
    check : bool, default True
        Refuse amplitudes that the unit makes implausible.

    Returns
    -------
    Recording
        Stream ``modality``: (n_chans, n_cases * n_times); segment, block and
        event ``i`` are trial ``i``. Time only runs within a trial.

    Raises
    ------
    FileError
        If the file is malformed.
    UnitError
        If the amplitude cannot be what `unit` says.
    """
    from neuro.data import Axis, Events, Provenance, Recording, Regular, exact_rate
    from neuro.io._reading import judge, reading

    path = Path(path)
    ts = read_ts(path)
    rate = exact_rate(sfreq)
    ends = np.cumsum([case.shape[1] for case in ts.cases])
    starts = ends - [case.shape[1] for case in ts.cases]
    axis = axis or Axis([f"channel {i + 1}" for i in range(len(ts.cases[0]))], modality)
    if len(axis) != len(ts.cases[0]):
        raise FileError(f"{path.name}: {len(ts.cases[0])} channels, {len(axis)} names were given.")
    data = np.concatenate(ts.cases, axis=1)
    finite = np.isfinite(data)
    stream = Regular(
        data=data,
        rate=rate,
        unit=unit,
        axis=axis,
        modality=modality,
        segments=np.stack([starts, ends], axis=1),
        valid=None if finite.all() else finite,
    )
    with reading(path):
        steps = (*ts.notes, *judge(stream, modality, check))
    names = names or {}
    kinds = [names.get(label, label) for label in ts.labels] or ["trial"] * len(ts.cases)
    second = rate.denominator / rate.numerator
    events = Events.make(
        starts * second, kinds, duration_s=(ends - starts) * second, block=np.arange(len(ends))
    )
    return Recording(
        id=f"{dataset or path.stem}_{run}" if run else dataset or path.stem,
        dataset=dataset,
        subject=subject,
        run=run,
        task=task,
        streams={modality: stream},
        events=events,
        provenance=Provenance(source=path.name, reader="neuro.io.ts", steps=steps),
    )
