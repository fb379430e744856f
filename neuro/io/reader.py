"""One door for every file: format by suffix, checked against the content."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuro.data import Recording
from neuro.errors import ConfigError, FileError
from neuro.io._files import blame, printable, regular_file
from neuro.typing import PathLike

__all__ = ["formats", "known_suffixes", "read"]

_MNE = ("unit",)
_VOLUME = ("tr", "mask", "atlas", "labels", "confounds", "unit")
_SURFACE = ("tr", "unit")
_TABLE = ("tr", "unit", "labels", "time_axis", "atlas", "key")


@dataclass(frozen=True)
class _Format:
    """One row of the closed table of formats."""

    name: str
    suffixes: tuple[str, ...]
    options: tuple[str, ...]
    starts: tuple[bytes, ...] = ()


_GZIP = b"\x1f\x8b"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_FORMATS = (
    _Format("EDF", (".edf",), _MNE, (b"0  ",)),
    _Format("BDF", (".bdf",), _MNE, (b"\xffBIOSEMI",)),
    _Format("GDF", (".gdf",), _MNE, (b"GDF ",)),
    _Format("FIF", (".fif",), _MNE, (b"\x00\x00\x00\x64",)),
    _Format("EEGLAB", (".set",), _MNE, (b"MATLAB", _HDF5)),
    _Format("BrainVision", (".vhdr",), _MNE),
    _Format("XDF", (".xdf",), _MNE, (b"XDF:",)),
    _Format("CIFTI", (".dtseries.nii", ".ptseries.nii"), _SURFACE),
    _Format("NIfTI", (".nii", ".nii.gz"), _VOLUME),
    _Format("GIFTI", (".func.gii", ".gii"), _SURFACE),
    _Format("MGZ", (".mgz", ".mgh"), _SURFACE),
    _Format("NWB", (".nwb",), (), (_HDF5,)),
    _Format("store", (".h5", ".hdf5"), (), (_HDF5,)),
    _Format("ts", (".ts",), ("sfreq", "unit")),
    _Format("table", (".csv", ".tsv", ".txt", ".npy", ".npz"), _TABLE),
)
_FOLDER_OPTIONS = ("unit", "tr", "atlas", "mask", "confounds", "labels")
_MAGIC = [(f.name, start) for f in _FORMATS for start in f.starts if start != _HDF5]


def formats() -> dict[str, tuple[str, ...]]:
    """File formats that :func:`read` knows, with their suffixes.

    Examples
    --------
    >>> formats()["NIfTI"]
    ('.nii', '.nii.gz')
    """
    return {f.name: f.suffixes for f in _FORMATS}


def known_suffixes() -> tuple[str, ...]:
    """Every suffix :func:`read` knows, the longest first: the first that fits is the right one.

    Examples
    --------
    >>> suffixes = known_suffixes()
    >>> suffixes.index(".dtseries.nii") < suffixes.index(".nii")
    True
    """
    every = {s for f in _FORMATS for s in f.suffixes}
    return tuple(sorted(every, key=lambda s: (-len(s), s)))


def read(
    path: PathLike,
    *,
    unit: str | None = None,
    tr: float | None = None,
    atlas: PathLike | None = None,
    mask: PathLike | None = None,
    confounds: str | None = None,
    labels: Any = None,
    time_axis: int | None = None,
    sfreq: float | str | None = None,
    key: str | None = None,
    streams: Iterable[str] | None = None,
    check: bool = True,
    **facts: Any,
) -> Recording:
    r"""Read a file, or a folder that is one recording, of any known format.

    The suffix chooses the reader and the content must agree with it. Options
    that mean nothing for the format are refused, not ignored.

    Parameters
    ----------
    path : path-like
        EDF, BDF, GDF, FIF, EEGLAB, BrainVision, XDF; NIfTI, CIFTI, GIFTI, MGZ;
        NWB; tables of regions or of spikes (csv, tsv, npy, npz); ``.ts``; this
        package's ``.h5``; a BIDS folder with EEG; a folder of fMRIPrep outputs.
    unit : str, optional
        Unit of the file's numbers, where the file is silent or wrong: of
        voltage channels, of BOLD values, of spike times.
    tr : float, optional
        fMRI: seconds between volumes.
    atlas : path-like, optional
        NIfTI: image of region numbers. Tables: the atlas's name.
    mask : path-like or {"auto", "all"}, optional
        NIfTI: which voxels.
    confounds : str, optional
        fMRIPrep: preset of confounds to regress out.
    labels : path-like, mapping or sequence, optional
        Names of the regions of `atlas` or of a table.
    time_axis : {0, 1}, optional
        Tables: axis along which time runs.
    sfreq : float or str, optional
        ``.ts``: sampling rate in Hz.
    key : str, optional
        ``.npz``: which array.
    streams : iterable of str, optional
        Keep only these streams.
    check : bool
        False accepts implausible amplitudes and contradictory headers, which
        the provenance then notes.
    **facts
        Fields of :class:`Recording`: subject, session, run, task, ….

    Returns
    -------
    Recording
        Lazy where the format allows.

    Raises
    ------
    DataUnavailableError
        If there is nothing at the path.
    FileError
        If the format is unknown, or the file is malformed.
    UnitError
        If an amplitude cannot be what the unit says.
    ConfigError
        If an option does not apply to the format.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "rest.csv")
    >>> _ = path.write_text("A,B\n1,5\n2,4\n4,6\n")
    >>> read(path, tr=2.0, subject="01")
    Recording(subject 01)
      bold: Regular(bold, 2 x 3, 0.5 Hz, au, 6 s)
      Events(0)
    """
    path = Path(path)
    options = {
        "unit": unit,
        "tr": tr,
        "atlas": atlas,
        "mask": mask,
        "confounds": confounds,
        "labels": labels,
        "time_axis": time_axis,
        "sfreq": sfreq,
        "key": key,
    }
    given = {k: v for k, v in options.items() if v is not None}
    if path.is_dir():
        recording = _read_folder(path, given, check, facts)
    else:
        found = _format_of(path)
        _refuse(given, found.options, found.name)
        recording = _READ[found.name](path, given, check, facts)
    return recording if streams is None else _only(recording, streams)


def _refuse(given: dict[str, Any], accepted: Iterable[str], name: str) -> None:
    for option in given:
        if option not in accepted:
            known = ", ".join(accepted) or "none"
            raise ConfigError(
                f"{option}= does not apply to {name} files. Options that do: {known}."
            )


def _only(recording: Recording, names: Iterable[str]) -> Recording:
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        recording.stream(name)
    events = recording.events
    return recording.replace(
        streams={n: recording.streams[n] for n in wanted},
        clocks={n: c for n, c in recording.clocks.items() if n in wanted},
        events=events.take([s == "" or s in wanted for s in events.stream.tolist()]),
    )


def _format_of(path: Path) -> _Format:
    path, status = regular_file(path)
    name = path.name.lower()
    matches = [(len(s), f) for f in _FORMATS for s in f.suffixes if name.endswith(s)]
    if status.st_size == 0:
        raise FileError(f"'{path.name}' is empty (0 bytes). Get it again from its source.")
    with blame(path, "cannot be read", OSError), path.open("rb") as stream:
        head = stream.read(16)
    if not matches:
        looks = [n for n, start in _MAGIC if head.startswith(start)]
        hint = f" Its content looks like {looks[0]}: name it so." if looks else ""
        extra = " Unpack it first." if head.startswith(_GZIP) else ""
        raise FileError(
            f"'{printable(path.name)}' is of no known format.{hint}{extra} Known suffixes: "
            f"{', '.join(s for f in _FORMATS for s in f.suffixes)}."
        )
    found = max(matches, key=lambda m: m[0])[1]
    if found.starts and not head.startswith(found.starts):
        looks = [n for n, start in _MAGIC if head.startswith(start) and n != found.name]
        hint = f" Its content looks like {looks[0]}." if looks else ""
        raise FileError(
            f"'{path.name}' does not start as {found.name} files do.{hint} It is damaged or has "
            "the wrong suffix."
        )
    return found


def _read_folder(
    path: Path, given: dict[str, Any], check: bool, facts: dict[str, Any]
) -> Recording:
    from neuro.io import bids, fmriprep

    if next(path.rglob("*_desc-preproc_bold.nii.gz"), None) is not None:
        _refuse(given, _VOLUME, "fMRIPrep")
        return fmriprep.read_fmriprep(path, check=check, **given, **facts)
    if next(path.glob("sub-*/"), None) is not None:
        _refuse(given, _MNE, "BIDS EEG")
        return bids.read_bids(path, check=check, **given, **facts)
    if next(path.glob("shard-*.h5"), None) is not None:
        raise FileError(
            f"'{path.name}' is a folder of shards, many recordings: neuro.io.load_shards reads "
            "it, and `neuro train --data` and `neuro evaluate` take it as it is."
        )
    raise FileError(
        f"'{path.name}' is a folder of no known layout: neither BIDS (sub-*/) nor fMRIPrep outputs "
        "(*_desc-preproc_bold.nii.gz). Give a file."
    )


def _eeg(path: Path, given: dict[str, Any], check: bool, facts: dict[str, Any]) -> Recording:
    from neuro.io import bids, eeg
    from neuro.io._bids_names import facts_from_name

    if bids.has_side_files(path):
        return bids.with_side_files(path, check=check, **given, **facts)
    return eeg.read_eeg(path, check=check, **given, **{**facts_from_name(path.name), **facts})


def _nifti(path: Path, given: dict[str, Any], check: bool, facts: dict[str, Any]) -> Recording:
    from neuro.io import fmri, fmriprep

    if path.name.endswith("_desc-preproc_bold.nii.gz"):
        given = {"confounds": None, **given}  # a file alone is read as it is, unless told
        return fmriprep.read_fmriprep(path, check=check, **given, **facts)
    return fmri.read_nifti(path, check=check, **given, **facts)


def _cifti(path: Path, given: dict[str, Any], check: bool, facts: dict[str, Any]) -> Recording:
    from neuro.io import surface

    return surface.read_cifti(path, check=check, **given, **facts)


def _surface(path: Path, given: dict[str, Any], check: bool, facts: dict[str, Any]) -> Recording:
    from neuro.io import surface

    return surface.read_surface(path, check=check, **given, **facts)


def _nwb(path: Path, given: dict[str, Any], check: bool, facts: dict[str, Any]) -> Recording:
    from neuro.io import nwb

    return nwb.read_nwb(path, check=check, **given, **facts)


def _store(path: Path, given: dict[str, Any], check: bool, facts: dict[str, Any]) -> Recording:
    from neuro.io import safe, store
    from neuro.io._reading import check_facts

    check_facts(facts)
    # damaged attributes send the HDF5 library into an endless loop; training stores, which
    # this package wrote on this machine, are opened by store.load without a walk
    safe.probe(path, "hdf5")
    recording = store.load(path, **given)
    return recording.replace(**facts) if facts else recording


def _ts(path: Path, given: dict[str, Any], check: bool, facts: dict[str, Any]) -> Recording:
    from neuro.io import ts
    from neuro.io._reading import check_facts, finish, provenance

    check_facts(facts)
    if "sfreq" not in given or "unit" not in given:
        raise ConfigError("A .ts file states neither rate nor unit: pass sfreq= and unit=.")
    recording = ts.ts_recording(path, sfreq=given["sfreq"], unit=given["unit"], check=check)
    return finish(recording, provenance([path], "ts"), facts=facts)


def _table(path: Path, given: dict[str, Any], check: bool, facts: dict[str, Any]) -> Recording:
    from neuro.io import roi_table, spikes

    if _holds_spikes(path):
        _refuse(given, ("unit",), "spike")
        return spikes.read_spikes(path, check=check, **given, **facts)
    return roi_table.read_roi_table(path, check=check, **given, **facts)


def _holds_spikes(path: Path) -> bool:
    """Whether a table's columns, or an npz's arrays, are spike times and units."""
    from neuro.io import safe, spikes

    suffix = path.suffix.lower()
    if suffix == ".npy":
        return False
    if suffix == ".npz":
        flat = [k for k, v in safe.load_npz(path).items() if v.ndim == 1]
        return spikes.spike_columns(flat) is not None
    with path.open("rb") as stream:
        first = stream.readline(1 << 16).decode("utf-8-sig", "replace").strip()
    header = [c.strip().strip('"') for c in first.split("\t" if "\t" in first else ",")]
    found = spikes.spike_columns(header)
    # a table of regions may count its volumes in a column called time
    return found is not None and len(header) <= 4


_Reader = Callable[[Path, dict[str, Any], bool, dict[str, Any]], Recording]
_READ: dict[str, _Reader] = {
    **dict.fromkeys(("EDF", "BDF", "GDF", "FIF", "EEGLAB", "BrainVision", "XDF"), _eeg),
    "NIfTI": _nifti,
    "CIFTI": _cifti,
    "GIFTI": _surface,
    "MGZ": _surface,
    "NWB": _nwb,
    "store": _store,
    "ts": _ts,
    "table": _table,
}
