"""Was a network trained on what it is now tested on? Its provenance tells."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neuro.data import Windows
from neuro.errors import LeakageError
from neuro.evaluate.splitting import Plan, Split
from neuro.train.settings import hash_subject

__all__ = ["refuse_overlap", "training_overlap"]

# s; windows that only touch share nothing, but session times are rounded
_TOUCH = 1e-6
_RUN_LEVELS = ("session", "run", "recording")


def training_overlap(model: Any, windows: Windows, rows: Any) -> dict[str, list[str]]:
    """What a network's training shares with some windows.

    Parameters
    ----------
    model : object
        Its `provenance` is read; hashed subjects and runs with times, as the
        training loop writes them.
    windows : Windows
        All windows.
    rows : ndarray of int
        The tested ones.

    Returns
    -------
    dict of str to list of str
        ``"subject"``, ``"run"`` and ``"time"``: names of subjects, of
        recordings of runs that training used, and of recordings of which
        training covered some of the tested time.
    """
    seen = list(_recordings(getattr(model, "provenance", None)))
    subjects = {entry.get("subject") for entry in seen}
    spans: dict[str, list[tuple[float, float]]] = {}
    for entry in seen:
        span = (float(entry.get("start_s", -np.inf)), float(entry.get("stop_s", np.inf)))
        spans.setdefault(str(entry.get("run")), []).append(span)
    out: dict[str, list[str]] = {"subject": [], "run": [], "time": []}
    part = windows.select(rows)
    start, stop = part.start_s(), part.stop_s()
    for r in np.unique(part.recording).tolist():
        rec = part.recordings[r]
        if rec.subject and hash_subject(rec.dataset, rec.subject) in subjects:
            out["subject"].append(rec.subject)
        run = spans.get(hash_subject(rec.dataset, rec.subject, rec.session, rec.run), [])
        if run:
            out["run"].append(rec.id)
            mine = part.recording == r
            inside = [(start[mine] < b - _TOUCH) & (stop[mine] > a + _TOUCH) for a, b in run]
            if any(hit.any() for hit in inside):
                out["time"].append(rec.id)
    return {level: sorted(set(names)) for level, names in out.items()}


def _recordings(provenance: Any) -> Iterator[Mapping[str, Any]]:
    """Every list of training recordings inside a provenance, however nested."""
    if isinstance(provenance, Mapping):
        for key, value in provenance.items():
            if key == "valid":
                continue  # watched, not learned from
            if key == "recordings" and isinstance(value, list):
                yield from (v for v in value if isinstance(v, Mapping))
            else:
                yield from _recordings(value)
    elif isinstance(provenance, list | tuple):
        for value in provenance:
            yield from _recordings(value)


def refuse_overlap(
    models: Mapping[str, Any], plan: Plan, split: Any, *, allow_leakage: bool
) -> list[str]:
    """Stop where a network was trained on test windows, in the split's own unit.

    Parameters
    ----------
    models : mapping of str to object
        As given to `evaluate`.
    plan : Plan
        Its folds.
    split : object
        As given to `evaluate`; a Split says which unit counts.
    allow_leakage : bool
        Return what was found instead of raising.

    Returns
    -------
    list of str
        What was found or cannot be excluded, for the report.

    Raises
    ------
    LeakageError
        If training and some test part share the split's unit.
    """
    by = split.by if isinstance(split, Split) else "given"
    if by in ("group", "site") or (isinstance(split, Split) and split.of is not None):
        by = "subject"  # families and sites are made of people
    level = "run" if by in _RUN_LEVELS else "subject" if by in ("subject", "dataset") else "time"
    # provenance keeps the span that training covered in a recording, not its
    # holes: for blocks and given parts an overlap of spans proves nothing
    certain = level != "time" or by == "time"
    found: list[str] = []
    for name, model in models.items():
        found += _elsewhere(name, model)
        for k, fold in enumerate(plan.folds):
            shared = training_overlap(model, plan.windows, fold.test)[level]
            if not shared:
                continue
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            text = f"what fold {k} tests: {level} of {shared[0]!r}{more} ({plan.description})."
            if certain and not allow_leakage:
                raise LeakageError(
                    f"{name!r} was trained on {text} Pretrain inside each fold: pass a function "
                    "of the training windows, or split once and train on the training part."
                )
            verb = "was" if certain else "may have been (its provenance cannot exclude it)"
            found.append(f"{name!r} {verb} trained on {text}")
            break
    return found


def _elsewhere(name: str, model: Any) -> list[str]:
    """A caution for weights that others trained: nobody listed their subjects."""
    provenance = getattr(model, "provenance", None)
    source = provenance.get("reference") if isinstance(provenance, Mapping) else None
    if not isinstance(source, Mapping):
        return []
    corpora = ", ".join(map(str, source.get("corpora") or ())) or "data that are not named"
    return [
        f"{name!r} has published weights, trained on {corpora}: whether the tested people were "
        "among them cannot be checked here."
    ]
