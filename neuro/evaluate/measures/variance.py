"""What an embedding is made of: the variance that known features account for.

A network can compute an easy and a hard feature equally well and spend ten
times the variance on the easy one (arXiv 2405.05847). Similarity of
representations follows variance; so a high share of subject or recording day
warns before two models, or a model and a brain, are compared. A small share is
no sign of absence: look at the decoding beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuro.errors import DataError, NeuroError
from neuro.evaluate.measures.spread import jackknife, unit_codes
from neuro.typing import AnyArray, BoolArray, FloatArray, Seed

__all__ = ["FeatureShare", "feature_variance"]

# rows that decoding is tried on, and penalties tried: it is a side figure
_MOST_DECODED = 1000
_PENALTIES = (1e-4, 1e-2, 1.0)


@dataclass(frozen=True)
class FeatureShare:
    """Variance of the activations that one feature accounts for.

    Parameters
    ----------
    name : str
        The feature.
    share : float
        R2 of the regression from the feature to the activations, units
        weighted by their variance.
    null : float
        The same for the shuffled feature: what so many values explain by
        chance.
    unique : float
        Share lost if this feature alone is taken away from all of them;
        features that go together share the rest.
    decoding : float
        Score of a ridge probe from activations to the feature on rows held
        out at random (readable, not: generalises); NaN if not defined.
    metric : str
        "balanced_accuracy" (chance: `chance`) or "r".
    chance : float
        Of the decoding.
    n : int
        Rows used.
    lo, hi : float
        95 % interval of `share` over independent units; NaN without units,
        with fewer than three, or where one of them is all the feature varies by.
    n_units : int
        How many there are.
    """

    name: str
    share: float
    null: float
    unique: float
    decoding: float
    metric: str
    chance: float
    n: int
    lo: float = float("nan")
    hi: float = float("nan")
    n_units: int = 0


def feature_variance(
    activations: AnyArray,
    features: Mapping[str, AnyArray],
    *,
    seed: Seed,
    n_null: int = 50,
    units: AnyArray | None = None,
) -> list[FeatureShare]:
    """Share of the activations' variance for each feature, with null and decoding.

    Parameters
    ----------
    activations : array, shape (n, n_units)
        E.g. embeddings.
    features : mapping of str to array, shape (n,)
        Text and bool are categories, numbers are values (pass class numbers as
        text). Rows where any is missing (NaN or "") are left out.
    seed : int or Generator
        Of shuffles and folds.
    n_null : int
        Number of shuffles.
    units : array, shape (n,), optional
        Independent unit of each row, e.g. its subject: what the intervals
        leave out one at a time.

    Returns
    -------
    list of FeatureShare
        Largest share first.

    Raises
    ------
    DataError
        If lengths differ, a feature is constant, or too few rows are complete.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> subject, hard = rng.integers(0, 2, (2, 300))
    >>> noise = 0.1 * rng.standard_normal((300, 2))
    >>> x = np.stack([3.0 * subject, hard], axis=1) + noise
    >>> shares = feature_variance(x, {"subject": subject.astype(str), "task": hard}, seed=0)
    >>> [(s.name, round(s.share, 1)) for s in shares]
    [('subject', 0.9), ('task', 0.1)]
    """
    from neuro.evaluate.probing.permutation import permutation_score

    rng = np.random.default_rng(seed)
    x = np.asarray(activations, dtype=np.float64)
    rows = _complete(x, features)
    centred = x[rows] - x[rows].mean(0)
    total = float((centred**2).sum())
    if total <= 0:
        raise DataError("The activations are constant: there is no variance to share out.")
    designs = {name: _design(name, np.asarray(v)[rows]) for name, v in features.items()}
    code = unit_codes(units, len(x))
    code = None if code is None else unit_codes(code[rows], int(rows.sum()))
    whole = _explained(centred, list(designs.values())) / total
    out = []
    for name, design in designs.items():
        rest = [d for other, d in designs.items() if other != name]
        without = _explained(centred, rest) / total if rest else 0.0
        basis = _basis([design])  # shuffled rows of a basis are a basis of shuffled rows
        null = [
            float(((basis[rng.permutation(len(basis))].T @ centred) ** 2).sum()) / total
            for _ in range(n_null)
        ]
        values = np.asarray(features[name])[rows]
        metric: Literal["r", "balanced_accuracy"]
        metric = "r" if values.dtype.kind in "iuf" else "balanced_accuracy"
        chance = 0.0 if metric == "r" else 1 / len(np.unique(values))
        try:
            part = rng.permutation(int(rows.sum()))[:_MOST_DECODED]
            decoded = permutation_score(
                x[rows][part], values[part], seed=rng, folds=5, n=1, metric=metric,
                penalty=_PENALTIES,
            ).score  # fmt: skip
        except NeuroError:  # too few rows of a class for folds
            decoded = float("nan")
        share = _explained(centred, [design]) / total
        unique = max(0.0, whole - without)
        lo, hi, n_units = jackknife(share, _without(x[rows], name, values), code)
        out.append(
            FeatureShare(
                name, share, float(np.mean(null)), unique, decoded, metric, chance,
                int(rows.sum()), float(np.clip(lo, 0, 1)), float(np.clip(hi, 0, 1)), n_units,
            )
        )  # fmt: skip
    return sorted(out, key=lambda s: -s.share)


def _without(x: FloatArray, name: str, value: AnyArray) -> Callable[[BoolArray], float]:
    """Share of a feature among some of the rows; NaN where it does not vary there."""

    def share(keep: BoolArray) -> float:
        centred = x[keep] - x[keep].mean(0)
        total = float((centred**2).sum())
        if total <= 0 or len(np.unique(value[keep])) < 2:
            return float("nan")
        return _explained(centred, [_design(name, value[keep])]) / total

    return share


def _complete(x: FloatArray, features: Mapping[str, AnyArray]) -> BoolArray:
    if x.ndim != 2 or not features or any(np.shape(v) != (len(x),) for v in features.values()):
        raise DataError(
            f"Activations (n, n_units) and features (n,) are needed, got {x.shape} and "
            f"{ {k: np.shape(v) for k, v in features.items()} }."
        )
    if not np.isfinite(x).all():
        raise DataError("The activations are not finite.")
    rows = np.ones(len(x), dtype=bool)
    for value in features.values():
        array = np.asarray(value)
        rows &= (
            array.astype(str) != ""
            if array.dtype.kind in "OUS"
            else ~np.isnan(array.astype(np.float64))
        )
    if rows.sum() < 10:
        raise DataError(f"Only {int(rows.sum())} rows have all features; at least 10 are needed.")
    return rows


def _design(name: str, value: AnyArray) -> FloatArray:
    """Centred columns of a feature."""
    if value.dtype.kind in "iuf":
        columns = value.astype(np.float64)[:, None]
    else:
        names, code = np.unique(value.astype(str), return_inverse=True)
        columns = (code[:, None] == np.arange(1, len(names))).astype(np.float64)
    columns = columns - columns.mean(0)
    spread = np.sqrt((columns**2).mean(0)) if columns.size else np.zeros(0)
    if not columns.size or not (spread > 1e-12).all():
        raise DataError(f"Feature {name!r} is constant over the rows that have all features.")
    return np.asarray(columns / spread)


def _explained(centred: FloatArray, designs: list[FloatArray]) -> float:
    """Sum of squares of the activations that the columns account for."""
    return float(((_basis(designs).T @ centred) ** 2).sum())


def _basis(designs: list[FloatArray]) -> FloatArray:
    """Orthonormal columns that span all the features' columns."""
    u, s, _ = np.linalg.svd(np.concatenate(designs, axis=1), full_matrices=False)
    return np.asarray(u[:, s > 1e-10 * s[0]])
