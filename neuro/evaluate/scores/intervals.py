"""Independent units of a test part, and bootstrap intervals over them.

What the bootstrap cannot know is that the folds of a cross-validation share
training data: what one fold is tested on, another learned from. Without any
signal the scores of a decoder then vary by 1.2 to 1.4 times as much as
independent windows would (on two classes of 80 or 400 windows in 4 folds:
neighbours 1.25 and 1.27, LDA 1.31 and 1.40), and the 95 % interval covers
chance in 0.84 to 0.90 of data sets; with one held-out part in 0.93 to 0.96
(measured, 250 to 400 data sets each, standard error 0.01 to 0.02). No
estimate of that variance is unbiased (Bengio & Grandvalet 2004); reports of
cross-validated runs say so beside their intervals.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from neuro.data import Windows
from neuro.evaluate.scores.scoring import Metric, Resampled
from neuro.evaluate.splitting import level_names
from neuro.evaluate.task import Predicted, Task
from neuro.stats import Interval, bca_levels
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["Scored", "Units", "choose_units", "interval", "statistic"]

# Fewer than this many units say too little about their spread; the next level
# below is then resampled and the table says so. Our choice.
_LEAST_UNITS = 5
# Stretches a recording without blocks is cut into, when its windows follow
# each other and are therefore not independent. Our choice.
_STRETCHES = 20
_LEVEL = 0.95
_DRAWS = 2000
# The correction needs one value for each unit left out; beyond this many
# units it changes nothing that could be seen.
_MOST_FOR_BCA = 1000
# draws times units held at once: 64 MB
_AT_ONCE = 8_000_000


@dataclass(frozen=True, eq=False)
class Units:
    """What is resampled: the highest independent level with enough units.

    Parameters
    ----------
    level : str
        ``"subject"``, ``"session"``, ``"run"``, ``"block"``, ``"stretch"`` or
        ``"window"``.
    code : ndarray of int, shape (n_windows,)
        Unit of each window of the plan.
    caution : str
        What the interval does not cover; ``""`` if nothing.
    """

    level: str
    code: IntArray
    caution: str = ""


@dataclass(frozen=True, eq=False)
class Scored:
    """Predictions of one fold and seed.

    Parameters
    ----------
    y : ndarray
        Truth.
    said : Predicted
        Prediction.
    unit : ndarray of int, shape (n,)
        Unit of each test window.
    fold, seed : int
        Which run.
    """

    y: AnyArray
    said: Predicted
    unit: IntArray
    fold: int
    seed: int


def choose_units(
    windows: Windows, tested: IntArray, top: tuple[str, AnyArray] | None = None
) -> Units:
    """Level over which intervals are bootstrapped.

    The highest level of subject, session, run and block that has at least
    five units among the tested windows. Windows that follow each other in a
    continuous recording are no units: they are taken in twenty stretches.

    Parameters
    ----------
    windows : Windows
        All windows of the plan.
    tested : ndarray of int
        Rows that some fold tests.
    top : (str, ndarray), optional
        Name and unit of each window of a level above the subject (families,
        sites), which comes first.

    Returns
    -------
    Units
    """
    above = ""
    if top is not None:
        n = len(np.unique(top[1][tested]))
        if n >= _LEAST_UNITS:
            return Units(top[0], _codes(top[1]), "")
        above = f"{n} {top[0]}" + ("s" if n > 1 else "")
    for level in ("subject", "session", "run", "block"):
        names = level_names(windows, level)
        if names is None:
            continue
        n = len(np.unique(names[tested]))
        if n >= _LEAST_UNITS:
            return Units(level, _codes(names), _caution(level, above))
        if level == "subject" and (windows.column("subject")[tested] == "pooled").all():
            above = "subjects that the data set does not tell apart"
        elif n > 1 or not above:
            above = f"{n} {level}" + ("s" if n > 1 else "")
    if len(tested) >= 2 * _STRETCHES and _adjacent(windows, tested):
        return Units("stretch", _stretches(windows, tested), _caution("stretch", above))
    return Units(
        "window",
        np.arange(len(windows)),
        "intervals resample single windows as if they were independent, and may be too narrow",
    )


def _caution(level: str, above: str) -> str:
    if not above:
        return ""
    what = "stretches of time" if level == "stretch" else f"{level}s"
    return f"intervals resample {what} within {above} and say nothing about any other"


def _codes(names: AnyArray) -> IntArray:
    return np.asarray(np.unique(names, return_inverse=True)[1].astype(np.int64))


def _adjacent(windows: Windows, tested: IntArray) -> bool:
    """Whether most tested windows touch or overlap the next one."""
    rec, start, stop = (a[tested] for a in (windows.recording, windows.start, windows.stop))
    order = np.lexsort((start, rec))
    same = np.diff(rec[order]) == 0
    touching = start[order][1:] - stop[order][:-1] <= windows.n_times // 2
    return bool((same & touching).mean() > 0.5)


def _stretches(windows: Windows, tested: IntArray) -> IntArray:
    """Unit of each window: consecutive tested windows in equal stretches."""
    out = np.zeros(len(windows), dtype=np.int64)
    order = tested[np.lexsort((windows.start[tested], windows.recording[tested]))]
    number = np.arange(len(order)) * _STRETCHES // len(order)
    # no stretch reaches over two recordings
    _, code = np.unique(
        number * len(windows.recordings) + windows.recording[order], return_inverse=True
    )
    out[order] = code
    return out


# ---- values under resampling ----------------------------------------------------


@dataclass(frozen=True, eq=False)
class Statistic:
    """Score of each seed as a function of how often each unit was drawn.

    Parameters
    ----------
    seeds : tuple of callable
        One a seed: (n_draws, n_units) counts to (n_draws,) scores.
    """

    seeds: tuple[Resampled, ...]

    def __call__(self, counts: FloatArray) -> FloatArray:
        """Mean over seeds, (n_draws,)."""
        return np.asarray(np.mean([f(counts) for f in self.seeds], axis=0))

    def redrawn(self, counts: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Mean over seeds that are drawn anew for every draw of units, (n_draws,)."""
        n = len(self.seeds)
        if n == 1:
            return self.seeds[0](counts)
        share = rng.multinomial(n, np.full(n, 1 / n), len(counts)) / n
        scores = np.stack([f(counts) for f in self.seeds], axis=1)
        return np.asarray((scores * share).sum(1))


def statistic(metric: Metric, task: Task, runs: Sequence[Scored], n_units: int) -> Statistic:
    """Score as a function of how often each unit was drawn.

    Folds are pooled where the metric allows it, else averaged by their number
    of windows; seeds are averaged.

    Parameters
    ----------
    metric : Metric
        Which score.
    task : Task
        What is predicted.
    runs : sequence of Scored
        Every fold of every seed.
    n_units : int
        Number of units.

    Returns
    -------
    Statistic
    """
    return Statistic(
        tuple(
            _of_seed(metric, task, [r for r in runs if r.seed == seed], n_units)
            for seed in sorted({r.seed for r in runs})
        )
    )


def _of_seed(metric: Metric, task: Task, runs: Sequence[Scored], n_units: int) -> Resampled:
    if metric.pooled and len(runs) > 1:
        runs = [pooled(runs)]
    prepared = [metric.prepare(r.y, r.said, task, r.unit, n_units) for r in runs]
    if len(prepared) == 1:
        return prepared[0]
    sizes = np.stack([np.bincount(r.unit, minlength=n_units) for r in runs], axis=1)

    def of_folds(counts: FloatArray) -> FloatArray:
        weight = counts @ sizes
        value = np.stack([f(counts) for f in prepared], axis=1)
        # a draw may leave a fold empty, or without one of its classes
        weight = np.where(np.isfinite(value), weight, 0.0)
        total = weight.sum(1)
        mean = (np.nan_to_num(value) * weight).sum(1) / np.maximum(total, 1e-12)
        return np.asarray(np.where(total > 0, mean, np.nan))

    return of_folds


def pooled(runs: Sequence[Scored]) -> Scored:
    """Folds of one seed put together."""
    scores = [r.said.score for r in runs]
    known = [s for s in scores if s is not None]
    score = np.concatenate(known) if len(known) == len(runs) else None
    return Scored(
        np.concatenate([r.y for r in runs]),
        Predicted(np.concatenate([r.said.label for r in runs]), score),
        np.concatenate([r.unit for r in runs]),
        -1,
        runs[0].seed,
    )


def point(metric: Metric, task: Task, runs: Sequence[Scored]) -> tuple[float, list[float]]:
    """Score over all folds, and the score of each seed."""
    by_seed = []
    for seed in sorted({r.seed for r in runs}):
        mine = [r for r in runs if r.seed == seed]
        if metric.pooled and len(mine) > 1:
            mine = [pooled(mine)]
        values = [metric.value(r.y, r.said, task) for r in mine]
        by_seed.append(float(np.average(values, weights=[len(r.y) for r in mine])))
    return float(np.mean(by_seed)), by_seed


def draws(present: IntArray, n_units: int, seed: int = 0, n: int = _DRAWS) -> Iterator[FloatArray]:
    """How often each unit is drawn, (n, n_units) in pieces; only units present can be."""
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // n_units)
    chance = np.full(len(present), 1 / len(present))
    for a in range(0, n, step):
        counts = np.zeros((min(step, n - a), n_units))
        counts[:, present] = rng.multinomial(len(present), chance, len(counts))
        yield counts


def interval(
    terms: Sequence[tuple[float, Statistic]],
    estimate: float,
    present: IntArray,
    n_units: int,
    *,
    seed: int = 0,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Bias-corrected bootstrap interval over units and seeds.

    Units are resampled whole and paired: every term sees the same draw.
    Seeds (random weights, shuffles, inner folds) are resampled in each term on
    its own. Where every unit is scored perfectly no resample can vary; the far
    end then is the exact binomial bound for that many units.

    Parameters
    ----------
    terms : sequence of (sign, Statistic)
        The score, or the terms of a difference.
    estimate : float
        Score of the data as they are.
    present : ndarray of int
        Units that were tested.
    n_units : int
        Number of unit codes.
    seed : int
        Draws the resamples.
    bounds : (float, float)
        Least and greatest value of the metric.

    Returns
    -------
    Interval
        NaN ends if fewer than two units were tested.
    """
    n, nan = len(present), float("nan")
    if n < 2:
        return Interval(estimate, nan, nan, _LEVEL, n, "none")
    rngs = [np.random.default_rng([seed, 1 + i]) for i in range(len(terms))]
    boot = np.concatenate(
        [
            np.sum(
                [w * f.redrawn(c, rng) for (w, f), rng in zip(terms, rngs, strict=True)], axis=0
            ).astype(np.float64)
            for c in draws(present, n_units, seed)
        ]
    )
    boot = boot[np.isfinite(boot)]
    if len(boot) < _DRAWS // 2:
        return Interval(estimate, nan, nan, _LEVEL, n, "none")
    if np.ptp(boot) == 0:
        low, high = _perfect(estimate, n, bounds)
        return Interval(estimate, low, high, _LEVEL, n, "exact")
    levels, method = ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2), "percentile"
    if n <= _MOST_FOR_BCA:
        every = np.zeros(n_units)
        every[present] = 1.0
        counts = np.concatenate([every[None], every - np.eye(n_units)[present]])
        values = np.sum([w * f(counts) for w, f in terms], axis=0).astype(np.float64)
        if np.isfinite(values).all():
            levels, method = bca_levels(boot, float(values[0]), values[1:], _LEVEL), "bca"
    low, high = np.quantile(boot, levels)
    return Interval(estimate, float(low), float(high), _LEVEL, n, method)


def _perfect(estimate: float, n: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """Ends for a score that no resample changes."""
    slack = 1 - (1 - _LEVEL) ** (1 / n)
    if not np.isfinite(bounds).all():
        return estimate, estimate
    low = estimate - slack if estimate == bounds[1] else estimate
    high = estimate + slack if estimate == bounds[0] else estimate
    return low, high
