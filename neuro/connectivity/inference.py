"""Is it more than chance, and do groups differ: surrogates, edges, components.

Surrogates destroy what relates the rows and keep each row as it is: every row is
shifted in time, its phases randomised, or its trials shuffled, independently of
the others. (Common phases would keep the covariance: that null is for dynamics.)
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from neuro.connectivity._source import Source
from neuro.connectivity.front import evaluate, prepare
from neuro.connectivity.result import Connectivity, matrix_of, vector_of
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.stats import (
    benjamini_hochberg,
    circular_shift,
    max_statistic,
    permutation_p,
    phase_randomise,
)
from neuro.typing import BoolArray, FloatArray, IntArray, Seed

__all__ = [
    "Component",
    "GroupComparison",
    "Significance",
    "compare_groups",
    "network_based_statistic",
    "significance",
]

Null: TypeAlias = Literal["shift", "phase", "trials"]
Tail: TypeAlias = Literal["greater", "less", "two-sided"]
_INPUTS = ("stream", "tr", "bin_s", "ch_names", "segments", "bad")


class Significance(NamedTuple):
    """A measure beside its null.

    ``result`` of the data; ``p`` and ``significant`` of the same shape (p 1 on
    the diagonal, corrected as asked); ``null_mean`` and ``null_sd`` of the
    surrogates; ``null`` says which.
    """

    result: Connectivity
    p: FloatArray
    significant: BoolArray
    null_mean: FloatArray
    null_sd: FloatArray
    null: str


def _one_surrogate(source: Source, null: str, rng: np.random.Generator) -> Source:
    """Every row of every stretch changed on its own."""
    if null == "trials":
        stack = np.stack(source.blocks)
        for row in range(stack.shape[1]):
            stack[:, row] = stack[rng.permutation(len(stack)), row]
        return replace(source, blocks=list(stack), notes=[])
    ranges = source.segments.tolist() if source.kind == "continuous" else [[0, None]]
    blocks = []
    for block in source.blocks:
        out = block.copy()
        for start, stop in ranges:
            for row in range(len(out)):
                part = block[row, start:stop]
                if len(part) < 3:
                    continue
                changed = circular_shift if null == "shift" else phase_randomise
                out[row, start:stop] = changed(part, n=1, seed=rng)[0]
        blocks.append(out)
    return replace(source, blocks=blocks, notes=[])


def _surrogates(source: Source, null: str, n: int, seed: Seed) -> Iterator[Source]:
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield _one_surrogate(source, null, rng)


def significance(
    x: Any,
    sfreq: float | None = None,
    *,
    method: str,
    seed: Seed,
    average: Literal["trials", "time"] | None = None,
    bands: Any = None,
    null: Null | None = None,
    n: int = 199,
    tail: Tail | None = None,
    correct: Literal["max", "fdr", "none"] = "max",
    q: float = 0.05,
    **options: Any,
) -> Significance:
    """Any measure of the front door, tested against surrogates of the same data.

    Parameters
    ----------
    x, sfreq, method, average, bands
        As in :func:`neuro.connectivity.connectivity`.
    seed : int or Generator
        Of the surrogates.
    null : "phase", "shift" or "trials"
        Rows with random phases; rows shifted in time within each stretch; or
        trials shuffled row by row, which keeps what is locked to an event.
        "trials" by default where the average is over trials, "shift" for spikes,
        whose counts have no Gaussian twin, else "phase". Shifts of many rows
        bring some pairs back to nearly their true alignment: exact for one pair,
        but with "max" over many the null then holds the effect, and power is lost.
    n : int
        Number of surrogates; the smallest p is ``1 / (n + 1)``.
    tail : "greater", "less" or "two-sided"
        Two-sided by default for signed measures, else greater.
    correct : "max", "fdr" or "none"
        Over all pairs and leading dims: chance of any false positive, share of
        false ones, or nothing.
    q : float
        Level.
    **options
        Of the measure and of the input (stream, tr, ch_names, …).

    Returns
    -------
    Significance

    Raises
    ------
    ConfigError
        Unknown null, or trials shuffled where there are none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> common = rng.standard_normal(300)
    >>> x = np.stack([common, common + rng.standard_normal(300), rng.standard_normal(300)])
    >>> found = significance(x, method="correlation", seed=0, n=99)
    >>> found.significant.astype(int).tolist()
    [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    inputs: dict[str, Any] = {
        "stream": None, "tr": None, "bin_s": None, "ch_names": None, "segments": None,
        "bad": "refuse",
    }  # fmt: skip
    inputs |= {k: v for k, v in options.items() if k in _INPUTS}
    own = {k: v for k, v in options.items() if k not in _INPUTS}
    family, measure, source, axis, own = prepare(x, sfreq, method, average, bands, inputs, own)
    alone = "shift" if source.facts.get("modality") == "spikes" else "phase"
    chosen = null or ("trials" if axis == "trials" else alone)
    _check_null(chosen, source, correct, n)
    result = evaluate(family, measure, source, axis, own)
    draws = np.stack(
        [evaluate(family, measure, s, axis, own).values
         for s in _surrogates(source, chosen, n, seed)]
    )  # fmt: skip
    side: Tail = tail or ("two-sided" if measure.signed else "greater")
    p = _p_values(result, draws, side, correct, centre=measure.symmetry == "complement")
    level = q if correct != "fdr" else None
    significant = p <= q if level is not None else _fdr(result, p, q)
    return Significance(
        result, p, significant & np.isfinite(result.values), draws.mean(0), draws.std(0), chosen
    )


def _check_null(null: str, source: Source, correct: str, n: int) -> None:
    options = ("shift", "phase", "trials")
    if null not in options:
        raise ConfigError(f"null={null!r} is not known. {did_you_mean(null, options)}")
    if null == "trials" and (source.kind != "trial" or len(source.blocks) < 2):
        raise ConfigError("null='trials' needs several trials; use 'phase' or 'shift' here.")
    if correct not in ("max", "fdr", "none"):
        choices = ("max", "fdr", "none")
        raise ConfigError(f"correct={correct!r} is not known. {did_you_mean(correct, choices)}")
    if n < 19:
        raise ConfigError(f"n={n} surrogates cannot reach p = 0.05: at least 19 are needed.")


def _tested(result: Connectivity) -> BoolArray:
    """Entries that are tests of their own: one triangle unless directed, no NaN."""
    n = result.n_nodes
    mask = ~np.eye(n, dtype=bool) if result.directed else np.triu(np.ones((n, n), bool), 1)
    return np.asarray(mask & np.isfinite(result.values))


def _p_values(
    result: Connectivity, draws: FloatArray, tail: Tail, correct: str, *, centre: bool
) -> FloatArray:
    mask = _tested(result)
    observed, null = result.values[mask], draws[:, mask]
    if centre:  # 0.5 is "no relation" of a measure that is 1 minus its transpose
        observed, null = observed - 0.5, null - 0.5
    out = np.ones(result.values.shape)
    if correct == "max":
        out[mask] = max_statistic(observed, null, tail=tail)
    else:
        out[mask] = permutation_p(observed, null, tail=tail)
    return out if result.directed else _mirrored(out)


def _mirrored(p: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(p, np.swapaxes(p, -1, -2)))


def _fdr(result: Connectivity, p: FloatArray, q: float) -> BoolArray:
    mask = _tested(result)
    out = np.zeros(p.shape, dtype=bool)
    out[mask] = benjamini_hochberg(p[mask], q).rejected
    return out if result.directed else out | np.swapaxes(out, -1, -2)


# ---- groups --------------------------------------------------------------------


class GroupComparison(NamedTuple):
    """Edge by edge, shape (n_nodes, n_nodes): ``t``, corrected ``p``, Cohen's ``d``."""

    t: FloatArray
    p: FloatArray
    d: FloatArray
    significant: BoolArray


class Component(NamedTuple):
    """A connected set of supra-threshold edges: ``edges`` (k, 2), ``size``, ``p``."""

    edges: IntArray
    nodes: IntArray
    size: float
    p: float


def _edges_of(group: Any) -> tuple[FloatArray, int, bool]:
    """(n_recordings, n_edges), number of nodes, whether directed."""
    values = np.asarray(group.values if hasattr(group, "values") else group, dtype=np.float64)
    if values.ndim != 3 or values.shape[1] != values.shape[2] or len(values) < 2:
        raise DataError(
            f"A group is (n_recordings >= 2, n_nodes, n_nodes), got {values.shape}. Stack one "
            "matrix a subject; several runs of a subject are averaged first."
        )
    n = values.shape[1]
    directed = not np.allclose(values, np.swapaxes(values, 1, 2), equal_nan=True)
    vectors = values[:, ~np.eye(n, dtype=bool)] if directed else vector_of(values)
    if not np.isfinite(vectors).all():
        raise DataError("NaN in a group: leave out nodes that some recordings lack.")
    return vectors, n, directed


def _t_of(a: FloatArray, b: FloatArray, paired: bool) -> tuple[FloatArray, FloatArray]:
    """Edge-wise t and d; Welch's t for independent groups."""
    if paired:
        difference = a - b
        sd = difference.std(axis=0, ddof=1)
        d = np.divide(difference.mean(0), sd, out=np.zeros_like(sd), where=sd > 0)
        return d * np.sqrt(len(a)), d
    mean = a.mean(axis=0) - b.mean(axis=0)
    va, vb = a.var(axis=0, ddof=1), b.var(axis=0, ddof=1)
    error = np.sqrt(va / len(a) + vb / len(b))
    pooled = np.sqrt(((len(a) - 1) * va + (len(b) - 1) * vb) / (len(a) + len(b) - 2))
    t = np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)
    return t, np.divide(mean, pooled, out=np.zeros_like(mean), where=pooled > 0)


def _permuted(
    a: FloatArray, b: FloatArray, paired: bool, n: int, seed: Seed
) -> Iterator[FloatArray]:
    """Edge-wise t under exchanged labels, or flipped signs of pairs."""
    rng = np.random.default_rng(seed)
    both = np.concatenate([a, b])
    for _ in range(n):
        if paired:
            swap = rng.random(len(a)) < 0.5
            yield _t_of(np.where(swap[:, None], b, a), np.where(swap[:, None], a, b), True)[0]
        else:
            order = rng.permutation(len(both))
            yield _t_of(both[order[: len(a)]], both[order[len(a) :]], False)[0]


def _pair_of_groups(a: Any, b: Any, paired: bool) -> tuple[FloatArray, FloatArray, int, bool]:
    first, n, directed = _edges_of(a)
    second, m, other = _edges_of(b)
    if n != m or directed != other:
        raise DataError(f"Groups differ: {n} and {m} nodes, directed {directed} and {other}.")
    if paired and len(first) != len(second):
        raise DataError(f"Paired groups need equal sizes, got {len(first)} and {len(second)}.")
    return first, second, n, directed


def _square(vector: FloatArray, n: int, directed: bool, diagonal: float) -> FloatArray:
    if not directed:
        return matrix_of(vector, diagonal)
    out = np.full((n, n), diagonal)
    out[~np.eye(n, dtype=bool)] = vector
    return out


def compare_groups(
    a: Any,
    b: Any,
    *,
    seed: Seed,
    paired: bool = False,
    n: int = 1999,
    correct: Literal["max", "fdr", "none"] = "max",
    q: float = 0.05,
) -> GroupComparison:
    """Edge-wise difference of two groups by permutation.

    Parameters
    ----------
    a, b : array, shape (n_recordings, n_nodes, n_nodes), or Connectivity
        One matrix a subject (Fisher z for correlations).
    seed : int or Generator
        Of the permutations.
    paired : bool
        Rows of a and b are the same subjects.
    n : int
        Number of permutations.
    correct : "max", "fdr" or "none"
        Over edges.
    q : float
        Level.

    Returns
    -------
    GroupComparison
        Positive t: more in `a`.

    Raises
    ------
    DataError
        Shapes do not fit, or NaN.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = (rng.standard_normal((12, 4, 4)) for _ in range(2))
    >>> a, b = a + a.swapaxes(1, 2), b + b.swapaxes(1, 2)
    >>> a[:, 0, 1] += 5; a[:, 1, 0] += 5
    >>> np.argwhere(compare_groups(a, b, seed=0, n=199).significant).tolist()
    [[0, 1], [1, 0]]
    """
    first, second, size, directed = _pair_of_groups(a, b, paired)
    t, d = _t_of(first, second, paired)
    null = np.stack(list(_permuted(first, second, paired, n, seed)))
    if correct == "max":
        p = max_statistic(t, null, tail="two-sided")
        found = p <= q
    elif correct in ("fdr", "none"):
        p = permutation_p(np.abs(t), np.abs(null))
        found = benjamini_hochberg(p, q).rejected if correct == "fdr" else p <= q
    else:
        choices = ("max", "fdr", "none")
        raise ConfigError(f"correct={correct!r} is not known. {did_you_mean(correct, choices)}")
    square = [_square(v, size, directed, fill) for v, fill in ((t, 0.0), (p, 1.0), (d, 0.0))]
    flags = _square(found.astype(float), size, directed, 0.0) > 0
    return GroupComparison(square[0], square[1], square[2], flags)


def _components(
    t: FloatArray, ends: tuple[IntArray, IntArray], n: int, limit: float, extent: str
) -> list[tuple[IntArray, float]]:
    """Edges above the limit by connected piece, with the piece's size."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    above = np.flatnonzero(t > limit)
    if not len(above):
        return []
    rows, columns = ends[0][above], ends[1][above]
    graph = coo_array((np.ones(len(above)), (rows, columns)), shape=(n, n))
    _, piece = connected_components(graph, directed=True, connection="weak")
    out = []
    for number in np.unique(piece[rows]):
        mine = above[piece[rows] == number]
        out.append((mine, float(len(mine) if extent == "count" else (t[mine] - limit).sum())))
    return out


def network_based_statistic(
    a: Any,
    b: Any,
    *,
    seed: Seed,
    t_threshold: float = 3.0,
    paired: bool = False,
    tail: Tail = "two-sided",
    extent: Literal["count", "intensity"] = "count",
    n: int = 1999,
) -> list[Component]:
    """Connected components of edges that differ between groups (Zalesky et al. 2010).

    Controls the chance of any false component; says nothing about single edges
    within one. Choose `t_threshold` before looking.

    Parameters
    ----------
    a, b : array, shape (n_recordings, n_nodes, n_nodes), or Connectivity
        One matrix a subject.
    seed : int or Generator
        Of the permutations.
    t_threshold : float
        Edges enter above it.
    paired : bool
        Rows of a and b are the same subjects.
    tail : "greater", "less" or "two-sided"
        Greater: more in `a`. Two-sided: components of one sign each.
    extent : "count" or "intensity"
        Size of a component: its edges, or the sum of their t above the threshold.
    n : int
        Number of permutations.

    Returns
    -------
    list of Component
        Most significant first; empty if no edge passes.

    Raises
    ------
    DataError
        Shapes do not fit, or NaN.
    ConfigError
        An option is not known.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = (rng.standard_normal((12, 6, 6)) for _ in range(2))
    >>> a[:, :3, :3] += 2
    >>> a, b = a + a.swapaxes(1, 2), b + b.swapaxes(1, 2)
    >>> found = network_based_statistic(a, b, seed=0, n=199)
    >>> found[0].nodes.tolist(), found[0].p <= 0.01
    ([0, 1, 2], True)
    """
    signs: Mapping[str, tuple[int, ...]] = {"greater": (1,), "less": (-1,), "two-sided": (1, -1)}
    if tail not in signs:
        raise ConfigError(f"tail={tail!r} is not known. {did_you_mean(str(tail), signs)}")
    if extent not in ("count", "intensity") or not t_threshold > 0:
        raise ConfigError(
            f"extent={extent!r} must be 'count' or 'intensity', t_threshold={t_threshold} above 0."
        )
    first, second, size, directed = _pair_of_groups(a, b, paired)
    rows, columns = np.nonzero(
        ~np.eye(size, dtype=bool) if directed else np.triu(np.ones((size, size)), 1)
    )
    ends = (rows, columns)

    def pieces(t: FloatArray) -> list[tuple[IntArray, float]]:
        return [c for s in signs[tail] for c in _components(s * t, ends, size, t_threshold, extent)]

    observed = pieces(_t_of(first, second, paired)[0])
    largest = np.array(
        [max((c[1] for c in pieces(t)), default=0.0)
         for t in _permuted(first, second, paired, n, seed)]
    )  # fmt: skip
    out = []
    for mine, value in observed:
        edges = np.stack([ends[0][mine], ends[1][mine]], axis=1)
        p = float(permutation_p(value, largest))
        out.append(Component(edges, np.unique(edges), value, p))
    return sorted(out, key=lambda c: (c.p, -c.size))
