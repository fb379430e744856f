"""After training: the codes' own distribution, and what the decoder leaves out.

Samples are decoded from standard normal codes. Trained codes never are quite that: with
the package's settings and too few epochs their variances are a few per cent of 1, and
samples have several times the real variance. Mean and covariance of the training codes
are kept instead, and codes are whitened on their way out and coloured on their way in.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neuro.errors import DataError
from neuro.models.demovae.network import Autoencoder
from neuro.typing import FloatArray

__all__ = ["Calibration", "calibrate"]


class Calibration(NamedTuple):
    """What is known of a trained network.

    Attributes
    ----------
    mean, factor : float64 array, shape (n_latents,) and (n_latents, n_latents)
        Of the codes, and Cholesky factor of their covariance; 0 and 1 unless whitened.
    scatter : float32 array, shape (n_features,)
        Root mean square of what the decoder leaves unexplained.
    facts : dict of str to float
        Share of the variance explained; largest deviation from 1 of an eigenvalue of
        Z'Z / n.
    """

    mean: FloatArray
    factor: FloatArray
    scatter: FloatArray
    facts: dict[str, float]


def calibrate(network: Autoencoder, x: Tensor, told: Tensor, *, whiten: bool) -> Calibration:
    """Measure a trained network on its training rows.

    Parameters
    ----------
    network : Autoencoder
        Trained.
    x : Tensor, shape (n, n_features)
        Training rows.
    told : Tensor, shape (n, n_columns)
        What the decoder is told of them.
    whiten : bool
        Keep mean and covariance of the codes.

    Returns
    -------
    Calibration

    Raises
    ------
    DataError
        Codes that lie in fewer directions than there are.
    """
    with torch.no_grad():
        z = network.encode(x)
        rest = (x - network.decode(z, told)).numpy()
    codes, rows = z.numpy().astype(np.float64), x.numpy()
    n, n_latents = codes.shape
    mean, factor = np.zeros(n_latents), np.eye(n_latents)
    if whiten:
        mean = codes.mean(axis=0)
        try:
            factor = np.linalg.cholesky(np.atleast_2d(np.cov(codes, rowvar=False)))
        except np.linalg.LinAlgError as error:
            raise DataError(
                f"{n} rows leave fewer than {n_latents} directions in the codes: use a smaller "
                "latent_dim, or 0 to have it chosen."
            ) from error
    eigenvalues = np.linalg.eigvalsh(codes.T @ codes / n)
    facts = {
        "explained": 1 - float((rest**2).sum() / ((rows - rows.mean(axis=0)) ** 2).sum()),
        "second_moment_error": float(np.abs(eigenvalues - 1).max()),
    }
    return Calibration(mean, factor, np.sqrt((rest**2).mean(axis=0)), facts)
