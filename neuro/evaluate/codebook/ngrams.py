"""Runs of codes counted, and the classifier that turns counts into evidence.

Multinomial naive Bayes over n-grams of code numbers is how EEGFormer (arXiv
2401.10278) shows which patterns mark a seizure: every n-gram has one number,
log P(n-gram | class) - log P(n-gram | other), and it stands where it occurred.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["NgramBayes", "Ngrams", "ngram_counts"]


@dataclass(frozen=True, eq=False)
class Ngrams:
    """Every n-gram of a set of token grids, as a number, where it begins.

    Built by :meth:`of`; an n-gram runs over time within one channel of one
    window, and never over a token without a code.

    Parameters
    ----------
    keys : tuple of ndarray of int, shape (n_windows, n_chans, n_tokens - n + 1)
        One an order n; -1 where there is none.
    orders : tuple of int
        Lengths n.
    n_codes : int
        Size of the vocabulary of single codes.
    n_chans : int
        1 where channels are pooled, else their number.
    """

    keys: tuple[IntArray, ...]
    orders: tuple[int, ...]
    n_codes: int
    n_chans: int

    @classmethod
    def of(
        cls,
        ids: IntArray,
        n_codes: int,
        orders: Sequence[int] = (1, 2, 3),
        *,
        by_channel: bool = False,
    ) -> Self:
        """Number the n-grams of code grids (n_windows, n_chans, n_tokens).

        Raises
        ------
        ConfigError
            If an order is no whole number of 1 or more, or the n-grams are too
            many to number.
        DataError
            If the grids are not three-dimensional.
        """
        if ids.ndim != 3:
            raise DataError(f"Codes of shape {ids.shape}; (window, channel, token) is expected.")
        orders = tuple(orders)
        if not orders or any(n < 1 for n in orders) or len(set(orders)) < len(orders):
            raise ConfigError(f"orders={orders} must be different whole numbers of 1 or more.")
        n_chans = ids.shape[1] if by_channel else 1
        if n_chans * sum(n_codes**n for n in orders) >= 2**62:
            raise ConfigError(
                f"n-grams of {n_codes} codes up to length {max(orders)} are too many to number: "
                "use shorter ones."
            )
        keys = tuple(cls._keys(ids, n_codes, n, orders, by_channel) for n in orders)
        return cls(keys, orders, n_codes, n_chans)

    @staticmethod
    def _keys(
        ids: IntArray, n_codes: int, n: int, orders: tuple[int, ...], by_channel: bool
    ) -> IntArray:
        if ids.shape[2] < n:
            return np.zeros((*ids.shape[:2], 0), dtype=np.int64)
        runs = np.lib.stride_tricks.sliding_window_view(ids, n, axis=2)
        value = (runs * n_codes ** np.arange(n)).sum(axis=-1)
        value += sum(n_codes**m for m in orders[: orders.index(n)])
        if by_channel:
            size = sum(n_codes**m for m in orders)
            value += size * np.arange(ids.shape[1])[None, :, None]
        return np.asarray(np.where((runs >= 0).all(axis=-1), value, -1))

    def named(self, key: int) -> tuple[int | None, tuple[int, ...]]:
        """Channel (None where pooled) and codes of an n-gram's number."""
        size = sum(self.n_codes**n for n in self.orders)
        channel, key = divmod(key, size)
        for n in self.orders:
            if key < self.n_codes**n:
                codes = tuple(key // self.n_codes**i % self.n_codes for i in range(n))
                return (channel if self.n_chans > 1 else None), codes
            key -= self.n_codes**n
        raise DataError("No such n-gram.")

    def vocabulary(self, rows: IntArray) -> IntArray:
        """Numbers of all n-grams that occur in the given windows, sorted."""
        found = np.unique(np.concatenate([k[rows].reshape(-1) for k in self.keys]))
        return np.asarray(found[found >= 0])

    def positions(self, vocabulary: IntArray) -> tuple[IntArray, ...]:
        """Place of every occurrence in a vocabulary; -1 for n-grams outside it."""
        out = []
        for key in self.keys:
            at = np.minimum(np.searchsorted(vocabulary, key), max(0, len(vocabulary) - 1))
            known = vocabulary[at] == key if len(vocabulary) else np.zeros(key.shape, bool)
            out.append(np.where(known, at, -1))
        return tuple(out)

    def projected(self, positions: Sequence[IntArray], evidence: FloatArray) -> FloatArray:
        """Evidence of each token, (n_windows, n_chans, n_tokens), from places in a vocabulary.

        `positions` may be those of some windows only. An n-gram's evidence is
        shared out evenly over its n tokens, so a window's tokens add up to what
        the classifier saw in it.
        """
        longest = max(k.shape[2] + n - 1 for k, n in zip(self.keys, self.orders, strict=True))
        out = np.zeros((*positions[0].shape[:2], longest))
        padded = np.append(evidence, 0.0)  # -1 reads the last: n-grams never seen say nothing
        for at, n in zip(positions, self.orders, strict=True):
            for i in range(n):
                out[:, :, i : i + at.shape[2]] += padded[at] / n
        return out


def counts_of(positions: Sequence[IntArray], n_vocabulary: int) -> "sparse.csr_matrix":
    """How often each n-gram occurs in each window, (n_windows, n_vocabulary)."""
    from scipy import sparse

    n_windows = len(positions[0])
    place = np.concatenate([p.reshape(n_windows, -1) for p in positions], axis=1)
    row = np.broadcast_to(np.arange(n_windows)[:, None], place.shape)
    known = place >= 0
    ones = np.ones(int(known.sum()))
    # entries of one cell are added up
    return sparse.csr_matrix((ones, (row[known], place[known])), shape=(n_windows, n_vocabulary))


def ngram_counts(
    ids: IntArray,
    n_codes: int,
    orders: Sequence[int] = (1, 2, 3),
    *,
    by_channel: bool = False,
) -> "tuple[sparse.csr_matrix, list[tuple[int | None, tuple[int, ...]]]]":
    """Count the n-grams of every window.

    Parameters
    ----------
    ids : ndarray of int, shape (n_windows, n_chans, n_tokens)
        Code numbers; negative ones end an n-gram.
    n_codes : int
        Size of the vocabulary.
    orders : sequence of int
        Lengths to count.
    by_channel : bool
        Count the same n-gram of two channels apart.

    Returns
    -------
    counts : sparse matrix, shape (n_windows, n_ngrams)
        Of the n-grams that occur.
    names : list of (channel or None, tuple of codes)
        One a column.

    Raises
    ------
    ConfigError
        If an order is not usable.
    DataError
        If the grids are not three-dimensional.

    Examples
    --------
    >>> counts, names = ngram_counts(np.array([[[0, 1, 0, 1]]]), 2, orders=(2,))
    >>> names, counts.toarray().tolist()
    ([(None, (1, 0)), (None, (0, 1))], [[1.0, 2.0]])
    """
    grams = Ngrams.of(ids, n_codes, orders, by_channel=by_channel)
    vocabulary = grams.vocabulary(np.arange(len(ids)))
    counts = counts_of(grams.positions(vocabulary), len(vocabulary))
    return counts, [grams.named(int(k)) for k in vocabulary]


@dataclass(frozen=True, eq=False)
class NgramBayes:
    """Multinomial naive Bayes of two classes with additive smoothing.

    Parameters
    ----------
    log_prior : ndarray, shape (2,)
        Log share of the windows of each class.
    log_p : ndarray, shape (2, n_ngrams)
        Log probability of each n-gram in each class.

    Examples
    --------
    >>> bayes = NgramBayes.fitted(np.array([[3.0, 0.0], [1.0, 2.0]]), np.array([False, True]))
    >>> bayes.evidence.round(3).tolist()
    [-0.693, 1.099]
    """

    log_prior: FloatArray
    log_p: FloatArray

    @classmethod
    def fitted(
        cls, counts: Any, positive: BoolArray, *, alpha: float = 1.0, balanced: bool = False
    ) -> Self:
        """Fit the counts of windows, dense or sparse, (n_windows, n_ngrams).

        Parameters
        ----------
        counts : array or sparse matrix
            One row a window.
        positive : ndarray of bool, shape (n_windows,)
            Which are of the class.
        alpha : float
            Added to every count; 1 is Laplace's rule.
        balanced : bool
            Weigh windows so that both classes weigh the same. Without it the
            added counts weigh more in the smaller class and make rare n-grams
            look like signs of it, whatever the labels are.

        Returns
        -------
        NgramBayes

        Raises
        ------
        ConfigError
            If `alpha` is not above 0.
        DataError
            If all windows are of one class.
        """
        if not alpha > 0:
            raise ConfigError(f"alpha={alpha} must be above 0.")
        if positive.all() or not positive.any():
            raise DataError("All windows are of one class: there is nothing to tell apart.")
        member = np.stack([~positive, positive]).astype(np.float64)
        if balanced:
            member *= member.shape[1] / 2 / member.sum(axis=1, keepdims=True)
        total = np.asarray(member @ counts) + alpha
        log_p = np.log(total) - np.log(total.sum(axis=1, keepdims=True))
        return cls(np.log(member.mean(axis=1)), log_p)

    @property
    def evidence(self) -> FloatArray:
        """Natural log P(n-gram | positive) - log P(n-gram | other), (n_ngrams,)."""
        return np.asarray(self.log_p[1] - self.log_p[0])

    def log_odds(self, counts: Any) -> FloatArray:
        """Log odds of the positive class for each window, (n_windows,)."""
        return np.asarray(counts @ self.evidence + self.log_prior[1] - self.log_prior[0])
