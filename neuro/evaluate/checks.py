"""What is refused before anything is computed."""

from dataclasses import replace

import numpy as np

from neuro.data import PairedWindows, Windows
from neuro.errors import DataError, LeakageError
from neuro.evaluate.scores.scoring import Metric
from neuro.evaluate.splitting import Plan, level_names
from neuro.evaluate.task import Task
from neuro.typing import AnyArray, IntArray

__all__ = ["check_folds", "defined", "joined_scans", "made_up", "refuse_identity"]


def check_folds(plan: Plan, task: Task, y: AnyArray) -> None:
    """Every class in every training part and targets that vary, or a clear error.

    Parameters
    ----------
    plan : Plan
        Its folds.
    task : Task
        What is predicted.
    y : ndarray
        Targets of all windows.

    Raises
    ------
    DataError
        Naming the class and the fold.
    """
    for k, fold in enumerate(plan.folds):
        if task.kind == "classification":
            _check_classes(plan, task, y, fold.train, fold.test, k)
        elif task.kind == "multilabel":
            same = np.ptp(y[fold.train], axis=0) == 0
            if same.any():
                name = task.classes[int(np.flatnonzero(same)[0])]
                raise DataError(
                    f"Label {name!r} is the same in every training window of fold {k} "
                    f"({plan.description}). Use fewer folds, or leave the label out."
                )
        elif (np.ptp(y[fold.train], axis=0) == 0).all():
            raise DataError(f"The target is constant in the training part of fold {k}.")


def _check_classes(
    plan: Plan, task: Task, y: AnyArray, train: IntArray, test: IntArray, k: int
) -> None:
    seen = np.unique(y[train])
    missing = [c for c in np.unique(y[test]).tolist() if c not in seen]
    if missing or len(seen) < 2:
        name = task.classes[missing[0] if missing else int(seen[0])]
        what = "never occurs in" if missing else "is the only class in"
        raise DataError(
            f"Class {name!r} {what} the training part of fold {k} ({plan.description}). Use "
            "fewer folds, another level, or leave the class out with classes=[...]."
        )


def refuse_identity(plan: Plan, task: Task, y: AnyArray, *, allow_leakage: bool) -> Plan:
    """Stop where a decoder could answer by recognising who or what it saw in training.

    A diagnosis (age, drug session …) is the same in all windows of a person
    (session …): if windows of one of them stand on both sides, identity alone
    gives the answer. Predicting the identity itself is not meant.

    Parameters
    ----------
    plan : Plan
        Its folds.
    task : Task
        What is predicted.
    y : ndarray
        Targets of all windows.
    allow_leakage : bool
        Return a plan that is marked as leaky instead of raising.

    Returns
    -------
    Plan

    Raises
    ------
    LeakageError
        Naming the level inside which the target never varies.
    """
    flat = y.reshape(len(y), -1)
    for level in ("subject", "session", "run", "recording"):
        names = level_names(plan.windows, level)
        if names is None or not _constant_inside(flat, names) or _is_identity(plan, task, y):
            continue
        shared = [
            k for k, f in enumerate(plan.folds) if np.isin(names[f.test], names[f.train]).any()
        ]
        if not shared:
            continue
        text = (
            f"The target is the same in all windows of a {level}, and fold {shared[0]} tests on "
            f"{level}s it was trained on ({plan.description}): recognising the {level} answers it."
        )
        if not allow_leakage:
            raise LeakageError(
                f"{text} Use Split({level!r}), or allow_leakage=True to see by how much."
            )
        return replace(plan, leaky=True, proof={**plan.proof, "identity": text})
    return plan


def _constant_inside(y: AnyArray, names: AnyArray) -> bool:
    """Whether several units each have one target, and not all the same."""
    _, first, unit = np.unique(names, return_index=True, return_inverse=True)
    varies = bool((np.ptp(y, axis=0) > 0).any())
    # units of a single window say nothing about what varies inside them
    repeated = len(first) < len(names) and len(first) >= 2
    return repeated and varies and bool((y[first][unit] == y).all())


def _is_identity(plan: Plan, task: Task, y: AnyArray) -> bool:
    """Whether the classes are the units' own names: a fingerprint."""
    if task.kind != "classification":
        return False
    for name in ("subject", "session", "run"):
        own = plan.windows.column(name).astype(str)
        if (own == np.array(task.classes)[y]).all():
            return True
    return False


def made_up(windows: Windows) -> bool:
    """Whether some recording comes from a simulator."""
    return any(rec.dataset.startswith("synthetic_") for rec in windows.recordings)


def joined_scans(windows: Windows) -> list[str]:
    """A caution where BOLD of several scans is predicted: correlations here join them."""
    if not isinstance(windows, PairedWindows) or len(windows.recordings) < 2:
        return []
    if windows.target_series(0).modality != "bold":
        return []
    return [
        "r is computed over the scans of a test part joined end to end, so that differences "
        "between scans count: neuro.evaluate.crossmodal.evaluate_pairs scores each scan by itself"
    ]


def defined(metric: Metric, plan: Plan, task: Task, y: AnyArray) -> bool:
    """Whether a standard metric that folds cannot share exists in each of them."""
    name = metric.name
    tests = [y[fold.test] for fold in plan.folds]
    if name in ("auroc", "auprc"):
        return all(len(np.unique(part)) == task.n_classes for part in tests)
    if name in ("label_auroc", "label_auprc"):
        return all((np.ptp(part, axis=0) > 0).all() for part in tests)
    if name == "r":
        return all(len(part) >= 3 for part in tests)
    return all((np.ptp(part, axis=0) > 0).all() and len(part) >= 2 for part in tests)
