"""Covariance matrices as flat features: shrunk, and mapped around their mean."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import DataError
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from neuro.data import Batch

__all__ = ["Covariance", "Tangent", "riemannian_mean", "shrunk_covariance"]

# eigenvalues below this share of the largest would be amplified into noise
_LEAST = 1e-10
_MEAN_STEPS, _MEAN_TOLERANCE = 20, 1e-6
# above this width an exact mean costs minutes; its first step is then kept
_WIDEST_MEAN = 64
# matrices, evenly spaced in the training part: enough to know a mean by
_MOST_FOR_MEAN = 500


def shrunk_covariance(x: FloatArray, valid: FloatArray | None = None) -> FloatArray:
    """Covariance of each window, shrunk towards a multiple of the identity.

    The weight is that of Ledoit and Wolf (2004), estimated in each window on
    its own, so that windows shorter than they have channels give matrices of
    full rank.

    Parameters
    ----------
    x : ndarray, shape (n_windows, n_chans, n_times)
        Signals.
    valid : ndarray, shape (n_windows, 1, n_times), optional
        1 where a sample exists, else 0.

    Returns
    -------
    ndarray, shape (n_windows, n_chans, n_chans)

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(1, 30, 10))
    >>> c = shrunk_covariance(x)[0]
    >>> bool(np.linalg.eigvalsh(c).min() > 0.1)
    True
    """
    x = np.asarray(x, dtype=np.float64)
    seen = np.ones((len(x), 1, x.shape[2])) if valid is None else valid
    n = np.maximum(seen.sum(2), 1)[:, :, None]
    x = (x - (x * seen).sum(2, keepdims=True) / n) * seen
    d = x.shape[1]
    raw = np.einsum("nct,ndt->ncd", x, x, optimize=True) / n
    mu = np.trace(raw, axis1=1, axis2=2)[:, None, None] / d
    spread = ((raw - mu * np.eye(d)) ** 2).sum((1, 2)) / d
    # mean squared distance of the samples' own outer products from the covariance
    fourth = ((x**2).sum(1) ** 2).sum(1) / n[:, 0, 0]
    noise = (fourth - (raw**2).sum((1, 2))) / d / n[:, 0, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(spread > 0, np.clip(noise / spread, 0.0, 1.0), 1.0)[:, None, None]
    # a silent window has no size at all: any tiny one keeps its logarithm finite
    return np.asarray((1 - weight) * raw + weight * np.maximum(mu, 1e-30) * np.eye(d))


@dataclass(frozen=True)
class Covariance:
    """Upper triangle of each window's shrunk covariance: (n, d * (d + 1) / 2).

    Parameters
    ----------
    correlation : bool
        Give every channel unit variance first, as usual for BOLD.
    band : (float, float), optional
        Hz; frequencies outside are taken off each window first, so that slow
        drifts do not make up the covariance. Missing samples count as the
        window's mean.
    """

    correlation: bool = False
    band: tuple[float, float] | None = None

    def __call__(self, batch: "Batch") -> FloatArray:
        """Features of each window of a batch."""
        x = batch.x.cpu().numpy().astype(np.float64)
        valid = batch.time_mask.cpu().numpy()[:, None, :].astype(np.float64)
        if self.band is not None:
            n = np.maximum(valid.sum(2, keepdims=True), 1)
            spectrum = np.fft.rfft((x - (x * valid).sum(2, keepdims=True) / n) * valid, axis=2)
            freq = np.fft.rfftfreq(x.shape[2], 1 / batch.sfreq)
            spectrum[:, :, (freq < self.band[0]) | (freq >= self.band[1])] = 0
            x = np.fft.irfft(spectrum, x.shape[2], axis=2)
        if self.correlation:
            n = np.maximum(valid.sum(2, keepdims=True), 1)
            x = (x - (x * valid).sum(2, keepdims=True) / n) * valid
            sd = np.sqrt((x * x).sum(2, keepdims=True) / n)
            x = np.divide(x, sd, out=np.zeros_like(x), where=sd > 1e-12)
        upper = np.triu_indices(x.shape[1])
        return np.asarray(shrunk_covariance(x, valid)[:, upper[0], upper[1]])


def _powered(c: FloatArray, function: Any) -> FloatArray:
    """A function of the eigenvalues of symmetric matrices."""
    values, vectors = np.linalg.eigh(c)
    values = np.maximum(values, _LEAST * np.maximum(values[..., -1:], 1e-300))
    return np.asarray(
        (vectors * function(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2),
        dtype=np.float64,
    )


def riemannian_mean(c: FloatArray) -> FloatArray:
    """Geometric (Karcher) mean of positive definite matrices.

    Fixed-point iteration from the log-Euclidean mean; beyond 64 channels that
    starting point itself is returned.

    Parameters
    ----------
    c : ndarray, shape (n, d, d)
        Positive definite.

    Returns
    -------
    ndarray, shape (d, d)

    Examples
    --------
    >>> riemannian_mean(np.array([[[1.0]], [[16.0]]])).round(6).tolist()
    [[4.0]]
    """
    mean = _exponential(_powered(c, np.log).mean(0))
    if c.shape[1] > _WIDEST_MEAN:
        return mean
    for _ in range(_MEAN_STEPS):
        root, back = _powered(mean, np.sqrt), _powered(mean, lambda v: 1 / np.sqrt(v))
        step = _powered(back @ c @ back, np.log).mean(0)
        mean = root @ _exponential(step) @ root
        if np.sqrt((step**2).sum() / c.shape[1]) < _MEAN_TOLERANCE:
            break
    return np.asarray((mean + mean.T) / 2)


def _exponential(s: FloatArray) -> FloatArray:
    """Matrix exponential of a symmetric matrix."""
    values, vectors = np.linalg.eigh(s)
    return np.asarray((vectors * np.exp(values)) @ vectors.T)


class Tangent:
    """Covariances to the tangent space at the training mean, then a linear probe.

    Parameters
    ----------
    probe : object
        With `fit(x, y, groups)` and `predict`; gets (n, d * (d + 1) / 2).

    Attributes
    ----------
    mean_ : ndarray, shape (d, d)
        Mean of the training covariances, or of 500 of them.

    References
    ----------
    Barachant et al. (2013), Neurocomputing 112, eq. 8-9; Varoquaux et al.
    (2010), MICCAI, for BOLD.
    """

    takes_groups = True

    def __init__(self, probe: Any) -> None:
        self.probe = probe

    def fit(self, x: FloatArray, y: AnyArray, groups: AnyArray | None = None) -> "Tangent":
        """Mean of the training covariances, then the probe."""
        c = _square(x)
        few = np.unique(np.linspace(0, len(c) - 1, _MOST_FOR_MEAN).astype(np.int64))
        self.mean_ = riemannian_mean(c[few])
        self._whiten = _powered(self.mean_, lambda v: 1 / np.sqrt(v))
        self.probe.fit(self.mapped(x), y, groups)
        return self

    def mapped(self, x: FloatArray) -> FloatArray:
        """Tangent vectors, shape (n, d * (d + 1) / 2); their norm is the distance."""
        c = _square(x)
        log = _powered(self._whiten @ c @ self._whiten, np.log)
        rows, columns = np.triu_indices(c.shape[1])
        return np.asarray(log[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2)))

    def predict(self, x: FloatArray) -> AnyArray:
        """What the probe says."""
        return np.asarray(self.probe.predict(self.mapped(x)))

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Probability of each class, if the probe gives one."""
        if not hasattr(self.probe, "predict_proba"):
            raise AttributeError("the probe has no predict_proba")
        return np.asarray(self.probe.predict_proba(self.mapped(x)))


def _square(x: FloatArray) -> FloatArray:
    """Flat upper triangles to symmetric matrices."""
    d = int((np.sqrt(8 * x.shape[1] + 1) - 1) // 2)
    if d * (d + 1) // 2 != x.shape[1]:
        raise DataError(
            f"{x.shape[1]} features are no upper triangle of a matrix; use Covariance() features."
        )
    rows, columns = np.triu_indices(d)
    out = np.zeros((len(x), d, d))
    out[:, rows, columns] = out[:, columns, rows] = x
    return out
