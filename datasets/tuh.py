"""The Temple University Hospital corpora: TUAB, TUEV, TUAR, TUSL, TUSZ and TUEG.

One tree each, loaded from the user's copy; only headers and annotation files are
read. Electrodes get their standard names (``EEG T3-REF`` and ``EEG T3-LE`` are
``T7``); derive a montage with :func:`neuro.data.bipolar`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._corpus import BadFiles, Row, collect, events_of, part_step
from neuro.datasets._protocols import OfficialSplit, by_subject, from_parts
from neuro.datasets._tuh_files import REC_LABELS, read_csv, read_rec, read_tse
from neuro.errors import ConfigError, FileError, did_you_mean
from neuro.typing import IntArray

if TYPE_CHECKING:
    from neuro.data import Recording, Windows

__all__ = ["labelled_windows", "load", "official_split"]

_STEM = r"(?P<subject>[a-z0-9]+)_(?P<session>s\d+)_(?P<run>t\d+)\.edf$"
_FOLDERS = r"(?P<folder>[a-z0-9]+)/s\d+[^/]*/(?P<system>\d\d_tcp_\w+)/"
_ARTIFACTS = ("chew", "elec", "elpp", "eyem", "musc", "shiv")
_SEIZURES = tuple("seiz fnsz gnsz spsz cpsz absz tnsz cnsz tcsz atsz mysz nesz".split())
_SYSTEMS = {
    "01_tcp_ar": "average reference",
    "02_tcp_le": "linked ears",
    "03_tcp_ar_a": "average reference, without the ears",
    "04_tcp_le_a": "linked ears, without the ears",
}
# Electrodes of the corpora that the 10-05 system does not know.
_MORE = {"T1", "T2", "Sp1", "Sp2"}
_LABEL = re.compile(r"^(?:EEG )?(?P<name>[A-Z0-9]+(?:-[A-Z0-9]+)?)$", re.IGNORECASE)


@dataclass(frozen=True)
class _Layout:
    """Where the files of a corpus lie, and what stands beside them."""

    pattern: re.Pattern[str]
    parts: Mapping[str, str] = field(default_factory=dict)
    annotations: tuple[str, ...] = ()  # endings, the first that is there counts
    also: tuple[str, ...] = ()  # endings of further files that may be there
    labels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    length_s: float = 5.0


_TRAIN_EVAL = {"train": "train", "eval": "test"}
_LAYOUTS = {
    "tuab": _Layout(
        re.compile(
            r"(?:^|/)(?P<part>train|eval)/(?P<group>normal|abnormal)/(?P<system>\d\d_tcp_\w+)/"
            rf"(?:.+/)?{_STEM}"
        ),
        _TRAIN_EVAL,
        classes=("normal", "abnormal"),
        length_s=10.0,
    ),
    "tuev": _Layout(
        re.compile(r"(?:^|/)(?P<part>train|eval)/(?P<subject>[^/]+)/(?P<run>[^/]+)\.edf$"),
        _TRAIN_EVAL,
        annotations=(".rec",),
        labels=tuple(REC_LABELS.values()),
        classes=tuple(REC_LABELS.values()),
    ),
    "tuar": _Layout(
        re.compile(rf"(?:^|/)(?P<system>\d\d_tcp_\w+)/{_STEM}"),
        annotations=(".csv",),
        also=("_seiz.csv",),
        labels=(*_ARTIFACTS, *_SEIZURES, "bckg"),
        classes=("clean", "artifact"),
    ),
    "tusl": _Layout(
        re.compile(r"(?:^|/)" + _FOLDERS + _STEM),
        annotations=(".tse_agg", ".csv", ".tse"),
        labels=("bckg", "seiz", "slow"),
        classes=("none", "bckg", "seiz", "slow"),
    ),
    "tusz": _Layout(
        re.compile(r"(?:^|/)(?P<part>train|dev|eval)/" + _FOLDERS + _STEM),
        {"train": "train", "dev": "val", "eval": "test"},
        annotations=(".csv", ".csv_bi", ".tse", ".tse_bi"),
        labels=(*_SEIZURES, "bckg"),
        classes=("bckg", "seiz"),
        length_s=12.0,
    ),
    "tueg": _Layout(re.compile(r"(?:^|/)" + _FOLDERS + _STEM)),
}


def load(
    card: Card,
    folder: Path,
    *,
    biot_compat: bool = False,
    without_subjects: Iterable[str] = (),
    bad_files: BadFiles = "raise",
) -> "list[Recording]":
    """All recordings of a corpus, samples left on disk.

    Parameters
    ----------
    card : Card
        Which of the corpora.
    folder : Path
        The tree, or a folder above it or in it.
    biot_compat : bool, default False
        For ``tuev``, as the code of BIOT and its successors has it: one event a
        channel, so that identical windows repeat; and two seconds of each end
        of a recording put before its other end, so that windows of events near
        the edges run on there.
    without_subjects : iterable of str
        People to leave out, e.g. those of every evaluation set from a corpus
        for pretraining.
    bad_files : {"raise", "skip"}
        See the card.

    Returns
    -------
    list of Recording
        Stream ``eeg`` (and ``ecg``, ``emg``, ``eog``); events with a column
        ``channel``; `group` is ``normal`` or ``abnormal`` in tuab.

    Raises
    ------
    ConfigError
        If `biot_compat` is asked of another corpus than tuev.
    """
    if biot_compat and card.name != "tuev":
        raise ConfigError(f"{card.name}: biot_compat is for tuev; load this corpus without it.")
    unwanted = {without_subjects} if isinstance(without_subjects, str) else set(without_subjects)
    layout = _LAYOUTS[card.name]
    pattern = layout.pattern
    read = partial(_read, card, layout, biot_compat)
    found = collect(card, folder, pattern, read, bad_files, unwanted=unwanted)
    if unwanted:
        step = f"{len(unwanted)} subjects left out on request"
        found = [recording.with_step(step) for recording in found]
    return found


def _read(
    card: Card, layout: _Layout, biot_compat: bool, path: Path, match: re.Match[str]
) -> "Recording":
    from neuro.io.edf import read_edf, read_header

    header = read_header(path)
    found = match.groupdict()
    steps = [part_step(found["part"])] if "part" in found else []
    if system := found.get("system"):
        steps.append(f"recorded as {system} ({_SYSTEMS.get(system, 'unknown reference')})")
    events = None
    if layout.annotations:
        rows, source = _annotations(path, layout)
        events, noted = events_of(rows, source, header.duration_s, merge=not biot_compat)
        steps += noted
    facts: dict[str, Any] = {
        k: found[k] for k in ("subject", "session", "run", "group") if k in found
    }
    names = [card.name, *([found["part"]] if "part" in found else []), found["subject"]]
    names += [path.stem] if card.name == "tuev" else [found["session"], found["run"]]
    recording = read_edf(
        header,
        _channel,
        events=events,
        steps=tuple(steps),
        reader=f"neuro.datasets.{card.name}",
        facts={**facts, **_person(header.patient), "dataset": card.name, "id": "_".join(names)},
    )
    return _wrapped(recording) if biot_compat else recording


@cache
def _channel(label: str) -> tuple[str, str] | None:
    """Kind and standard name of a channel; None for those that are no EEG or the like."""
    from neuro.data import canonical_eeg_name, eeg_positions

    plain = label.removesuffix("-REF").removesuffix("-LE").strip()
    match = _LABEL.fullmatch(plain)
    bare = (match["name"] if match else plain).upper()
    if "EKG" in bare or "ECG" in bare:
        return "ecg", bare.removeprefix("ECG ")
    if "EMG" in bare:
        return "emg", bare
    if bare in ("ROC", "LOC", "EOG"):
        return "eog", bare
    if not match:
        return None
    name = canonical_eeg_name(label)
    name = bare.capitalize() if bare.capitalize() in _MORE else name
    known = name in _MORE or bool(np.isfinite(eeg_positions([name])).all())
    return ("eeg", name) if known else None


def _person(patient: str) -> dict[str, Any]:
    """Sex and age out of the patient field; its other parts are not looked at."""
    words = patient.split()
    sex = next((w for w in words[1:2] if w in ("M", "F")), "")
    age = re.search(r"\bAge:\s*(\d{1,3})\b", patient)
    years = float(age[1]) if age and int(age[1]) <= 120 else None
    return {"sex": sex, "age": years}


def _annotations(path: Path, layout: _Layout) -> tuple[list[Row], str]:
    """Rows of the annotation files beside a recording, labels checked."""
    readers: dict[str, Callable[[Path], list[Row]]] = {".rec": read_rec}
    base = str(path.with_suffix(""))
    beside = next((Path(base + e) for e in layout.annotations if Path(base + e).is_file()), None)
    if beside is None:
        raise FileError(
            f"'{path.name}' has no annotation file ({' or '.join(layout.annotations)}) beside it. "
            "Get the whole folder again."
        )
    rows: list[Row] = []
    for file in (beside, *(Path(base + e) for e in layout.also if Path(base + e).is_file())):
        reader = readers.get(file.suffix, read_tse if ".tse" in file.suffix else read_csv)
        rows += reader(file)
    for row in rows:
        # artifacts that coincide stand joined: eyem_musc
        for label in row.label.split("_"):
            if label not in layout.labels:
                raise FileError(
                    f"'{beside.name}': unknown label {row.label!r}. "
                    f"{did_you_mean(label, layout.labels)} Is the file of another corpus?"
                )
    return rows, beside.name


# ------------------------------------------------------------------- windows and labels


def labelled_windows(
    recordings: "Sequence[Recording]",
    *,
    length_s: float | None = None,
    threshold: float = 0.3,
    mode: Literal["binary", "channels", "channel_classes"] = "binary",
) -> "Windows":
    """Windows and labels of one corpus as the literature defines them.

    Parameters
    ----------
    recordings : sequence of Recording
        Of one corpus.
    length_s : float, optional
        Seconds; by default 10 (tuab), 12 (tusz), else 5. In tuev it is 5: from
        2 s before an event to 2 s after it.
    threshold : float, default 0.3
        For ``tuar``: least share of a window under artifact annotations; 0
        calls a window an artifact if any of it is annotated.
    mode : {"binary", "channels", "channel_classes"}
        For ``tuar``: one label a window; one a pair of the montage ``tcp22``
        (0 or 1); or the artifact's group a pair (0 none, 1 chew, 2 elec,
        3 eyem, 4 musc, 5 shiv).

    Returns
    -------
    Windows
        tuab: the file's group; tuev: the event; tusz: ``seiz`` if any of the
        window is; tusl: what most of the window is, ``none`` where nothing is
        annotated; tueg: no label.

    Raises
    ------
    ConfigError
        If an option does not fit the corpus.
    """
    from neuro.data import windows

    name = recordings[0].dataset
    layout = _LAYOUTS[name]
    if name != "tuar" and (threshold != 0.3 or mode != "binary"):
        raise ConfigError(f"{name}: threshold and mode are for tuar.")
    if name == "tuev":
        if length_s not in (None, 5.0):
            raise ConfigError("tuev: windows are 5 s, an event of 1 s and 2 s on each side.")
        return windows(
            recordings, stream="eeg", align="*", offset_s=-2.0, length_s=5.0, label="type",
            classes=layout.classes,
        )  # fmt: skip
    labels: dict[str, Any] = {
        "tuab": "group",
        "tuar": _artifact_label(threshold, mode),
        "tusl": _majority,
        "tusz": _seizure,
        "tueg": None,
    }
    classes = layout.classes if mode == "binary" else ()
    return windows(
        recordings,
        stream="eeg",
        length_s=length_s or layout.length_s,
        label=labels[name],
        classes=classes or None,
    )


# Of joined artifacts the first word decides; elpp, a rarity, is of no group in the reference.
_GROUPS = {"chew": 1, "elec": 2, "eyem": 3, "musc": 4, "shiv": 5}
_GRID_HZ = 256.0  # the rate at which the reference counts labelled samples


def _painted(
    recording: "Recording", start_s: float, stop_s: float, codes: Mapping[str, int]
) -> dict[str, IntArray]:
    """For each annotated channel (``""`` for all) the code of each of 256 moments a second."""
    events = recording.session_events()
    n = round((stop_s - start_s) * _GRID_HZ)
    near = (events.onset_s < stop_s) & (events.onset_s + events.duration_s > start_s)
    out: dict[str, IntArray] = {"": np.zeros(n, dtype=np.int64)}
    for i in np.flatnonzero(near).tolist():
        code = codes.get(str(events.type[i]).partition("_")[0], 0)
        if not code:
            continue
        a = round((events.onset_s[i] - start_s) * _GRID_HZ)
        b = round((events.onset_s[i] + events.duration_s[i] - start_s) * _GRID_HZ)
        for channel in ("", *str(events.column("channel")[i]).split(",")):
            out.setdefault(channel, np.zeros(n, dtype=np.int64))[max(a, 0) : min(b, n)] = code
    return out


def _artifact_label(threshold: float, mode: str) -> Callable[["Recording", float, float], Any]:
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold={threshold} is no share between 0 and 1.")
    modes = ("binary", "channels", "channel_classes")
    if mode not in modes:
        raise ConfigError(f"mode={mode!r}. {did_you_mean(mode, modes)}")
    from neuro.data.montage import montage_pairs

    # seizures are annotated in the same files and count as not clean in one label a window
    binary = dict.fromkeys((*_ARTIFACTS, *_SEIZURES), 1)
    codes = _GROUPS if mode == "channel_classes" else binary
    pairs = [f"{a}-{b}" for a, b in montage_pairs("tcp22")]

    def enough(share: float) -> bool:
        return share >= threshold if threshold > 0 else share > 0

    def label(recording: "Recording", start_s: float, stop_s: float) -> Any:
        painted = _painted(recording, start_s, stop_s, codes)
        if mode == "binary":
            return "artifact" if enough(float((painted[""] > 0).mean())) else "clean"
        out = np.zeros(len(pairs))
        for i in [i for i, pair in enumerate(pairs) if pair in painted]:
            codes_here = painted[pairs[i]]
            shares = [float(x) for x in np.bincount(codes_here, minlength=6) / len(codes_here)]
            if mode == "channels":
                out[i] = enough(1.0 - shares[0])
            else:  # the commonest of those that are common enough, clean among them
                out[i] = int(np.argmax([x if enough(x) else 0.0 for x in shares]))
        return out

    return label


def _majority(recording: "Recording", start_s: float, stop_s: float) -> str:
    names = _LAYOUTS["tusl"].classes
    codes = {name: i for i, name in enumerate(names)}
    counts = np.bincount(_painted(recording, start_s, stop_s, codes)[""], minlength=len(names))
    return names[int(np.argmax(counts))]  # of equals the first, as in the reference


def _seizure(recording: "Recording", start_s: float, stop_s: float) -> str:
    codes = dict.fromkeys(_SEIZURES, 1)
    return "seiz" if _painted(recording, start_s, stop_s, codes)[""].any() else "bckg"


# --------------------------------------------------------------------------- splits


def official_split(
    recordings: "Sequence[Recording]",
    *,
    val: float = 0.2,
    seed: int = 0,
    reference_split: bool = False,
) -> OfficialSplit:
    """The corpus's own training and evaluation folders, or subjects dealt at random.

    Parameters
    ----------
    recordings : sequence of Recording
        Of one corpus.
    val : float, default 0.2
        tuab, tuev: share of the training subjects for validation.
    seed : int
        For drawing subjects (or files).
    reference_split : bool, default False
        For ``tuar``: deal files instead of people, as the code behind FEMBA's
        numbers does; the same person then stands on several sides.

    Returns
    -------
    OfficialSplit
        tuab, tuev, tusz: by their folders; tuar, tusl: 80/10/10 % of the
        subjects.

    Raises
    ------
    ConfigError
        For tueg, which is for pretraining, and options that do not fit.
    LeakageError
        If a person's files lie in two parts.
    """
    name = recordings[0].dataset
    if reference_split and name != "tuar":
        raise ConfigError(f"{name}: reference_split is for tuar, whose reference deals files.")
    if name == "tueg":
        raise ConfigError("tueg has no labels and no split: it is for pretraining.")
    if _LAYOUTS[name].parts:
        return from_parts(recordings, _LAYOUTS[name].parts, val=val, seed=seed)
    if reference_split:
        return _files_dealt(recordings, seed)
    source = f"80/10/10 % of the subjects, seed {seed}"
    return by_subject(recordings, {"train": 0.8, "val": 0.1, "test": 0.1}, seed=seed, source=source)


def _files_dealt(recordings: "Sequence[Recording]", seed: int) -> OfficialSplit:
    order = np.random.default_rng(seed).permutation(len(recordings)).tolist()
    a = int(0.8 * len(order))
    b = a + int(0.5 * (len(order) - a))
    rows = {"train": order[:a], "val": order[a:b], "test": order[b:]}
    parts = {part: tuple(sorted(recordings[i].id for i in some)) for part, some in rows.items()}
    people = [{recordings[i].subject for i in some} for some in rows.values()]
    shared = (people[0] & people[1]) | (people[0] & people[2]) | (people[1] & people[2])
    source = (
        f"reference_split: files dealt 80/10/10 %, seed {seed}; {len(shared)} people on both sides"
    )
    return OfficialSplit("recording", parts, source, tuple(sorted(shared)))


# -------------------------------------------------------------------- a defect, on request


_EDGE_S = 2


class _Circular:
    """An array whose end stands before its beginning and the other way round."""

    def __init__(self, base: Any, edge: int) -> None:
        self._base, self._edge = base, edge
        self.dtype = base.dtype
        self.shape: tuple[int, ...] = (base.shape[0], base.shape[1] + 2 * edge)

    def __getitem__(self, key: Any) -> Any:
        rows, times = key if isinstance(key, tuple) else (key, slice(None))
        start, stop, step = times.indices(self.shape[1])
        n, place, end = self._base.shape[1], start - self._edge, max(start, stop) - self._edge
        pieces = []
        while place < end:
            a = place % n
            b = min(n, a + end - place)
            pieces.append(self._base[rows, a:b])
            place += b - a
        whole = np.concatenate(pieces, axis=-1) if pieces else self._base[rows, :0]
        return whole[..., ::step]


def _wrapped(recording: "Recording") -> "Recording":
    stream = recording.regular("eeg")
    edge = round(_EDGE_S * stream.rate)
    longer = replace(
        stream,
        data=_Circular(stream.data, edge),
        t0_s=-float(edge / stream.rate),
        segments=np.array([[0, stream.n_times + 2 * edge]]),
    )
    step = f"biot_compat: {_EDGE_S} s of each end put before the other; one event a channel"
    return recording.with_stream("eeg", longer, step)
