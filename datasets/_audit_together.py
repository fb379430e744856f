"""What recordings tell about each other."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.datasets._audit import Finding
from neuro.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["cohort", "copies", "identity", "names"]

_SIGNALS = ("eeg", "ieeg", "meg", "lfp", "bold", "calcium")
_LEAST_PEOPLE = 7
_LARGEST_SHIFT = 3
# Among runs that have nothing to do with each other, more matches than this
# along some shift occur in fewer than one of 1,000 (found by trial, 7 to 33 people).
_LEAST_MATCHES = 6


def names(recs: "Sequence[Recording]") -> list[Finding]:
    """Ids that stand twice, and people without a name."""
    found = []
    twice = [i for i, n in Counter((r.dataset, r.id) for r in recs).items() if n > 1]
    if twice:
        found.append(
            Finding(
                kind="identity",
                severity="warning",
                recordings=tuple(i for _, i in twice),
                message=f"{len(twice)} ids stand more than once, e.g. {twice[0][1]!r}.",
                remedy="Give each recording its own id: recording.replace(id=...).",
                evidence={"ids": [i for _, i in twice[:50]]},
            )
        )
    nameless = tuple(r.id for r in recs if not r.subject)
    if nameless:
        found.append(
            Finding(
                kind="identity",
                severity="warning" if len(recs) > 1 else "note",
                recordings=nameless,
                message=f"{len(nameless)} of {len(recs)} recordings do not know their subject.",
                remedy="No split by subject is possible without: recording.replace(subject=...).",
                evidence={"n": len(nameless)},
            )
        )
    return found


def copies(recs: "Sequence[Recording]") -> list[Finding]:
    """The same samples under two names."""
    where: dict[tuple[str, str], list[Recording]] = defaultdict(list)
    for rec in recs:
        for name, stream in rec.streams.items():
            mark = _mark(stream)
            if mark:
                where[name, mark].append(rec)
    found = []
    for (name, _), same in where.items():
        if len(same) < 2:
            continue
        people = {(r.dataset, r.subject) for r in same}
        found.append(
            Finding(
                kind="duplicate",
                severity="error",
                recordings=tuple(r.id for r in same),
                message=(
                    f"Stream {name!r} holds the same samples in {len(same)} recordings of "
                    f"{len(people)} subject{'s' if len(people) > 1 else ''}."
                ),
                remedy="Keep one of them: a copy on both sides of a split is a leak.",
                evidence={"stream": name, "subjects": sorted(s for _, s in people)},
            )
        )
    return found


def _mark(stream: Any) -> str:
    """A hash of what was measured; "" where nothing could tell two recordings apart."""
    from neuro.data import Irregular, Regular

    sha = hashlib.sha256()
    if isinstance(stream, Irregular) and len(stream.times_s) >= 20:
        # since the first event, so that a shifted clock hides nothing
        sha.update(np.round((stream.times_s - stream.times_s[0]) * 1e6).astype(np.int64).tobytes())
        sha.update(stream.unit_index.tobytes())
        return sha.hexdigest()
    if not isinstance(stream, Regular) or stream.modality not in _SIGNALS:
        return ""
    sha.update(str(stream.shape).encode())
    varied = False
    for start in np.linspace(0, max(0, stream.n_times - 500), 8).astype(int).tolist():
        x = stream.read(start, min(start + 500, stream.n_times))
        varied |= bool((np.nanmax(np.abs(np.diff(x, axis=1)), initial=0.0)) > 0)
        sha.update(np.ascontiguousarray(x).tobytes())
    return sha.hexdigest() if varied else ""


def cohort(recs: "Sequence[Recording]") -> list[Finding]:
    """Rates, units and amplitudes that only a few recordings have."""
    from neuro.data import Regular
    from neuro.data.plausible import typical_sd

    found = []
    by_stream: dict[tuple[str, str, str], list[tuple[Recording, Regular]]] = defaultdict(list)
    for rec in recs:
        for name, stream in rec.streams.items():
            if isinstance(stream, Regular) and stream.modality in _SIGNALS:
                by_stream[rec.dataset, name, stream.modality].append((rec, stream))
    for (_, name, _), group in by_stream.items():
        if len(group) < 5:
            continue
        for what, values in (
            ("unit", [s.unit for _, s in group]),
            ("rate", [f"{s.sfreq:g} Hz" for _, s in group]),
        ):
            common, n = Counter(values).most_common(1)[0]
            odd = [(r.id, v) for (r, _), v in zip(group, values, strict=True) if v != common]
            if odd and n >= 0.7 * len(group):
                found.append(_few(what, name, odd, common, n))
        sd = np.array([typical_sd(s) or np.nan for _, s in group])
        ratio = sd / np.nanmedian(sd) if np.isfinite(sd).any() else np.ones(len(sd))
        far = (ratio > 300) | (ratio < 1 / 300)
        if far.any():
            ids = tuple(group[i][0].id for i in np.flatnonzero(far))
            found.append(
                Finding(
                    kind="unit",
                    severity="error",
                    recordings=ids,
                    message=(
                        f"Stream {name!r}: the amplitude of {len(ids)} recordings is "
                        f"{ratio[far][0]:.2g} times that of the others."
                    ),
                    remedy="Their unit differs from what they say: read them with unit='...'.",
                    evidence={"ratio": float(ratio[far][0])},
                )
            )
    return found


def _few(what: str, name: str, odd: list[tuple[str, str]], common: str, n: int) -> Finding:
    return Finding(
        kind=what,
        severity="warning",
        recordings=tuple(i for i, _ in odd),
        message=f"Stream {name!r}: {len(odd)} recordings have {odd[0][1]}, {n} others {common}.",
        remedy=f"Check the {what} of these files.",
        evidence={"common": common, "other": odd[0][1]},
    )


def identity(recs: "Sequence[Recording]") -> list[Finding]:
    """People who are mixed up between runs, told by their functional connectivity.

    In every pair of runs the recordings of one person should resemble each
    other most. Where they do not, but those of neighbours in the order of
    names do, one of the runs is shifted; where two people resemble each other
    crosswise, they are swapped.
    """
    found = []
    for dataset, prints in _fingerprints(recs).items():
        misfits: dict[tuple[str, str], dict[str, Any]] = {}
        agree: Counter[str] = Counter()
        for a, b in combinations(sorted(prints), 2):
            people = sorted(prints[a].keys() & prints[b].keys())
            if len(people) < _LEAST_PEOPLE:
                continue
            r = _resemblance([prints[a][p][1] for p in people], [prints[b][p][1] for p in people])
            named = _matched(r, 0)
            shifts = {k: _matched(r, k) for k in range(-_LARGEST_SHIFT, _LARGEST_SHIFT + 1) if k}
            shift = max(shifts, key=lambda k: shifts[k])
            if (
                shifts[shift] > max(0.3, _LEAST_MATCHES / len(people))
                and shifts[shift] > named + 0.25
            ):
                misfits[a, b] = {
                    "matched_as_named": named,
                    "matched_shifted": shifts[shift],
                    "shift": shift,
                    "chance": 1 / len(people),
                    "n": len(people),
                }
            else:
                agree[a] += named > 0.3
                agree[b] += named > 0.3
                found += _swapped(r, people, (a, b), dataset, prints)
        found += _shifted(misfits, agree, dataset, prints)
    return found


_Prints = dict[str, dict[str, tuple[str, FloatArray]]]


def _fingerprints(recs: "Sequence[Recording]") -> dict[str, _Prints]:
    """Data set -> run -> subject -> (id, connectivity)."""
    from neuro.data import Regular

    series: dict[str, list[tuple[Recording, Regular]]] = defaultdict(list)
    for rec in recs:
        bold = [s for s in rec.streams.values() if isinstance(s, Regular) and s.modality == "bold"]
        bold = [s for s in bold if 8 <= len(s.axis) <= 2000 and s.n_times >= 50]
        if len(bold) == 1 and rec.subject:
            series[rec.dataset].append((rec, bold[0]))
    out: dict[str, _Prints] = {}
    for dataset, group in series.items():
        shapes = Counter(s.axis.names for _, s in group)
        common = shapes.most_common(1)[0][0]
        group = [(r, s) for r, s in group if s.axis.names == common]
        bad = np.mean([s.axis.bad for _, s in group], axis=0)
        good = np.flatnonzero(bad < 0.5)
        prints: _Prints = defaultdict(dict)
        for rec, stream in group:
            key = "/".join(p for p in (rec.session, rec.task, rec.run) if p)
            prints[key][rec.subject] = (rec.id, _connectivity(stream, good))
        out[dataset] = prints
    return out


def _connectivity(stream: Any, good: IntArray) -> FloatArray:
    inside = np.concatenate([np.arange(a, b) for a, b in stream.segments.tolist()])
    x = stream.values()[good][:, inside].astype(np.float64)
    x = x[:, np.isfinite(x).mean(axis=0) > 0.5]
    x = np.where(np.isfinite(x), x, np.nanmean(x, axis=1, keepdims=True)) if x.size else x
    x = x - x.mean(axis=1, keepdims=True)
    sd = x.std(axis=1, keepdims=True)
    x = x / np.where(sd > 0, sd, 1.0)
    r = (x @ x.T) / x.shape[1]
    return np.asarray(np.arctanh(np.clip(r[np.triu_indices(len(r), 1)], -0.999, 0.999)))


def _resemblance(a: list[FloatArray], b: list[FloatArray]) -> FloatArray:
    """Correlation of every person of one run with every person of the other."""
    one, two = np.stack(a), np.stack(b)
    # what all have in common tells nobody apart
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    one /= np.linalg.norm(one, axis=1, keepdims=True) + 1e-12
    two /= np.linalg.norm(two, axis=1, keepdims=True) + 1e-12
    return np.asarray(one @ two.T)


def _matched(r: FloatArray, shift: int) -> float:
    """Share of people whose best match is the one `shift` names further on."""
    n = len(r)
    here = np.arange(max(0, -shift), min(n, n - shift))
    forth = r.argmax(axis=1)[here] == here + shift
    back = r.argmax(axis=0)[here + shift] == here
    return float((forth.mean() + back.mean()) / 2)


def _shifted(
    misfits: dict[tuple[str, str], dict[str, Any]],
    agree: Counter[str],
    dataset: str,
    prints: _Prints,
) -> list[Finding]:
    found = []
    blamed: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for (a, b), facts in misfits.items():
        # the run that agrees with no other is the one to doubt
        culprit, other = (a, b) if agree[a] <= agree[b] else (b, a)
        # "person p is p + shift of the other run"
        shift = facts["shift"] if culprit == a else -facts["shift"]
        blamed[culprit].append((other, facts | {"shift": shift}))
    for run, cases in blamed.items():
        others = ", ".join(repr(other) for other, _ in cases)
        facts = {"run": run, **cases[0][1]}
        named = np.mean([f["matched_as_named"] for _, f in cases])
        best = np.mean([f["matched_shifted"] for _, f in cases])
        step = facts["shift"]
        which = (
            "the next" if step == 1 else "the one before" if step == -1 else f"{step:+d} places on"
        )
        found.append(
            Finding(
                kind="identity",
                severity="error",
                recordings=tuple(i for i, _ in prints[run].values()),
                message=(
                    f"People of run {run!r} of {dataset!r} match themselves in {others} in "
                    f"{named:.0%} of cases, but {which} in the order of names in {best:.0%} "
                    f"(chance {facts['chance']:.0%}): files of this run are shifted."
                ),
                remedy="Find the true names (who was missing or excluded?) and rename the files "
                "of this run; group splits by the present names leak people.",
                evidence=facts,
            )
        )
    return found


def _swapped(
    r: FloatArray, people: list[str], runs: tuple[str, str], dataset: str, prints: _Prints
) -> list[Finding]:
    """Two people who resemble each other crosswise, far beyond chance, in a run that else fits."""
    if _matched(r, 0) < 0.7:
        return []
    n = len(people)
    off = r[~np.eye(n, dtype=bool)]
    z = (r - off.mean()) / (off.std() + 1e-12)
    same = np.diag(z)[np.argsort(np.diag(z))[n // 4 :]]
    bar = max(3.0, 0.5 * float(np.median(same)))
    found = []
    for i, j in combinations(range(n), 2):
        if min(z[i, j], z[j, i]) > bar > 2 * max(z[i, i], z[j, j]):
            a, b = people[i], people[j]
            found.append(
                Finding(
                    kind="identity",
                    severity="error",
                    recordings=tuple(prints[k][p][0] for k in runs for p in (a, b)),
                    message=(
                        f"In runs {runs[0]!r} and {runs[1]!r} of {dataset!r}, {a!r} and {b!r} "
                        "resemble each other and not themselves: they are swapped in one of them."
                    ),
                    remedy="Find out in which, and exchange the two names there.",
                    evidence={
                        "crosswise": [float(r[i, j]), float(r[j, i])],
                        "as_named": [float(r[i, i]), float(r[j, j])],
                    },
                )
            )
    return found
