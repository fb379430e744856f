"""How the literature cuts, labels and splits a data set: one door for all of them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuro.datasets._corpus import part_of
from neuro.datasets._registry import module_of
from neuro.errors import ConfigError, DataError, LeakageError, did_you_mean

if TYPE_CHECKING:
    from neuro.data import Recording, Windows

__all__ = ["OfficialSplit", "by_subject", "from_parts", "labelled_windows", "official_split"]

Level = Literal["subject", "session", "run", "recording"]


@dataclass(frozen=True)
class OfficialSplit:
    """Which units of a data set are for training, validation and test.

    Parameters
    ----------
    by : {"subject", "session", "run", "recording"}
        What the units are, as in ``windows.split(by=...)``.
    parts : mapping of str to tuple of str
        ``"train"``, ``"val"`` (if there is one), ``"test"`` -> units.
    source : str
        Where the split comes from, and what of it is our choice.
    shared_subjects : tuple of str
        People on several sides; empty unless the split is meant to be within
        people, or a reference's defect was asked for.

    Examples
    --------
    >>> split = OfficialSplit("subject", {"train": ("a", "b"), "test": ("c",)}, "ours")
    >>> split.parts["test"]
    ('c',)
    """

    by: Level
    parts: Mapping[str, tuple[str, ...]]
    source: str
    shared_subjects: tuple[str, ...] = ()

    def of(self, index: "Windows") -> "dict[str, Windows]":
        """The parts of a window index, proven to share nothing.

        Parameters
        ----------
        index : Windows
            Over recordings the split was made for.

        Returns
        -------
        dict of str to Windows
            Part -> windows; parts without a window are left out.

        Raises
        ------
        LeakageError
            If two parts share a subject (unless the split says so) or samples.
        DataError
            If a window belongs to no part.
        """
        from neuro.data import assert_disjoint

        if self.by == "recording":
            unit = np.array([rec.id for rec in index.recordings])[index.recording]
        else:
            unit = index.column(self.by)
        out, used = {}, np.zeros(len(index), dtype=bool)
        for part, units in self.parts.items():
            rows = np.isin(unit, units)
            used |= rows
            if rows.any():
                out[part] = index.select(rows)
        if not used.all():
            lost = str(unit[np.flatnonzero(~used)[0]])
            raise DataError(
                f"{self.by} {lost!r} is in no part of the split. Make the split from the "
                "recordings that the windows were cut from."
            )
        for (a, one), (b, other) in combinations(out.items(), 2):
            shared = np.intersect1d(one.column("subject"), other.column("subject")).tolist()
            if set(shared) - set(self.shared_subjects):
                raise LeakageError(f"{shared[:3]} are people in both {a!r} and {b!r}.")
            assert_disjoint(one, other)
        return out


def official_split(recordings: "Sequence[Recording]", **options: Any) -> OfficialSplit:
    """The split of a data set that its publishers or the literature use.

    Parameters
    ----------
    recordings : sequence of Recording
        Of one data set, as :func:`neuro.datasets.load` returned them.
    **options : object
        What the data set offers, e.g. ``seed=1`` for the validation subjects,
        ``reference_split=True`` for a published split with a known defect.

    Returns
    -------
    OfficialSplit

    Raises
    ------
    ConfigError
        If the data set has no official split, or for an unknown option.
    LeakageError
        If the files on this machine put a person on two sides.

    Examples
    --------
    >>> from neuro.data import Axis, Recording, Regular
    >>> eeg = Regular(np.ones((2, 500)), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> cases = [Recording({"eeg": eeg}, dataset="chb_mit", subject=s) for s in ("chb02", "chb23")]
    >>> official_split(cases).parts
    {'train': ('chb02',), 'test': ('chb23',)}
    """
    name = _dataset(recordings)
    module = module_of(name)
    if hasattr(module, "official_split"):
        split: OfficialSplit = _call(name, module.official_split, recordings, options)
        return split
    runs = {r.run for r in recordings}
    if runs == {"train", "test"} and not options:
        parts = {"train": ("train",), "test": ("test",)}
        people = [{r.subject for r in recordings if r.run == run} for run in ("train", "test")]
        shared = tuple(sorted(people[0] & people[1]))
        return OfficialSplit("run", parts, "the publishers' training and test file", shared)
    raise ConfigError(
        f"{name} has no official split. Hold people out: windows.split('subject'), or "
        "windows.folds('subject')."
    )


def labelled_windows(recordings: "Sequence[Recording]", **options: Any) -> "Windows":
    """Windows and labels of a data set as the literature defines them.

    Parameters
    ----------
    recordings : sequence of Recording
        Of one data set; derive montages and bring them to one rate before.
    **options : object
        What the data set offers, e.g. ``length_s=5.0``, ``biot_compat=True``.

    Returns
    -------
    Windows

    Raises
    ------
    ConfigError
        If the data set defines no windows, or for an unknown option.
    DataError
        If nothing can be cut.

    Examples
    --------
    >>> from neuro.data import Axis, Recording, Regular
    >>> eeg = Regular(np.ones((2, 5000)), 250, "uV", Axis(["Fz", "Cz"], "eeg"), "eeg")
    >>> one = Recording({"eeg": eeg}, dataset="tuab", subject="a", group="abnormal")
    >>> labelled_windows([one])
    Windows(2 x 10 s of 'eeg' (eeg); 1 subjects, 1 recordings; normal 0, abnormal 2)
    """
    name = _dataset(recordings)
    module = module_of(name)
    if not hasattr(module, "labelled_windows"):
        raise ConfigError(f"{name} has no windows of its own. Use neuro.data.windows(...).")
    index: Windows = _call(name, module.labelled_windows, recordings, options)
    return index


def _dataset(recordings: "Sequence[Recording]") -> str:
    names = {r.dataset for r in recordings}
    if len(names) != 1:
        raise ConfigError(f"Recordings of one data set are needed, got {sorted(names) or 'none'}.")
    return names.pop()


def _call(
    name: str,
    function: Callable[..., Any],
    recordings: "Sequence[Recording]",
    options: Mapping[str, Any],
) -> Any:
    known = list(inspect.signature(function).parameters)[1:]
    for option in options:
        if option not in known:
            raise ConfigError(f"{name}: no option {option!r}. {did_you_mean(option, known)}")
    return function(recordings, **options)


# ------------------------------------------------------------- what the modules build with


def by_subject(
    recordings: "Sequence[Recording]",
    shares: Mapping[str, float],
    *,
    seed: int,
    source: str,
    keep: Mapping[str, tuple[str, ...]] | None = None,
) -> OfficialSplit:
    """Subjects dealt at random to parts; equally many of each group where groups are known.

    Parameters
    ----------
    recordings : sequence of Recording
        Those to deal.
    shares : mapping of str to float
        Part -> share of the subjects; the first takes what rounding leaves.
    seed : int
        For the order of the subjects.
    source : str
        For the result.
    keep : mapping, optional
        Parts that are fixed already.

    Raises
    ------
    LeakageError
        If a subject to be dealt stands in a fixed part.
    DataError
        If there are fewer subjects than parts.
    """
    order = _kinds_together(recordings, seed)
    if len(order) < len(shares):
        raise DataError(f"{len(order)} subjects for {len(shares)} parts. Load more of the tree.")
    n_all = len(order)
    first, *others = shares
    parts: dict[str, tuple[str, ...]] = {first: ()}
    for number, part in enumerate(others):
        still_empty = len(others) - number
        n = min(max(1, round(shares[part] * n_all)), len(order) - still_empty)
        # places spread evenly over the order, so that every kind gives its share
        chosen = {order[int((i + 0.5) / n * len(order))] for i in range(n)}
        parts[part] = tuple(sorted(chosen))
        order = [subject for subject in order if subject not in chosen]
    parts[first] = tuple(sorted(order))
    parts |= keep or {}
    for (a, one), (b, other) in combinations(parts.items(), 2):
        if shared := sorted(set(one) & set(other)):
            raise LeakageError(
                f"{shared[:3]} are people in both {a!r} and {b!r} of the files here. Remove them "
                "from one side, or split with windows.split('subject')."
            )
    return OfficialSplit("subject", parts, source)


def _kinds_together(recordings: "Sequence[Recording]", seed: int) -> list[str]:
    """Subjects of one group after the other, at random within each."""
    groups: dict[str, set[str]] = {}
    for rec in recordings:
        groups.setdefault(rec.subject, set()).add(rec.group)
    kinds: dict[str, list[str]] = {}
    for subject in sorted(groups):  # a person of several groups counts to the first by name
        kinds.setdefault(min(groups[subject]), []).append(subject)
    rng = np.random.default_rng(seed)
    return [str(s) for kind in sorted(kinds) for s in rng.permutation(kinds[kind])]


def from_parts(
    recordings: "Sequence[Recording]", names: Mapping[str, str], *, val: float, seed: int
) -> OfficialSplit:
    """Split by the folders the files stand in, with validation subjects out of training.

    Parameters
    ----------
    recordings : sequence of Recording
        With a part each.
    names : mapping of str to str
        Folder -> part.
    val : float
        Share of the training subjects for validation, if no folder is for it.
    seed : int
        For drawing them.
    """
    if not 0 <= val < 1:
        raise ConfigError(f"val={val}: give a share of the training subjects, 0 for none.")
    subjects: dict[str, set[str]] = {}
    for rec in recordings:
        found = part_of(rec)
        if found not in names:
            raise DataError(
                f"{rec.id!r} does not say which official part it is of. Load it with "
                "neuro.datasets.load."
            )
        subjects.setdefault(names[found], set()).add(rec.subject)
    source = "the publishers' folders"
    fixed = {part: tuple(sorted(s)) for part, s in subjects.items() if part != "train"}
    training = [rec for rec in recordings if names[part_of(rec)] == "train"]
    if not training:
        raise DataError("No recording of the training part was loaded, so there is no split.")
    shares = {"train": 1.0}
    if "val" not in names.values() and val > 0:
        shares = {"train": 1 - val, "val": val}
        source += f"; {val:g} of the training subjects drawn for validation, seed {seed}"
    return by_subject(training, shares, seed=seed, source=source, keep=fixed)
