"""Time series with given correlations."""

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray, FloatArray

__all__ = ["series_with", "valid_correlation"]


def valid_correlation(matrix: AnyArray, floor: float = 1e-4) -> FloatArray:
    """Correlation matrices near symmetric ones that may have negative eigenvalues.

    Eigenvalues below the floor are raised to it and the diagonal is made 1 again. The
    result is not the nearest in any norm, but one step away and always valid.

    Parameters
    ----------
    matrix : array, shape (..., n_rois, n_rois)
        Symmetric, with a diagonal of about 1.
    floor : float
        Least eigenvalue before the diagonal is mended.

    Returns
    -------
    float64 array, same shape

    Examples
    --------
    >>> wrong = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    >>> bool(np.linalg.eigvalsh(wrong)[0] < 0 < np.linalg.eigvalsh(valid_correlation(wrong))[0])
    True
    """
    values, vectors = np.linalg.eigh(np.asarray(matrix, dtype=np.float64))
    mended = (vectors * np.maximum(values, floor)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    sd = np.sqrt(np.diagonal(mended, axis1=-2, axis2=-1))
    return np.asarray(mended / sd[..., :, None] / sd[..., None, :])


def series_with(
    matrix: AnyArray, n_times: int, *, ar: float = 0.0, exact: bool = False, seed: int = 0
) -> FloatArray:
    """Gaussian series of variance 1 with these correlations.

    Parameters
    ----------
    matrix : array, shape (n, n_rois, n_rois)
        Positive definite correlation matrices.
    n_times : int
        Samples.
    ar : float
        Correlation of successive samples, 0 to below 1, the same for all regions: then
        correlations between regions stay as they are.
    exact : bool
        Make the series' own correlations those of the matrix.
    seed : int
        Of the series.

    Returns
    -------
    float64 array, shape (n, n_rois, n_times)

    Raises
    ------
    ConfigError
        Sizes out of range.
    DataError
        A matrix with a negative eigenvalue.

    Examples
    --------
    >>> x = series_with(np.array([[[1.0, 0.7], [0.7, 1.0]]]), 50, exact=True)
    >>> np.corrcoef(x[0]).round(6).tolist()
    [[1.0, 0.7], [0.7, 1.0]]
    """
    from scipy.signal import lfilter

    target = np.asarray(matrix, dtype=np.float64)
    n_rois = target.shape[-1]
    if not 0 <= ar < 1 or n_times < 2 or (exact and n_times <= n_rois):
        raise ConfigError(
            f"ar={ar:g} (0 to below 1) or n_times={n_times} (2 or more; exact correlations need "
            f"more than the {n_rois} regions) is out of range."
        )
    try:
        factor = np.linalg.cholesky(target)
    except np.linalg.LinAlgError as error:
        raise DataError(
            "A matrix is not positive definite; valid_correlation gives one that is."
        ) from error
    rng = np.random.default_rng(seed)
    n_warm = int(np.ceil(np.log(1e-6) / np.log(ar))) if ar else 0
    noise = rng.standard_normal((*target.shape[:-1], n_warm + n_times))
    if ar:
        noise = lfilter([np.sqrt(1 - ar**2)], [1.0, -ar], noise, axis=-1)[..., n_warm:]
    if exact:
        noise = noise - noise.mean(axis=-1, keepdims=True)
        own = np.linalg.cholesky(noise @ np.swapaxes(noise, -1, -2) / n_times)
        noise = np.linalg.solve(own, noise)
    return np.asarray(factor @ noise)
