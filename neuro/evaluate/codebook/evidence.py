"""Which runs of codes mark a class of windows, where they stand, and whether it holds up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.data import Windows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.evaluate.codebook.ngrams import NgramBayes, Ngrams, counts_of
from neuro.evaluate.codebook.reading import TokenGrid
from neuro.evaluate.codebook.stretches import Stretches
from neuro.typing import BoolArray, FloatArray, IntArray

__all__ = ["Evidence", "TopNgram", "ngram_evidence"]


@dataclass(frozen=True)
class TopNgram:
    """An n-gram that tells the classes apart, by all windows together.

    Parameters
    ----------
    codes : tuple of int
        In the order of time.
    channel : str
        ``""`` where channels were pooled.
    evidence : float
        log P(n-gram | positive) - log P(n-gram | other).
    in_positive, in_other : int
        Occurrences.
    """

    codes: tuple[int, ...]
    channel: str
    evidence: float
    in_positive: int
    in_other: int


@dataclass(frozen=True, eq=False)
class Evidence:
    """What n-grams of codes say of a class of windows, judged on held-out units.

    Parameters
    ----------
    positive : str
        The class they are evidence for.
    by : str
        Level at which training and test part are apart.
    auroc : tuple of float
        Area under the ROC curve of the windows of each fold's test part.
    auroc_shuffled : tuple of float
        The same where the training labels were exchanged, one a shuffle and fold.
    place_auroc, place_auroc_shuffled : tuple of float
        The same for single (channel, stretch of time) cells, from evidence
        projected back; empty where no truth of places was given.
    rows : ndarray of int, shape (n,)
        Labelled windows, as rows of the windows given.
    is_positive : ndarray of bool, shape (n,)
        Their labels.
    map : ndarray, shape (n, n_chans, n_tokens)
        Evidence of each token, by a classifier that never saw the window's unit.
    score : ndarray, shape (n,)
        Log odds of each window, likewise.
    place : ndarray of bool, shape (n, n_chans, n_tokens), optional
        Tokens that lie where the map should point.
    top : tuple of TopNgram
        The strongest n-grams for the class, then against it.
    """

    positive: str
    by: str
    auroc: tuple[float, ...]
    auroc_shuffled: tuple[float, ...]
    place_auroc: tuple[float, ...]
    place_auroc_shuffled: tuple[float, ...]
    rows: IntArray
    is_positive: BoolArray
    map: FloatArray
    score: FloatArray
    place: BoolArray | None
    top: tuple[TopNgram, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the maps."""
        return {
            "positive": self.positive,
            "by": self.by,
            "n_windows": len(self.rows),
            "n_positive": int(self.is_positive.sum()),
            "auroc": mean_of(self.auroc),
            "auroc_folds": list(self.auroc),
            "auroc_shuffled": mean_of(self.auroc_shuffled),
            "place_auroc": mean_of(self.place_auroc),
            "place_auroc_folds": list(self.place_auroc),
            "place_auroc_shuffled": mean_of(self.place_auroc_shuffled),
            "top": [vars(t) for t in self.top],
        }


def mean_of(values: Sequence[float]) -> float:
    """Mean; NaN of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")


def ngram_evidence(
    windows: Windows,
    grid: TokenGrid,
    *,
    positive: str | None = None,
    stretches: Stretches | None = None,
    localise: str | None = None,
    by: str = "subject",
    n_folds: int = 4,
    orders: Sequence[int] = (1, 2, 3),
    by_channel: bool = False,
    alpha: float = 1.0,
    balanced: bool = True,
    shuffles: int = 20,
    seed: int = 0,
) -> Evidence:
    """Train naive Bayes on n-grams of codes, judge it on held-out units, and map its evidence.

    Vocabulary and probabilities come from the training part alone. The map
    never sees where the planted stretches are: the labels are of whole windows.

    Parameters
    ----------
    windows : Windows
        With classes as targets; windows without one are left out.
    grid : TokenGrid
        Their codes.
    positive : str, optional
        Class that evidence is for; the last one if omitted. All others are one.
    stretches : Stretches, optional
        What is known of places, to judge the map.
    localise : str, optional
        Name of the stretches to be found.
    by : str
        Units held out whole: subject, session, run or block.
    n_folds : int
        At most; fewer where there are fewer units.
    orders : sequence of int
        Lengths of the n-grams.
    by_channel : bool
        Tell the same n-gram of two channels apart.
    alpha : float
        Smoothing; 1 is Laplace's rule.
    balanced : bool
        Weigh windows so that both classes weigh the same. On simulated windows
        of which a fifth was positive, exchanged labels gave an AUROC of 0.37
        without it and 0.48 with it: see :meth:`NgramBayes.fitted`.
    shuffles : int
        Repetitions with exchanged training labels, a fold.
    seed : int
        Of folds and exchanges.

    Returns
    -------
    Evidence

    Raises
    ------
    DataError
        If windows have no classes, only one class, or too few units to hold
        some out.
    ConfigError
        If a name is unknown.

    Examples
    --------
    Codes that are known: 1 where spikes and waves were planted, 0 elsewhere.

    >>> from neuro.data import windows
    >>> from neuro.datasets.synthetic import motifs
    >>> made = motifs(n_subjects=4, duration_s=120, planted=0.3)
    >>> cut = windows(made.recordings, stream="eeg", length_s=12.0, label="type")
    >>> ids = np.concatenate(made.truth["run"].reshape(4, 4, 10, 12).swapaxes(1, 2)).astype(int)
    >>> grid = TokenGrid(ids, np.arange(12.0), 1.0, 2)
    >>> found = ngram_evidence(cut, grid)
    >>> found.auroc, found.top[0].codes
    ((1.0, 1.0, 1.0, 1.0), (1,))
    """
    known, is_positive, positive = _labels(windows, positive)
    chosen = windows.select(known)
    ids = grid.ids[known]
    grams = Ngrams.of(ids, grid.n_codes, orders, by_channel=by_channel)
    cells, truth = _places(chosen, grid, stretches, localise)
    kinds = ("windows", "windows, shuffled", "places", "places, shuffled")
    areas: dict[str, list[float]] = {kind: [] for kind in kinds}
    mapped = np.zeros(ids.shape)
    score = np.zeros(len(ids))
    rng = np.random.default_rng(seed)
    for train, test in _folds(chosen, by, n_folds, seed):
        vocabulary = grams.vocabulary(train)
        place = grams.positions(vocabulary)
        counts = counts_of(place, len(vocabulary))
        here = tuple(p[test] for p in place)
        for shuffle in range(shuffles + 1):
            y = rng.permutation(is_positive[train]) if shuffle else is_positive[train]
            which = ", shuffled" if shuffle else ""
            bayes = NgramBayes.fitted(counts[train], y, alpha=alpha, balanced=balanced)
            said = bayes.log_odds(counts[test])
            found = grams.projected(here, bayes.evidence)
            _note(areas["windows" + which], said, is_positive[test])
            if truth is not None:
                at = truth[test] >= 0
                _note(areas["places" + which], (found @ cells)[at], truth[test][at] == 1)
            if not shuffle:
                mapped[test], score[test] = found, said
    if not areas["windows"]:
        raise DataError(f"No fold's test part holds both classes: fewer folds than {n_folds}.")
    return Evidence(
        positive,
        by,
        tuple(areas["windows"]),
        tuple(areas["windows, shuffled"]),
        tuple(areas["places"]),
        tuple(areas["places, shuffled"]),
        known,
        is_positive,
        mapped,
        score,
        _inside(chosen, grid, stretches, localise),
        _top(grams, is_positive, windows.ch_names, alpha, balanced),
    )


def _labels(windows: Windows, positive: str | None) -> tuple[IntArray, BoolArray, str]:
    if windows.target is None or windows.classes is None:
        raise DataError(
            "N-grams are evidence for a class of windows, and these have none: cut them with "
            "label='type' or another label with names."
        )
    name = windows.classes[-1] if positive is None else positive
    if name not in windows.classes:
        raise ConfigError(f"No class {name!r}. {did_you_mean(name, windows.classes)}")
    known = np.flatnonzero(windows.labelled)
    is_positive = windows.target[known] == windows.classes.index(name)
    if is_positive.all() or not is_positive.any():
        raise DataError(
            f"Of {len(known)} labelled windows {int(is_positive.sum())} are {name!r}: two classes "
            "are needed."
        )
    return known, np.asarray(is_positive), name


def _folds(windows: Windows, by: str, n: int, seed: int) -> list[tuple[IntArray, IntArray]]:
    from neuro.data.splits import folds, groups

    units = len(np.unique(groups(windows, by)))
    if units < 2:
        raise DataError(
            f"Evidence is judged on held-out units, but there is only one {by}: use another by=, "
            "e.g. by='block'."
        )
    return folds(windows, by, n=min(n, units), seed=seed)


def _places(
    windows: Windows, grid: TokenGrid, stretches: Stretches | None, localise: str | None
) -> tuple[FloatArray, IntArray | None]:
    """Weights from tokens to stretches of time, and which (window, channel, stretch) to find.

    The truth is 1, 0 or -1 for unknown; None if no place is asked for.
    """
    if localise is None:
        return np.eye(len(grid.start_s)), None
    if stretches is None:
        raise ConfigError("localise= needs stretches=, which say where it is.")
    if localise not in stretches.names:
        raise ConfigError(f"No stretches {localise!r}. {did_you_mean(localise, stretches.names)}")
    step = stretches.step_s
    start = step * np.arange(int(windows.length_s / step + 1e-6))
    a = np.maximum(grid.start_s[:, None], start[None])
    b = np.minimum(grid.start_s[:, None] + grid.length_s, start[None] + step)
    # a token's evidence is shared out over the stretches it covers
    cells = np.maximum(b - a, 0.0) / grid.length_s
    label = stretches.of_tokens(windows, start, step)
    wanted = label == stretches.names.index(localise)
    return cells, np.where(label < 0, -1, wanted.astype(np.int64))


def _inside(
    windows: Windows, grid: TokenGrid, stretches: Stretches | None, localise: str | None
) -> BoolArray | None:
    """Tokens that lie wholly in the stretches to be found."""
    if stretches is None or localise is None:
        return None
    label = stretches.of_tokens(windows, grid.start_s, grid.length_s)
    return np.asarray(label == stretches.names.index(localise))


def _note(areas: list[float], said: FloatArray, is_positive: BoolArray) -> None:
    """Add an area under the ROC curve where both classes are there."""
    from scipy.stats import rankdata

    n = int(is_positive.sum())
    if 0 < n < len(is_positive):
        # Mann and Whitney: the area is the share of pairs in the right order
        above = rankdata(said)[is_positive].sum() - n * (n + 1) / 2
        areas.append(float(above / (n * (len(is_positive) - n))))


def _top(
    grams: Ngrams,
    is_positive: BoolArray,
    ch_names: Sequence[str],
    alpha: float,
    balanced: bool,
    most: int = 8,
) -> tuple[TopNgram, ...]:
    vocabulary = grams.vocabulary(np.arange(len(is_positive)))
    counts = counts_of(grams.positions(vocabulary), len(vocabulary))
    bayes = NgramBayes.fitted(counts, is_positive, alpha=alpha, balanced=balanced)
    evidence = bayes.evidence
    inside = np.asarray(is_positive.astype(float) @ counts)
    total = np.asarray(counts.sum(axis=0)).reshape(-1)
    order = np.argsort(-evidence, kind="stable")
    out = []
    for i in [*order[:most].tolist(), *order[max(most, len(order) - most) :][::-1].tolist()]:
        channel, codes = grams.named(int(vocabulary[i]))
        where = "" if channel is None else ch_names[channel]
        a = int(inside[i])
        out.append(TopNgram(codes, where, float(evidence[i]), a, int(total[i]) - a))
    return tuple(out)
