"""Evaluate predictions of BOLD from EEG: per scan, against nulls, baselines and the ceiling."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neuro.data import PairedWindows
from neuro.errors import ConfigError, DataError, LeakageError, did_you_mean
from neuro.evaluate.checks import made_up
from neuro.evaluate.crossmodal.baselines import (
    BASELINES,
    BandPowers,
    Baseline,
    baselines_for,
    ridge,
)
from neuro.evaluate.crossmodal.learners import Learner, checked, learner_of
from neuro.evaluate.crossmodal.results import CrossmodalResults, Prediction, RegionScore
from neuro.evaluate.crossmodal.scores import (
    global_removed,
    interval_over,
    mean_n_eff,
    nulls,
    scan_r,
)
from neuro.evaluate.crossmodal.targets import Protocol, check_varying, prepared_targets
from neuro.evaluate.overlap import refuse_overlap
from neuro.evaluate.splitting import Plan, make_plan
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["MEMORY_S", "evaluate_pairs"]

# s that a BOLD response and the autocorrelation of BOLD last, beyond the window itself: what the
# published intra-scan split leaves out
MEMORY_S = 20.0
# least difference of a varying prediction from its mean, relative to its size
_STILL = 1e-9


def evaluate_pairs(
    pairs: PairedWindows,
    *,
    split: Any,
    models: Mapping[str, Any] | None = None,
    baselines: str | Sequence[str | Baseline] = "auto",
    protocols: Sequence[Protocol] = ("strict", "paper"),
    lowpass_hz: float | None = 0.15,
    memory_s: float = MEMORY_S,
    noise_free: Sequence[FloatArray] | None = None,
    n_null: int = 1000,
    seed: int = 0,
    allow_leakage: bool = False,
) -> CrossmodalResults:
    """Score models that predict the slow stream from windows of the fast one.

    Correlations are computed within each tested scan and averaged over scans,
    never across scans joined end to end. Each is held against targets rotated
    in time, against other people's scans, against plain baselines, and with
    the global signal taken off.

    Parameters
    ----------
    pairs : PairedWindows
        What :func:`neuro.data.pair` made.
    split : Split, (train, test), or sequence of (train, test)
        As in :func:`neuro.evaluate.evaluate`. Parts of one scan must lie
        `memory_s` seconds apart, beside the windows' own length.
    models : mapping of str to object, optional
        Trained network; or function from training windows to a network or to a
        function from windows to regions, see
        :class:`neuro.evaluate.crossmodal.TrainedNetwork`.
    baselines : "auto" or sequence of str or Baseline
        ``"auto"`` takes those that the recordings allow.
    protocols : sequence of {"strict", "paper"}
        How targets are prepared, see :mod:`neuro.evaluate.crossmodal.targets`;
        models are trained anew for each.
    lowpass_hz : float or None
        Edge of the targets' low-pass.
    memory_s : float
        Least distance of training and test parts of one scan, beyond shared
        samples; our default is what the published intra-scan split leaves out.
    noise_free : sequence of ndarray, shape (roi, volume), optional
        One a recording: the course without noise, where it is known. Prepared
        like the target, its correlation with the target is the ceiling.
    n_null : int
        Draws of the nulls.
    seed : int
        Of nulls and intervals.
    allow_leakage : bool
        Accept parts that are not independent; the table then says so.

    Returns
    -------
    CrossmodalResults

    Raises
    ------
    LeakageError
        If parts overlap or lie too close, or a network was trained on what it
        is tested on.
    DataError
        If a region is constant, or stretches are too short.
    ConfigError
        If an option is unknown.

    Examples
    --------
    >>> from neuro.data import pair
    >>> from neuro.datasets import synthetic
    >>> from neuro.evaluate import Split
    >>> made = synthetic.eeg_fmri(0, n_scans=3, n_volumes=60, sfreq=100)
    >>> pairs = pair(made.recordings, window_s=16)
    >>> found = evaluate_pairs(pairs, split=Split("subject", n=3), baselines=["constant"],
    ...                        protocols=["strict"], n_null=99)
    >>> row = found.row("constant", "beta")
    >>> row.r, row.n_scans, row.n_constant
    (0.0, 3, 3)
    """
    if not isinstance(pairs, PairedWindows):
        raise ConfigError("evaluate_pairs takes what neuro.data.pair returns: PairedWindows.")
    if not protocols or n_null < 1:
        raise ConfigError(f"protocols={protocols!r}, n_null={n_null}: at least one of each.")
    pairs, cautions, kept = _usable(pairs)
    plan = make_plan(pairs, split, allow_leakage=allow_leakage)
    index = plan.windows
    if not isinstance(index, PairedWindows):  # parts given as Windows keep their kind
        raise ConfigError("The split's parts are not paired windows.")
    near = _check_memory(plan, index, memory_s, allow_leakage)
    cautions += refuse_overlap(models or {}, plan, split, allow_leakage=allow_leakage)
    if noise_free is not None and len(noise_free) != len(index.recordings):
        raise DataError(f"{len(noise_free)} noise-free scans for {len(index.recordings)}.")
    truth = None if noise_free is None else [np.asarray(x)[kept] for x in noise_free]
    lines = _lines(index, baselines, models or {})
    rows: list[RegionScore] = []
    predictions: dict[tuple[str, str], Prediction] = {}
    for protocol in protocols:
        job = _Job(plan, index, protocol, lowpass_hz, truth, n_null, seed)
        for line in lines:
            found, said = job(line)
            rows += found
            predictions[protocol, line.name] = said
    meta = _meta(plan, index, lines, cautions, plan.leaky or near)
    meta |= {"lowpass_hz": lowpass_hz, "memory_s": memory_s, "n_null": n_null, "seed": seed}
    return CrossmodalResults(tuple(rows), meta, predictions)


# ---- what is compared ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Line:
    """A baseline or a model, as a function of training and test rows."""

    name: str
    kind: str
    about: str
    run: Callable[[PairedWindows, FloatArray, IntArray, IntArray], FloatArray]


def _lines(
    index: PairedWindows, baselines: str | Sequence[str | Baseline], models: Mapping[str, Any]
) -> list[_Line]:
    chosen = baselines_for(index) if baselines == "auto" else [_named(b) for b in baselines]
    powers = BandPowers(index)
    kept: dict[str, FloatArray] = {}  # folds and protocols share their features
    out = [_baseline(b, powers, kept) for b in chosen]
    for name, model in models.items():
        if name in {line.name for line in out} or not name:
            raise ConfigError(f"Model name {name!r} is empty or taken by a baseline.")
        out.append(_model(name, learner_of(name, model)))
    if not out:
        raise ConfigError("There is neither a baseline nor a model to score.")
    return out


def _named(item: str | Baseline) -> Baseline:
    if isinstance(item, Baseline):
        return item
    if item not in BASELINES:
        raise ConfigError(f"No baseline {item!r}. {did_you_mean(str(item), BASELINES)}")
    return BASELINES[item]


def _baseline(baseline: Baseline, powers: BandPowers, kept: dict[str, FloatArray]) -> _Line:
    def run(
        index: PairedWindows, target: FloatArray, train: IntArray, test: IntArray
    ) -> FloatArray:
        if baseline.features is None:
            return np.repeat(target[train].mean(axis=0)[None], len(test), axis=0)
        if baseline.name not in kept:
            kept[baseline.name] = baseline.features(powers)
        return ridge(kept[baseline.name], target, train, test, _units(index))

    return _Line(baseline.name, "baseline", baseline.about, run)


def _model(name: str, learner: Learner) -> _Line:
    def run(
        index: PairedWindows, target: FloatArray, train: IntArray, test: IntArray
    ) -> FloatArray:
        predict = learner(replace(index, target=target).select(train))
        # what is to be predicted is not in the windows that are predicted from
        part = replace(index, target=np.full_like(target, np.nan)).select(test)
        return checked(predict(part), part, name)

    return _Line(name, "model", "", run)


# ---- guards ----------------------------------------------------------------------------


def _usable(pairs: PairedWindows) -> tuple[PairedWindows, list[str], AnyArray]:
    """Windows without the regions that no scan can be scored on."""
    keep = check_varying(pairs)
    if not keep.any():
        raise DataError("Every region is marked bad or empty.")
    names = [n for n, k in zip(pairs.target_axis.names, keep, strict=True) if not k]
    if not names:
        return pairs, [], keep
    rows = np.flatnonzero(keep)
    recordings = tuple(
        rec.with_stream(pairs.target_stream, rec.regular(pairs.target_stream).take(rows))
        for rec in pairs.target_recordings
    )
    left = replace(
        pairs,
        target=np.asarray(pairs.target)[:, rows],
        target_axis=pairs.target_axis.take(rows),
        target_recordings=recordings,
    )
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return left, [f"left out, because marked bad or empty in some scan: {shown}"], keep


def _check_memory(plan: Plan, index: PairedWindows, memory_s: float, allow: bool) -> bool:
    """Whether parts of one scan lie closer than BOLD remembers; refused unless allowed."""
    for fold in plan.folds:
        for r in np.intersect1d(index.recording[fold.train], index.recording[fold.test]).tolist():
            train = np.sort(index.target_time_s[fold.train[index.recording[fold.train] == r]])
            test = index.target_time_s[fold.test[index.recording[fold.test] == r]]
            at = np.searchsorted(train, test)
            before = test - train[np.maximum(at - 1, 0)]
            after = train[np.minimum(at, len(train) - 1)] - test
            distance = np.where(at > 0, before, np.inf)
            distance = np.minimum(distance, np.where(at < len(train), after, np.inf))
            needed = index.length_s + memory_s
            if distance.min() < needed - 1e-6:
                if allow:
                    return True
                raise LeakageError(
                    f"{index.recordings[r].id!r}: training and test volumes lie "
                    f"{distance.min():.1f} s apart, but share a window of {index.length_s:g} s and "
                    f"the memory of BOLD ({memory_s:g} s). Pass Split(..., gap_s={memory_s:g}), or "
                    "split by subject or run."
                )
    return False


# ---- one protocol ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Job:
    """Runs lines of the table under one protocol."""

    plan: Plan
    index: PairedWindows
    protocol: Protocol
    lowpass_hz: float | None
    truth: Sequence[FloatArray] | None
    n_null: int
    seed: int

    def __call__(self, line: _Line) -> tuple[list[RegionScore], Prediction]:
        parts = [(f.test, *self._fold(line, f.train, f.test)) for f in self.plan.folds]
        rows = np.concatenate([p[0] for p in parts])
        said = np.concatenate([p[1] for p in parts])
        true = np.concatenate([p[2] for p in parts])
        best = None if self.truth is None else np.concatenate([p[3] for p in parts])
        pieces = self._pieces(rows)
        cut = _Cut(
            [said[p] for p in pieces],
            [true[p] for p in pieces],
            None if best is None else [best[p] for p in pieces],
            [int(self.index.recording[rows[p[0]]]) for p in pieces],
        )
        names = tuple(self.index.recordings[r].id for r in cut.recording)
        scored = self._scored(line, cut)
        scan = np.searchsorted(cut.recording, self.index.recording[rows])
        return scored, Prediction(rows, said, true, scan_r(cut.said, cut.true), scan, names)

    def _fold(
        self, line: _Line, train: IntArray, test: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Predictions, prepared targets and prepared noise-free courses of the test rows."""
        options: dict[str, Any] = {"lowpass_hz": self.lowpass_hz}
        target = prepared_targets(self.index, train, test, self.protocol, **options)
        said = line.run(self.index, target, train, test)
        if self.truth is None:
            return said, target[test], target[test]
        # a course without any change has no scale: the measured one stands in, then is put to 0
        series, flat = [], _flat(self.truth)
        for r, (x, still) in enumerate(zip(self.truth, flat, strict=True)):
            series.append(np.where(still[:, None], self.index.target_series(r).values(), x))
        best = prepared_targets(self.index, train, test, self.protocol, series=series, **options)
        best[np.stack(flat)[self.index.recording]] = 0.0
        return said, target[test], best[test]

    def _pieces(self, rows: IntArray) -> list[IntArray]:
        """Places in `rows` of each tested scan, in time order."""
        recording = self.index.recording[rows]
        out: list[IntArray] = []
        for r in np.unique(recording).tolist():
            at = np.flatnonzero(recording == r)
            out.append(at[np.argsort(self.index.target_sample[rows[at]], kind="stable")])
        return out

    def _scored(self, line: _Line, cut: "_Cut") -> list[RegionScore]:
        index = self.index
        r = scan_r(cut.said, cut.true)
        people = [index.recordings[k].subject or index.recordings[k].id for k in cut.recording]
        units = _interval_units(people, cut.recording)[1]
        lo, hi = interval_over(r, units, seed=self.seed)
        null = nulls(cut.said, cut.true, people, n=self.n_null, seed=self.seed)
        bare = global_removed(cut.said, cut.true)
        ceiling = np.full(r.shape[1], np.nan)
        if cut.best is not None:
            ceiling = scan_r(cut.best, cut.true).mean(axis=0)
        flat = np.sum([p.std(axis=0) <= _STILL * np.abs(p).max(axis=0) for p in cut.said], axis=0)
        errors = np.mean(
            [((p - y) ** 2).mean(axis=0) for p, y in zip(cut.said, cut.true, strict=True)], axis=0
        )
        band, n_eff = null.band(), mean_n_eff(cut.said, cut.true)
        nothing = np.full(r.shape[1], np.nan)
        columns = {
            "r": r.mean(axis=0),
            "lo": lo,
            "hi": hi,
            "null_lo": band[0],
            "null_hi": band[1],
            "p_shifted": null.p_shifted,
            "p_other": null.p_other,
            "r_same_subject": null.same,
            "r_global_removed": nothing if bare is None else bare.mean(axis=0),
            "ceiling": ceiling,
            "n_eff": n_eff,
            "mse": errors,
        }
        return [
            RegionScore(
                self.protocol,
                line.name,
                line.kind,
                roi,
                n_scans=len(r),
                n_constant=int(flat[k]),
                **{name: float(values[k]) for name, values in columns.items()},
            )
            for k, roi in enumerate(index.target_axis.names)
        ]


@dataclass(frozen=True, eq=False)
class _Cut:
    """Predictions and targets, scan by scan."""

    said: list[FloatArray]
    true: list[FloatArray]
    best: list[FloatArray] | None
    recording: list[int]


def _flat(truth: Sequence[FloatArray]) -> list[AnyArray]:
    """Regions of each recording whose noise-free course does not move: nothing can predict them."""
    return [np.asarray(x).std(axis=1) == 0 for x in truth]


def _interval_units(people: Sequence[str], recordings: Sequence[int]) -> tuple[str, AnyArray]:
    if len(set(people)) >= 2:
        return "subject", np.asarray(people)
    return "scan", np.asarray(recordings)


def _units(index: PairedWindows) -> AnyArray:
    """Subject of each window, or its scan where there is one person or none is known."""
    subject = index.column("subject").astype(str)
    if (subject != "").all() and len(np.unique(subject)) >= 2:
        return subject
    return index.recording


def _meta(
    plan: Plan, index: PairedWindows, lines: Sequence[_Line], cautions: Sequence[str], leaky: bool
) -> dict[str, Any]:
    names = np.unique(index.column("dataset")).tolist()
    tested = np.unique(np.concatenate([f.test for f in plan.folds]))
    scans = np.unique(index.recording[tested])
    people = [index.recordings[r].subject or index.recordings[r].id for r in scans.tolist()]
    return {
        "dataset": " + ".join(n or "unnamed data" for n in names),
        "split": plan.description,
        "proof": plan.proof,
        "leaky": leaky,
        "simulated": made_up(index),
        "interval_unit": _interval_units(people, scans.tolist())[0],
        "n_subjects": len(set(people)),
        "n_scans": len(scans),
        "windows": {
            "n": len(index),
            "length_s": index.length_s,
            "channels": len(index.ch_names),
            "sfreq": index.sfreq,
            "tr_s": 1 / float(index.target_series(0).rate),
        },
        "about": {line.name: line.about for line in lines if line.about},
        "cautions": list(cautions),
    }
