"""Where to start: windows whose data pull the one-state fit in the same direction.

The slope of a window's log-likelihood by the weights says which way its data would move
the couplings. Windows of one state agree, so their slopes cluster long before any
state-dependent model is fitted. The number of directions that stand out of chance, plus
one, is a proposal for the number of states.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neuro.models._glm.fit import predictors
from neuro.models._glm.rates import Observation
from neuro.models._glm.sessions import SessionTable
from neuro.typing import FloatArray, IntArray

__all__ = ["ScoreMap", "cut_windows", "score_map", "window_states"]

_N_DIRECTIONS = 12
_N_ITERATIONS = 7
_KEPT_BYTES = 400_000_000
_BLOCK_FEATURES = 4000
# One shuffle's largest eigenvalue varies by a few per cent from shuffle to shuffle.
_MARGIN = 1.05


class ScoreMap(NamedTuple):
    """Windows along the main directions of their scores.

    ``places`` (n_windows, n_directions) scaled by the roots of ``eigenvalues``
    (n_directions,); ``by_chance`` a twentieth more than the largest eigenvalue when bins
    are dealt to windows at random; ``windows`` (n_windows, length) rows of the table, -1
    where shorter.
    """

    places: FloatArray
    eigenvalues: FloatArray
    by_chance: float
    windows: IntArray

    @property
    def proposal(self) -> int:
        """States that the directions above chance ask for."""
        return 1 + int((self.eigenvalues > self.by_chance).sum())


def cut_windows(lengths: IntArray, length: int) -> IntArray:
    """Rows of consecutive windows of about `length` bins; -1 fills the shorter ones."""
    parts, start = [], 0
    for n in lengths.tolist():
        pieces = np.array_split(np.arange(start, start + n), max(1, round(n / length)))
        parts += pieces
        start += n
    out = np.full((len(parts), max(len(p) for p in parts)), -1, dtype=np.int64)
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
    return out


@dataclass(frozen=True, eq=False)
class _Scores:
    """Standardised features of windows, in blocks of units."""

    residual: FloatArray
    design: FloatArray
    windows: IntArray

    def blocks(self) -> Iterator[FloatArray]:
        """(n_windows, n_features) of some units at a time, mean 0 and variance 1."""
        n_columns = self.design.shape[1]
        step = max(1, _BLOCK_FEATURES // n_columns)
        lost = self.windows < 0
        past = self.design[self.windows]  # (window, bin, column)
        for first in range(0, self.residual.shape[1], step):
            pull = self.residual[:, first : first + step][self.windows]
            pull[lost] = 0
            found = pull.transpose(0, 2, 1) @ past
            flat = found.reshape(len(found), -1)
            flat -= flat.mean(axis=0)
            spread = flat.std(axis=0)
            # a silent unit pulls nowhere
            yield flat / np.where(spread > 1e-12 * max(1.0, float(spread.max())), spread, np.inf)

    def spectrum(self, seed: int) -> tuple[FloatArray, FloatArray]:
        """Largest eigenvalues of the windows' products and their eigenvectors."""
        n = len(self.windows)
        size = min(n, _N_DIRECTIONS + 8)
        n_features = self.residual.shape[1] * self.design.shape[1]
        keep = n * n_features * self.design.itemsize < _KEPT_BYTES
        kept = list(self.blocks()) if keep else None
        basis = np.random.default_rng(seed).standard_normal((n, size))
        values = np.zeros(size)
        for _ in range(_N_ITERATIONS):
            basis = np.linalg.qr(basis)[0].astype(self.design.dtype)
            image = np.zeros((n, size))
            for block in kept if kept is not None else self.blocks():
                image += block @ (block.T @ basis)
            values, turn = np.linalg.eigh(basis.T.astype(np.float64) @ image)
            basis, rotation = image @ turn[:, ::-1], basis @ turn[:, ::-1]
        top = min(_N_DIRECTIONS, n)
        return values[::-1][:top] / n_features, rotation[:, :top]


def score_map(
    table: SessionTable,
    weights: FloatArray,
    observation: Observation,
    *,
    window_bins: int,
    seed: int,
) -> ScoreMap:
    """Main directions in which windows pull the one-state weights.

    Parameters
    ----------
    table : SessionTable
        Data.
    weights : array, shape (n_units, n_columns)
        The one-state fit.
    observation : Observation
        Rates and distribution.
    window_bins : int
        Length of a window; 25 to 50 in the measurements this rests on.
    seed : int
        Of the start of the iteration and of the shuffle.

    Returns
    -------
    ScoreMap
        Places of windows, eigenvalues, and what chance gives.
    """
    eta = predictors(table.design, weights)
    _, residual = observation.log_lik_and_score(eta, table.counts)
    residual[~table.valid] = 0
    windows = cut_windows(table.lengths, window_bins)
    values, vectors = _Scores(residual, table.design, windows).spectrum(seed)
    dealt = windows.copy()
    real = dealt >= 0
    dealt[real] = np.random.default_rng(seed).permutation(dealt[real])
    chance, _ = _Scores(residual, table.design, dealt).spectrum(seed)
    places = vectors * np.sqrt(np.maximum(values, 0.0))
    return ScoreMap(places, values, _MARGIN * float(chance[0]), windows)


def window_states(found: ScoreMap, n_states: int, n_bins: int, seed: int) -> IntArray:
    """State of every bin by k-means of the windows' places, (n_bins,)."""
    from sklearn.cluster import KMeans

    n_directions = max(1, min(n_states - 1, found.places.shape[1]))
    places = np.ascontiguousarray(found.places[:, :n_directions], dtype=np.float64)
    k = min(n_states, len(places))
    labels = KMeans(k, n_init=10, random_state=seed).fit(places).labels_
    out = np.zeros(n_bins, dtype=np.int64)
    rows = found.windows >= 0
    out[found.windows[rows]] = np.broadcast_to(labels[:, None], rows.shape)[rows]
    return out
