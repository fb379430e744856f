"""How well codes go with known stretches: purity, information, and what chance would give."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.errors import DataError
from neuro.typing import FloatArray, IntArray

__all__ = ["Agreement", "agreement", "kmeans_codes"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Codes against the labels of their stretches.

    Parameters
    ----------
    table : ndarray of int, shape (n_codes, n_labels)
        Tokens of each code and label.
    names : tuple of str
        The labels.
    purity : float
        Share of tokens whose label is the most frequent one of their code.
    purity_shuffled : float
        The same with exchanged labels: what so many codes reach by chance.
    held_out : float
        Share of right labels where each code says the label that was most
        frequent in other groups (people), as a linear probe of the codes would
        say; NaN with fewer than two groups.
    nmi : float
        Normalised mutual information (arithmetic mean); 0 to 1. It does not
        tell a collapsed code book from a good one: read it beside the number
        of codes in use.
    codes_per_label : tuple of int
        Codes in use of which a label is the most frequent.
    """

    table: IntArray
    names: tuple[str, ...]
    purity: float
    purity_shuffled: float
    held_out: float
    nmi: float
    codes_per_label: tuple[int, ...]

    @property
    def n_tokens(self) -> int:
        """Tokens with a label."""
        return int(self.table.sum())

    @property
    def chance(self) -> float:
        """Share of the most frequent label: purity of a single code."""
        return float(self.table.sum(axis=0).max() / self.table.sum())

    @property
    def n_used(self) -> int:
        """Codes that occur among the labelled tokens."""
        return int((self.table.sum(axis=1) > 0).sum())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "n_tokens": self.n_tokens,
            "names": list(self.names),
            "table": self.table.tolist(),
            "purity": self.purity,
            "purity_shuffled": self.purity_shuffled,
            "held_out": self.held_out,
            "chance": self.chance,
            "nmi": self.nmi,
            "codes_used": self.n_used,
            "codes_per_label": dict(zip(self.names, self.codes_per_label, strict=True)),
        }


def agreement(
    ids: IntArray,
    label: IntArray,
    names: tuple[str, ...],
    *,
    n_codes: int,
    group: IntArray | None = None,
    seed: int = 0,
) -> Agreement:
    """Compare code numbers with labels.

    Parameters
    ----------
    ids, label : ndarray of int, same shape
        Code and label of each token; tokens with a negative one are left out.
    names : tuple of str
        Of the labels.
    n_codes : int
        Size of the vocabulary.
    group : ndarray of int, same shape, optional
        Tokens of one group (person) are not independent.
    seed : int
        For the exchange of labels.

    Returns
    -------
    Agreement

    Raises
    ------
    DataError
        If no token has both a code and a label.

    Examples
    --------
    >>> found = agreement(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), ("a", "b"), n_codes=3)
    >>> found.purity, found.n_used, found.codes_per_label
    (1.0, 2, (1, 1))
    """
    from sklearn.metrics import normalized_mutual_info_score

    known = (ids >= 0) & (label >= 0)
    if not known.any():
        raise DataError("No token lies inside a labelled stretch.")
    code, kind = ids[known], label[known]
    table = _table(code, kind, n_codes, len(names))
    exchanged = np.random.default_rng(seed).permutation(kind)
    used = table.sum(axis=1) > 0
    best = table[used].argmax(axis=1)
    return Agreement(
        table,
        names,
        _purity(table),
        _purity(_table(code, exchanged, n_codes, len(names))),
        float("nan") if group is None else _held_out(code, kind, group[known], table.shape),
        float(normalized_mutual_info_score(kind, code)),
        tuple(np.bincount(best, minlength=len(names)).tolist()),
    )


def _table(code: IntArray, kind: IntArray, n_codes: int, n_labels: int) -> IntArray:
    flat = np.bincount(code * n_labels + kind, minlength=n_codes * n_labels)
    return flat.reshape(n_codes, n_labels)


def _purity(table: IntArray) -> float:
    return float(table.max(axis=1).sum() / table.sum())


def _held_out(code: IntArray, kind: IntArray, group: IntArray, shape: tuple[int, ...]) -> float:
    """Right labels, each group judged by the codes' labels in all the others."""
    units = np.unique(group)
    if len(units) < 2:
        return float("nan")
    whole = _table(code, kind, *shape)
    right = 0
    for unit in units.tolist():
        own = _table(code[group == unit], kind[group == unit], *shape)
        others = whole - own
        # a code that the others never use says their most frequent label
        seen = others.sum(axis=1) > 0
        says = np.where(seen, others.argmax(axis=1), others.sum(axis=0).argmax())
        right += int(own[np.arange(shape[0]), says].sum())
    return right / len(code)


def kmeans_codes(spectra: FloatArray, n_centres: int, *, seed: int = 0) -> IntArray:
    """The yardstick: nearest of as many k-means centres of the raw stretches' log spectra.

    Parameters
    ----------
    spectra : ndarray, shape (n_tokens, n_freqs)
        log(1 + amplitude) of each token's stretch of raw signal.
    n_centres : int
        As many as the vocabulary has codes.
    seed : int
        For the first centres.

    Returns
    -------
    ndarray of int, shape (n_tokens,)
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if n_centres > 512:
        # exact k-means would take minutes where mini-batches take seconds
        centres: Any = MiniBatchKMeans(
            n_centres, n_init=1, max_iter=20, batch_size=4096, random_state=seed
        )
    else:
        centres = KMeans(n_centres, n_init=1, max_iter=50, random_state=seed)
    return np.asarray(centres.fit_predict(spectra), dtype=np.int64)
