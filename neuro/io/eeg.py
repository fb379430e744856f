"""EEG, MEG and intracranial files, read through MNE.

Samples stay on disk where the format allows (EDF, BDF, GDF, raw FIF,
BrainVision, EEGLAB with a ``.fdt`` file) and 16-bit files stay 16-bit, so that
a stored copy is lossless and small. What MNE warns of either ends the reading
or becomes a step of the provenance.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Events, Provenance, Recording, Regular
from neuro.data.convert import from_mne
from neuro.data.streams import Stream
from neuro.data.units import conversion_factor
from neuro.errors import FileError, MissingDependencyError, UnitError
from neuro.io._edf_gaps import read_timeline
from neuro.io._files import DAMAGED, printable, regular_file
from neuro.io._headers import check_records, check_tags
from neuro.io._mne_array import Source, file_gains, open_raw, samples_of
from neuro.io._reading import check_facts, finish, judged, provenance, reading
from neuro.typing import FloatArray, IntArray, PathLike

__all__ = ["SUFFIXES", "read_eeg", "walk", "walk_mat"]

SUFFIXES = (".edf", ".bdf", ".gdf", ".fif", ".set", ".vhdr", ".xdf")
_PROBED = {".fif": "mne", ".gdf": "mne", ".vhdr": "mne", ".xdf": "mne", ".set": "mat"}
_VOLTAGE = ("eeg", "seeg", "ecog", "dbs", "eog", "ecg", "emg")

_GAPS = " gaps in the file"
# Part of a warning of MNE -> what it means for the user. Anything else is noted.
_FATAL = {
    "Number of records from the header": "The header and the file's size disagree: the file is "
    "truncated or has bytes at its end that do not belong to it",
    "not unique": "Channel names stand twice",
    "Scaling factor will not be defined": "The header gives a channel no digital range",
    "record length": "The header gives no length of a data record, so the rate is unknown",
    "could not be read": "A block of samples is damaged",
}


def read_eeg(
    path: PathLike, *, unit: str | None = None, check: bool = True, **facts: Any
) -> Recording:
    """Read an EDF, BDF, GDF, FIF, EEGLAB, BrainVision or XDF file.

    Channels of one kind make one stream (``"eeg"``, ``"eog"``, ``"meg_mag"``,
    …); kinds of several rates make one stream a rate. An epoched file becomes
    one segment and one block a trial. The person's name, birth date and the
    date of recording are not carried over.

    Parameters
    ----------
    path : path-like
        The file; BrainVision by its ``.vhdr``.
    unit : str, optional
        Unit of the file's numbers in voltage channels, where the header is
        silent or wrong.
    check : bool
        Refuse implausible amplitudes and headers that contradict the file;
        False notes them in the provenance instead.
    **facts
        Fields of :class:`Recording`: subject, session, run, ….

    Returns
    -------
    Recording
        Voltages in uV, magnetometers in fT, gradiometers in fT/cm.

    Raises
    ------
    FileError
        If the file is malformed, truncated, or keeps samples elsewhere.
    UnitError
        If the amplitude cannot be what the unit says.

    Examples
    --------
    >>> from neuro.io import read_eeg
    >>> read_eeg("night.edf", subject="07")  # doctest: +SKIP
    """
    recording = read_unjudged(path, unit=unit, check=check, **facts)
    with reading(path):
        return judged(recording, check)


def read_unjudged(
    path: PathLike, *, unit: str | None = None, check: bool = True, **facts: Any
) -> Recording:
    """As :func:`read_eeg`, amplitudes left alone: side files may still change channel types."""
    check_facts(facts)
    path, _ = regular_file(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(f"'{path.name}' is no EEG file known here: {', '.join(SUFFIXES)}.")
    _check_side_files(path)
    if suffix in (".edf", ".bdf", ".gdf"):
        check_records(path)
    if suffix == ".fif":
        check_tags(path)
    if suffix in _PROBED:
        from neuro.io import safe

        if suffix == ".set" and _holds_hdf5(path):
            safe.probe(path, "hdf5")  # such files can send a reader to others
        safe.probe(path, _PROBED[suffix])
    with reading(path) as notes:
        if suffix == ".xdf":
            from neuro.io.xdf import load_streams

            recording, used = load_streams(path, unit), [path]
        elif _is_epochs(path):
            recording, used = _read_epochs(path, unit), [path]
        else:
            recording, used = _read_raw(path, unit, check)
    for note in notes if check else ():
        for part, meaning in _FATAL.items():
            if part in note:
                raise FileError(
                    f"'{path.name}': {meaning}. MNE says: {note}. Get the file again; pass "
                    "check=False to read it as it is."
                )
    if any(_GAPS in step for step in recording.provenance.steps):  # their times are mended now
        notes = [note for note in notes if "annotation(s) that were" not in note]
    library = "pyxdf" if suffix == ".xdf" else "mne"
    return finish(recording, provenance(used, "eeg", library), notes, facts)


# ---------------------------------------------------------------- continuous


def _read_raw(path: Path, unit: str | None, check: bool) -> tuple[Recording, list[Path]]:
    source = Source.of(path)
    raws = [(source, open_raw(source))]
    used = [path, *(Path(f) for f in raws[0][1].filenames if f and Path(f).name != path.name)]
    raws = _by_rate(raws[0][0], raws[0][1])
    streams: dict[str, Stream] = {}
    events = Events.empty()
    steps: tuple[str, ...] = ()
    for i, (src, raw) in enumerate(raws):
        if not raw.n_times:
            raise FileError(f"'{path.name}' holds no samples: it is empty or was cut short.")
        if not raw.ch_names:
            continue
        noted = _check_length(path, raw, check)
        # both ends: a truncated file is found now and not in the middle of training
        raw.get_data(start=0, stop=1)
        raw.get_data(start=raw.n_times - 1)
        one = _recording(src, raw, unit)
        for name, stream in one.streams.items():
            label = name if name not in streams else f"{name}_{raw.info['sfreq']:g}hz"
            streams[label] = stream
        if i == 0:
            events, steps = one.events, (*one.provenance.steps, *noted)
        if raw.info["subject_info"] or raw.info["meas_date"]:
            raw.anonymize(verbose="error")
    if not streams:
        raise FileError(f"'{path.name}' holds no signal channel, only annotations.")
    return Recording(streams, events, provenance=Provenance(steps=steps)), used


def _recording(source: Source, raw: Any, unit: str | None) -> Recording:
    factors = _factors(raw, source.suffix, unit)
    recording = from_mne(raw, check=False, samples=samples_of(raw, source, factors))
    if not len(recording.events) and "stim" in raw.get_channel_types():
        recording = recording.replace(events=_stim_events(raw))
        recording = recording.with_step("events from the stim channel")
    return _declared(recording, unit)


def _factors(raw: Any, suffix: str, unit: str | None) -> Callable[[IntArray, float], FloatArray]:
    """(channels, MNE's unit to ours) -> factor of each, with the user's unit in force."""
    kinds = np.array(raw.get_channel_types())
    gains = file_gains(raw, suffix)
    if unit is not None and not np.isin(kinds, _VOLTAGE).any():
        raise UnitError(f"unit={unit!r} is for voltage channels; this file has none. Leave it out.")

    def factors(rows: IntArray, factor: float) -> FloatArray:
        out = np.full(len(rows), factor)
        if unit is not None:
            volts = np.isin(kinds[rows], _VOLTAGE)
            out[volts] = conversion_factor(unit, "uV") / gains[rows][volts]
        plain = np.isin(kinds[rows], ("misc", "resp"))
        out[plain] = 1.0 / gains[rows][plain]  # no unit of ours: the file's own numbers
        return out

    return factors


def _declared(recording: Recording, unit: str | None) -> Recording:
    return recording.with_step(f"voltages declared {unit} by the user") if unit else recording


def _by_rate(source: Source, raw: Any) -> list[tuple[Source, Any]]:
    """The file opened once for each sampling rate in it, so that MNE resamples nothing."""
    if source.suffix not in (".edf", ".bdf", ".gdf"):
        return [(source, raw)]
    extra = raw._raw_extras[0]
    lengths = np.asarray(extra["n_samps"])[extra["sel"]]
    if len(np.unique(lengths)) < 2:
        return [(source, raw)]
    out = []
    for length in sorted(set(lengths.tolist()), reverse=True):
        names = [n for n, k in zip(raw.ch_names, lengths, strict=True) if k == length]
        part = Source(source.path, source.suffix, tuple(names), source.size, source.mtime_ns)
        opened = open_raw(part)
        if list(opened.ch_names) != names:
            raise FileError(
                f"'{source.path.name}' has channels of several rates and of the same name. "
                "Rename the channels so each is unique."
            )
        out.append((part, opened))
    return out


def _stim_events(raw: Any) -> Events:
    import mne

    names = [n for n, k in zip(raw.ch_names, raw.get_channel_types(), strict=True) if k == "stim"]
    whole = [n for n in names if n in ("STI 014", "STI101")]
    found = mne.find_events(
        raw,
        stim_channel=whole[:1] or names,
        shortest_event=1,
        mask=0xFFFF,  # BioSemi keeps flags of the amplifier in the bits above
        mask_type="and",
        verbose="error",
    )
    if not len(found):
        return Events.empty()
    onset = (found[:, 0] - raw.first_samp) / raw.info["sfreq"]
    codes = found[:, 2]
    return Events.make(onset, [str(c) for c in codes.tolist()], value=codes.astype(float))


def _check_length(path: Path, raw: Any, check: bool) -> list[str]:
    """Compare what headers claim with what there is; notes of what was put up with."""
    if path.suffix.lower() == ".vhdr":
        points = _vhdr_value(path, "DataPoints")
        if points.isdecimal() and int(points[:20]) != raw.n_times:
            claim = f"claims {points[:40]} samples, its data file holds {raw.n_times}"
            if check:
                raise FileError(
                    f"'{path.name}' {claim}. Get the file again; pass check=False to read what "
                    "there is."
                )
            return [f"the header {claim}"]
    if path.suffix.lower() in (".edf", ".bdf"):
        return _mend_gaps(path, raw, check)
    return []


def _mend_gaps(path: Path, raw: Any, check: bool) -> list[str]:
    """Put a border where a discontinuous file jumps, and events where their samples are."""
    timeline = read_timeline(path)
    if timeline is None or not timeline.jumps.any():
        return []
    count = int(timeline.jumps.sum())
    if check:
        at = timeline.starts[:-1][timeline.jumps][0] + timeline.length
        raise FileError(
            f"'{path.name}' is a discontinuous {path.suffix[1:].upper()}+ file: {count} gaps, the "
            f"first after {at:g} s, so times after it would be wrong. Export it as continuous "
            "EDF; check=False reads the stretches end to end, each a segment of its own."
        )
    annotations, lost = timeline.annotations()
    raw.set_annotations(annotations, verbose="error")
    left_out = f"; {lost} events inside gaps left out" if lost else ""
    return [
        f"{count}{_GAPS}: the stretches stand end to end, each a segment of its own, and events "
        f"where their samples are, so times after the first gap are not the file's{left_out}"
    ]


# --------------------------------------------------------------------- epochs


def _is_epochs(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith(".fif"):
        return _holds_epochs(path)
    if name.endswith(".set"):
        return _set_fields(path)[0] > 1
    return False


def _holds_epochs(path: Path) -> bool:
    from mne._fiff.open import fiff_open
    from mne._fiff.tree import dir_tree_find

    opened, tree, _ = fiff_open(path, verbose="error")
    opened.close()
    return len(dir_tree_find(tree, 373)) > 0  # the block FIFFB_MNE_EPOCHS


def _read_epochs(path: Path, unit: str | None) -> Recording:
    import mne

    suffix = path.suffix.lower()
    if suffix == ".set":
        epochs = mne.read_epochs_eeglab(path, verbose="warning")
    else:
        epochs = mne.read_epochs(path, preload=True, verbose="warning")
    factors = _factors(epochs, suffix, unit)

    def samples(picks: list[int], factor: float) -> tuple[FloatArray, None, None]:
        x = epochs.get_data(picks=picks).transpose(1, 0, 2).reshape(len(picks), -1)
        x *= factors(np.asarray(picks), factor)[:, None]
        return x.astype(np.float32), None, None

    return _declared(from_mne(epochs, check=False, samples=samples), unit)


# ------------------------------------------------------------------ side files


def _check_side_files(path: Path) -> None:
    """Refuse headers that send the reader to another folder."""
    if path.suffix.lower() != ".vhdr":
        return
    for key in ("DataFile", "MarkerFile"):
        name = _vhdr_value(path, key)
        if name and (Path(name).name != name or "\\" in name):
            raise FileError(
                f"'{path.name}': {key} points to another folder, which is refused. Put the files "
                "side by side and write the bare name."
            )
        if key == "DataFile" and name:
            regular_file(path.with_name(name.replace("$b", path.stem)))
    count = _vhdr_value(path, "NumberOfChannels")
    if count.isdecimal() and int(count[:12]) > path.stat().st_size:  # each needs a line
        raise FileError(f"'{path.name}' claims {count[:40]} channels. {DAMAGED}")
    names = Counter(
        text.split(",")[0]
        for section, key, text in _vhdr_lines(path)
        if section == "channel infos" and key.startswith("ch")
    )
    if twice := [printable(n, 40) for n, times in names.items() if n and times > 1]:
        raise FileError(
            f"'{path.name}': channel names stand twice: {', '.join(twice[:5])}. Rename them in "
            "that file so each is unique."
        )


def _vhdr_lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """Section and key, in lower case, and value of each line of a BrainVision header."""
    with path.open("rb") as stream:
        text = stream.read(1 << 20).decode("latin-1")
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[] \t").lower()
        left, equals, right = line.partition("=")
        if equals:
            yield section, left.strip().lower(), right.strip()


def _vhdr_value(path: Path, key: str) -> str:
    return next((text for _, found, text in _vhdr_lines(path) if found == key.lower()), "")


def _holds_hdf5(path: Path) -> bool:
    """Whether a ``.set`` file is of MATLAB 7.3, which is HDF5 behind a text.

    Raises
    ------
    MissingDependencyError
        If so, and the package that reads it is not installed.
    """
    size, place, found = path.stat().st_size, 0, False
    with path.open("rb") as stream:
        while place < size and not found:  # HDF5 may begin at 0, 512, 1024, 2048, …
            stream.seek(place)
            found = stream.read(8) == b"\x89HDF\r\n\x1a\n"
            place = max(512, 2 * place)
    if found and find_spec("pymatreader") is None:
        raise MissingDependencyError(
            f"'{path.name}' is a MATLAB 7.3 file, which needs pymatreader: pip install "
            "pymatreader. Or save it in EEGLAB again without the option for large files."
        )
    return found


def _set_fields(path: Path) -> tuple[int, str]:
    """Number of trials in an EEGLAB file, and the name of the file with its samples."""
    from mne.io.eeglab.eeglab import _check_load_mat

    eeg = _check_load_mat(path, None)
    data = eeg.get("data", "")
    return int(eeg.trials), data if isinstance(data, str) else ""


# ----------------------------------------------------------------- child's walk


def walk(path: PathLike) -> None:
    """Touch everything in an EEG file that :func:`read_eeg` would; for the probe.

    Opens the file as the reader does, then reads up to 64 evenly spaced blocks
    of samples.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    FileError
        If something cannot be read.
    """
    path = Path(path)
    with reading(path):
        if path.suffix.lower() == ".xdf":
            from neuro.io.xdf import load_streams

            load_streams(path, None)
        elif _is_epochs(path):
            _read_epochs(path, None)
        else:
            recording, _ = _read_raw(path, None, False)
            for stream in recording.streams.values():
                if isinstance(stream, Regular):
                    # a short file has fewer places than 64
                    places = np.linspace(0, max(0, stream.n_times - 1000), 64).astype(int)
                    for start in np.unique(places).tolist():
                        stream.read(start, min(start + 1000, stream.n_times))


def walk_mat(path: PathLike) -> None:
    """Touch everything in an EEGLAB ``.set`` file; for the probe.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    FileError
        If it is malformed or names a file in another folder.
    """
    path = Path(path)
    with reading(path):
        data = _set_fields(path)[1]
        name = data.replace("\\", "/").rpartition("/")[2]
        if data and name != data and data != str(path):  # itself: samples are inside
            raise FileError(
                f"'{path.name}' keeps its samples in another folder, which is refused. Put the "
                ".fdt file beside it and correct the name inside."
            )
    walk(path)
