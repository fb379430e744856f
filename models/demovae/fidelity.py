"""How far synthetic rows are from real ones, and whether they copy them.

Judge against real rows that the model has not seen. A model that collapsed gives
variance ratios near 0; one that samples codes it was never trained on, ratios of 4 and
more; one that learned people by heart, samples nearer to training rows than to others.
"""

from typing import Literal, NamedTuple

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray, FloatArray

__all__ = [
    "Fidelity",
    "Nearest",
    "Transfer",
    "diagonal_gaussian",
    "energy_distance",
    "fidelity",
    "group_map",
    "map_error",
    "mmd",
    "nearest_subjects",
    "transfer",
    "variance_ratio",
]


def variance_ratio(
    real: AnyArray, synthetic: AnyArray, quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
) -> FloatArray:
    """Quantiles over features of synthetic over real variance; 1 is right.

    Parameters
    ----------
    real, synthetic : array, shape (n, n_features)
        Rows.
    quantiles : tuple of float
        Shares of features.

    Returns
    -------
    float64 array, shape (n_quantiles,)

    Examples
    --------
    >>> real = np.random.default_rng(0).standard_normal((500, 3))
    >>> variance_ratio(real, 2 * real).tolist()
    [4.0, 4.0, 4.0]
    """
    real, synthetic = _pair(real, synthetic)
    variance = real.var(axis=0, ddof=1)
    if not (variance > 0).all():
        raise DataError("A real feature never changes; leave it out.")
    return np.asarray(np.quantile(synthetic.var(axis=0, ddof=1) / variance, quantiles))


def energy_distance(a: AnyArray, b: AnyArray) -> float:
    """Energy distance of two sets of rows (Székely and Rizzo 2013), 0 for one distribution.

    2 E|a - b| - E|a - a'| - E|b - b'| over different rows, so that it may fall a little
    below 0 by chance.

    Parameters
    ----------
    a, b : array, shape (n, n_features)
        Rows.

    Returns
    -------
    float

    Examples
    --------
    >>> energy_distance([[0.0], [0.0]], [[3.0], [3.0]])
    6.0
    """
    a, b = _pair(a, b)
    return 2 * float(_distances(a, b).mean()) - _within(a) - _within(b)


def mmd(a: AnyArray, b: AnyArray, *, width: float | None = None) -> float:
    """Squared maximum mean discrepancy under a Gaussian kernel (Gretton et al. 2012).

    Parameters
    ----------
    a, b : array, shape (n, n_features)
        Rows; the kernel's width comes from `a`, which should be the real ones.
    width : float, optional
        Standard deviation of the kernel; the median distance within `a`.

    Returns
    -------
    float
        Unbiased: about 0, of either sign, for one distribution.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> near, far = (mmd(rng.normal(0, 1, (200, 2)), rng.normal(m, 1, (200, 2))) for m in (0, 2))
    >>> bool(abs(near) < 0.02), bool(far > 0.3)
    (True, True)
    """
    a, b = _pair(a, b)
    own = _distances(a, a)
    width = float(np.median(own[np.triu_indices(len(a), 1)])) if width is None else width
    if not width > 0:
        raise ConfigError(f"width = {width:g} must be above 0.")

    def kernel(distance: FloatArray) -> FloatArray:
        return np.asarray(np.exp(-(distance**2) / (2 * width**2)))

    def between(distance: FloatArray) -> float:
        n = len(distance)
        return float((kernel(distance).sum() - n) / (n * (n - 1)))

    across = float(kernel(_distances(a, b)).mean())
    return between(own) + between(_distances(b, b)) - 2 * across


def diagonal_gaussian(real: AnyArray, n: int, *, seed: int = 0) -> FloatArray:
    """Rows with the real means and variances and nothing else: the floor of a generator.

    Parameters
    ----------
    real : array, shape (m, n_features)
        Rows.
    n : int
        How many to draw.
    seed : int
        Of the draws.

    Returns
    -------
    float64 array, shape (n, n_features)

    Examples
    --------
    >>> diagonal_gaussian(np.zeros((4, 2)) + [1.0, 2.0], 3).tolist()
    [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]
    """
    real = np.asarray(real, dtype=np.float64)
    drawn = np.random.default_rng(seed).standard_normal((n, real.shape[1]))
    return np.asarray(real.mean(axis=0) + drawn * real.std(axis=0))


class Fidelity(NamedTuple):
    """Synthetic rows beside real ones, and a Gaussian without covariance beside both.

    Attributes
    ----------
    variance_ratio : float64 array, shape (3,)
        10, 50 and 90 % quantile over features.
    energy, energy_floor : float
        Energy distance to the real rows, of the synthetic ones and of the Gaussian.
    mmd, mmd_floor : float
        Maximum mean discrepancy, likewise.
    """

    variance_ratio: FloatArray
    energy: float
    energy_floor: float
    mmd: float
    mmd_floor: float


def fidelity(
    real: AnyArray, synthetic: AnyArray, *, train: AnyArray | None = None, seed: int = 0
) -> Fidelity:
    """Compare distributions.

    Parameters
    ----------
    real : array, shape (n, n_features)
        Rows that the model has not seen.
    synthetic : array, shape (m, n_features)
        Of the same demographics.
    train : array, shape (k, n_features), optional
        What the Gaussian learns from; the judging rows themselves if omitted, which
        favours it where they are few.
    seed : int
        Of the Gaussian.

    Returns
    -------
    Fidelity

    Raises
    ------
    DataError
        Arrays that do not match.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> mix = rng.standard_normal((2, 8))
    >>> real, made = (rng.standard_normal((300, 2)) @ mix for _ in range(2))
    >>> found = fidelity(real, made)
    >>> found.energy < 0.1 * found.energy_floor
    True
    """
    real, synthetic = _pair(real, synthetic)
    floor = diagonal_gaussian(real if train is None else train, len(synthetic), seed=seed)
    return Fidelity(
        variance_ratio(real, synthetic),
        energy_distance(real, synthetic),
        energy_distance(real, floor),
        mmd(real, synthetic),
        mmd(real, floor),
    )


def group_map(x: AnyArray, group: AnyArray) -> FloatArray:
    """Mean of the rows where `group` is true less the mean of the others.

    Parameters
    ----------
    x : array, shape (n, n_features)
        Rows.
    group : bool array, shape (n,)
        Which are in the group.

    Returns
    -------
    float64 array, shape (n_features,)

    Examples
    --------
    >>> group_map([[1.0], [2.0], [6.0]], [False, False, True]).tolist()
    [4.5]
    """
    rows, inside = np.asarray(x, dtype=np.float64), np.asarray(group, dtype=bool)
    if inside.shape != rows.shape[:1] or inside.all() or not inside.any():
        raise DataError("A group map needs rows inside and outside of the group.")
    return np.asarray(rows[inside].mean(axis=0) - rows[~inside].mean(axis=0))


def map_error(true: AnyArray, found: AnyArray) -> float:
    """Root mean square of the difference over that of the true map; 1 is no better than 0.

    Examples
    --------
    >>> map_error([3.0, 4.0], [3.0, 3.0])
    0.2
    """
    true, found = np.asarray(true, dtype=np.float64), np.asarray(found, dtype=np.float64)
    if true.shape != found.shape or not true.any():
        raise DataError(f"Maps of shapes {true.shape} and {found.shape}, the true one not all 0.")
    return float(np.linalg.norm(true - found) / np.linalg.norm(true))


class Transfer(NamedTuple):
    """Scores of linear models that learned on one kind of rows; R2, or balanced accuracy.

    Attributes
    ----------
    real_to_real : float
        Learned on real rows, asked about other real rows: what could be reached.
    real_to_synthetic : float
        Near perfect where guides shaped the samples; says little about realism.
    synthetic_to_real : float
        What the samples teach about real people.
    """

    real_to_real: float
    real_to_synthetic: float
    synthetic_to_real: float


def transfer(
    real_train: tuple[AnyArray, AnyArray],
    real_test: tuple[AnyArray, AnyArray],
    synthetic: tuple[AnyArray, AnyArray],
    *,
    kind: Literal["continuous", "categorical"],
) -> Transfer:
    """Learn a demographic on real rows and find it in synthetic ones, and the other way.

    Parameters
    ----------
    real_train, real_test, synthetic : tuple of array
        Rows (n, n_features) and the demographic (n,); the test rows are of other people.
    kind : {"continuous", "categorical"}
        Ridge regression and R2, or logistic regression and balanced accuracy.

    Returns
    -------
    Transfer

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["F", "M"], 50)
    >>> sets = [(rng.standard_normal((100, 3)) + 4.0 * (y == "M")[:, None], y) for _ in range(3)]
    >>> transfer(*sets, kind="categorical").synthetic_to_real > 0.98
    True
    """
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind not in ("continuous", "categorical"):
        raise ConfigError(f"kind={kind!r} is not known: use 'continuous' or 'categorical'.")

    def score(learn: tuple[AnyArray, AnyArray], ask: tuple[AnyArray, AnyArray]) -> float:
        if kind == "continuous":
            model, measure = RidgeCV(np.logspace(-2, 4, 13)), r2_score
        else:
            model, measure = LogisticRegression(C=0.1, max_iter=1000), balanced_accuracy_score
        fitted = make_pipeline(StandardScaler(), model).fit(*learn)
        return float(measure(ask[1], fitted.predict(ask[0])))

    return Transfer(
        score(real_train, real_test), score(real_train, synthetic), score(synthetic, real_test)
    )


class Nearest(NamedTuple):
    """Whether synthetic rows copy training rows.

    Attributes
    ----------
    share : float
        Of synthetic rows that are nearer to a training row than to any of as many
        held-out rows; 0.5 without copying.
    ratio : float
        Median distance to the nearest training row over that to the nearest held-out one;
        1 without copying, 0 for copies.
    closest : int array, shape (n,)
        Nearest training row of every synthetic one.
    """

    share: float
    ratio: float
    closest: AnyArray


def nearest_subjects(
    synthetic: AnyArray, train: AnyArray, held_out: AnyArray, *, seed: int = 0
) -> Nearest:
    """Compare distances to training rows with distances to rows never seen.

    Parameters
    ----------
    synthetic, train, held_out : array, shape (n, n_features)
        Rows; the larger of the two real sets is thinned to the size of the other.
    seed : int
        Of the thinning.

    Returns
    -------
    Nearest

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> train, other = rng.standard_normal((2, 50, 4))
    >>> nearest_subjects(train[:10], train, other).share
    1.0
    """
    train, held_out = _pair(train, held_out)
    synthetic, _ = _pair(synthetic, train)
    closest = _distances(synthetic, train).argmin(axis=1)
    rng, n = np.random.default_rng(seed), min(len(train), len(held_out))
    parts = [x[rng.permutation(len(x))[:n]] for x in (train, held_out)]
    seen, unseen = (_distances(synthetic, part).min(axis=1) for part in parts)
    # a tie is no evidence either way
    share = float((seen < unseen).mean() + 0.5 * (seen == unseen).mean())
    return Nearest(share, float(np.median(seen / np.maximum(unseen, 1e-300))), closest)


def _pair(a: AnyArray, b: AnyArray) -> tuple[FloatArray, FloatArray]:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise DataError(
            f"Rows of shapes {a.shape} and {b.shape} cannot be compared: two or more rows of the "
            "same features are needed."
        )
    return a, b


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(a, b))


def _within(a: FloatArray) -> float:
    return float(_distances(a, a).sum() / (len(a) * (len(a) - 1)))
