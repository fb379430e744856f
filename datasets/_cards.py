"""Data cards: where a data set comes from, what it holds, what is wrong with it.

One YAML file a data set stands in ``cards/``. It is read into :class:`Card`,
which refuses unknown, missing and mistyped fields, and its counts are compared
with the loaded data by :func:`mismatches`.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from neuro.errors import ConfigError, did_you_mean
from neuro.typing import Modality

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["Card", "Expected", "Source", "card_names", "load_card", "mismatches"]

Kind = Literal["package", "embedded", "path", "url"]
_FOLDER = Path(__file__).parent / "cards"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the files of a data set come from.

    Parameters
    ----------
    kind : {"package", "embedded", "path", "url"}
        A member of a published package archive; shipped inside this package;
        a folder the user has; or a download.
    project, version, file : str
        The published package and the exact name of its archive file.
    sha256 : str
        Hash of the archive (``package``) or of the one download (``url``).
    urls : tuple of str
        Addresses of the same file, tried in order.
    prefix : str
        Common leading folder of `members` inside the archive.
    members : mapping of str to str
        File below `prefix` -> its SHA-256.
    also : mapping of str to str
        Other name a member may have in a user's folder -> the member.
    obtain : str
        For ``path``: how a user gets the files.
    tree : str
        For ``path``: layout of a folder of any number of files, where `members`
        cannot name them; the loader looks for it below the user's folder.

    Notes
    -----
    A member's key is what loaders ask for; its full path in the archive is
    ``prefix + key``.
    """

    kind: Kind
    project: str = ""
    version: str = ""
    file: str = ""
    sha256: str = ""
    urls: tuple[str, ...] = ()
    prefix: str = ""
    members: Mapping[str, str] = field(default_factory=dict, repr=False)
    also: Mapping[str, str] = field(default_factory=dict)
    obtain: str = ""
    tree: str = ""

    def problems(self) -> list[str]:
        """What keeps this source from being usable, as sentences."""
        needs = {
            "package": ("project", "version", "file", "sha256", "members"),
            "url": ("urls", "sha256", "members"),
            "path": ("tree" if self.tree else "members", "obtain"),
            "embedded": ("members",),
        }
        if self.kind not in needs:
            return [f"source.kind is {self.kind!r}. {did_you_mean(str(self.kind), needs)}"]
        out = [f"source.{k} is missing." for k in needs[self.kind] if not getattr(self, k)]
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            out.append(f"source.sha256 {self.sha256!r} is not 64 lower-case hex digits.")
        if self.kind == "url" and len(self.members) > 1:
            out.append("source.members must name one file for a url.")
        for member, digest in self.members.items():
            if not _SHA256.fullmatch(digest):
                out.append(f"source.members: hash of {member!r} is not 64 lower-case hex digits.")
            if member.startswith("/") or ".." in Path(member).parts:
                out.append(f"source.members: {member!r} must be a plain relative path.")
        out += [
            f"source.also: {m!r} is not a member."
            for m in set(self.also.values()) - set(self.members)
        ]
        return out


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Counts that the loaded data must show.

    Parameters
    ----------
    stream : str
        The stream that is counted.
    recordings : int
        Number of recordings.
    samples : int
        Samples of that stream over all recordings (spikes, if irregular).
    duration_s : float
        Seconds of that stream over all recordings.
    trials : mapping of str to int
        Run -> number of events whose type is one of `labels`.
    labels : mapping of str to int
        Event type -> number of events over all recordings.
    """

    stream: str
    recordings: int
    samples: int
    duration_s: float
    trials: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Card:
    """All that is known of a data set before opening it.

    Parameters
    ----------
    name, title, modality, description : str
        Registry name, one line, kind of signal, a paragraph.
    source : Source
        Where the files come from.
    licence : str
        Licence of the data (the package that carries them may have another).
    citation : str
        What to cite.
    subjects : int, optional
        How many people or animals; identities may still be unknown, see
        `known_defects`. Only a tree of files may leave it out.
    channels : int
        Rows of the main stream.
    sfreq, tr : float or None
        Rate in Hz or repetition time in seconds; one of the two.
    unit : str
        Unit of the main stream as loaded.
    expected : Expected, optional
        Counts the loaded data must show; none for a tree of files, of which a
        user may have a part or another release.
    known_defects : tuple of str
        What is wrong with the files and what the loader does about it.
    notes : str
        Anything else a user should know.
    """

    name: str
    title: str
    modality: Modality
    description: str
    source: Source
    licence: str
    citation: str
    channels: int
    unit: str
    subjects: int | None = None
    expected: Expected | None = None
    sfreq: float | None = None
    tr: float | None = None
    known_defects: tuple[str, ...] = ()
    notes: str = ""

    def __post_init__(self) -> None:
        found = self.source.problems()
        if not _NAME.fullmatch(self.name):
            found.append(f"name {self.name!r} must be lower_snake.")
        if self.modality not in get_args(Modality):
            found.append(f"modality: {did_you_mean(str(self.modality), get_args(Modality))}")
        tree = bool(self.source.tree)
        several = tree and self.sfreq is None  # a corpus may mix rates
        if (self.sfreq is None) == (self.tr is None) and self.modality != "spikes" and not several:
            found.append("give either sfreq (Hz) or tr (s).")
        for what in ("subjects", "expected"):
            if getattr(self, what) is None and not tree:
                found.append(f"field {what!r} is missing.")
        found += [
            f"{what} must be above 0, got {value}."
            for what in ("subjects", "channels", "sfreq", "tr")
            if (value := getattr(self, what)) is not None and value <= 0
        ]
        if found:
            raise ConfigError(f"Card {self.name!r}: " + " ".join(found))

    @property
    def rate(self) -> Fraction:
        """Sampling rate of the main stream in Hz, exact."""
        if self.sfreq is not None:
            return Fraction(str(self.sfreq))
        if self.tr is not None:
            return 1 / Fraction(str(self.tr))
        raise ConfigError(f"Card {self.name!r} states no one rate of its main stream.")


def _fill(cls: type[Any], raw: Any, where: str) -> Any:
    """Instance of a dataclass from parsed YAML, with every field checked."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where} must be a mapping of fields, got {type(raw).__name__}.")
    known = {f.name: f for f in dataclasses.fields(cls)}
    for key in raw:
        if key not in known:
            raise ConfigError(f"{where}: unknown field {key!r}. {did_you_mean(str(key), known)}")
    for key, spec in known.items():
        absent = spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
        if absent and key not in raw:
            raise ConfigError(f"{where}: field {key!r} is missing.")
    return cls(**{k: _value(known[k], v, f"{where}: {k}") for k, v in raw.items()})


def _value(spec: "dataclasses.Field[Any]", value: Any, where: str) -> Any:
    if spec.type is Source:
        return _fill(Source, value, where)
    if spec.type == Expected | None:
        return _fill(Expected, value, where)
    text = str(spec.type)
    if "Mapping" in text:
        kind: type = int if "int]" in text else str
        if not isinstance(value, Mapping) or not all(
            isinstance(k, str) and isinstance(v, kind) for k, v in value.items()
        ):
            raise ConfigError(f"{where} must map text to {kind.__name__}.")
        return dict(value)
    if "tuple" in text:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ConfigError(f"{where} must be a list of text.")
        return tuple(value)
    whole = spec.type is int or spec.type == int | None
    if whole or "float" in text:
        wanted = (int,) if whole else (int, float)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ConfigError(f"{where} must be a number, got {value!r}.")
        return value if whole else float(value)
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be text, got {value!r}. Quote it.")
    return value.strip()


def card_names() -> tuple[str, ...]:
    """Names of the cards that exist, sorted."""
    return tuple(sorted(p.stem for p in _FOLDER.glob("*.yaml")))


@cache
def load_card(name: str) -> Card:
    """Card of a data set, by the stem of its file.

    Raises
    ------
    ConfigError
        If there is no such card, or it is malformed (naming the field).
    """
    if name not in card_names():
        raise ConfigError(f"No data set {name!r}. {did_you_mean(name, card_names())}")
    return read_card(_FOLDER / f"{name}.yaml")


def read_card(path: Path) -> Card:
    """Card from a YAML file; its name must be the file's stem."""
    from neuro.io import safe

    raw = safe.load_yaml(path)
    card: Card = _fill(Card, raw, f"Card {path.stem!r}")
    if card.name != path.stem:
        raise ConfigError(f"Card file {path.name} holds the card of {card.name!r}. Rename one.")
    return card


def mismatches(card: Card, recordings: "Sequence[Recording]") -> list[str]:
    """Where loaded recordings differ from what their card promises.

    Parameters
    ----------
    card : Card
        The data set's card.
    recordings : sequence of Recording
        What its loader returned.

    Returns
    -------
    list of str
        One sentence a difference; empty if all counts hold, or none are promised.

    Examples
    --------
    >>> from neuro.datasets import info, load
    >>> mismatches(info("head_direction"), load("head_direction"))
    []
    """
    from neuro.data import Irregular, Regular

    want, got = card.expected, _Counts()
    if want is None:
        return []
    for recording in recordings:
        stream = recording.stream(want.stream)
        if isinstance(stream, Irregular):
            got.add(len(stream.times_s), float((stream.support[:, 1] - stream.support[:, 0]).sum()))
            rows = len(stream.units)
        elif isinstance(stream, Regular):
            got.add(stream.n_times, stream.n_times / stream.sfreq)
            rows = stream.shape[0]
            got.units.add(stream.unit)
            got.rates.add(round(stream.sfreq, 6))
        else:
            raise ConfigError(f"Card {card.name!r}: stream {want.stream!r} has no time.")
        got.rows.add(rows)
        got.subjects.add(recording.subject)
        kept = [t for t in recording.events.type.tolist() if t in want.labels]
        got.trials[recording.run] = got.trials.get(recording.run, 0) + len(kept)
        for kind in kept:
            got.labels[kind] = got.labels.get(kind, 0) + 1
    return _compare(card, want, got, len(recordings))


@dataclass
class _Counts:
    samples: int = 0
    duration_s: float = 0.0
    rows: set[int] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    rates: set[float] = field(default_factory=set)
    subjects: set[str] = field(default_factory=set)
    trials: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)

    def add(self, samples: int, duration_s: float) -> None:
        self.samples += samples
        self.duration_s += duration_s


def _compare(card: Card, want: Expected, got: _Counts, n: int) -> list[str]:
    known = got.subjects - {"pooled", ""}
    pairs: list[tuple[str, object, object]] = [
        ("recordings", want.recordings, n),
        ("samples", want.samples, got.samples),
        ("channels", {card.channels}, got.rows),
        ("labels", dict(want.labels), got.labels),
    ]
    if want.trials:
        pairs.append(("trials", dict(want.trials), got.trials))
    if known:
        pairs.append(("subjects", card.subjects, len(known)))
    if got.units:
        pairs.append(("unit", {card.unit}, got.units))
    if got.rates:
        pairs.append(("rate in Hz", {round(float(card.rate), 6)}, got.rates))
    out = [f"{what}: card says {a}, data show {b}." for what, a, b in pairs if a != b]
    # a tenth of a millisecond over the whole set: rounding of the card's number
    if abs(want.duration_s - got.duration_s) > 1e-4 * max(1.0, want.duration_s):
        out.append(f"duration: card says {want.duration_s} s, data show {got.duration_s:.4f} s.")
    return out
