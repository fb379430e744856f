"""Where training begins: regression on demographics, principal components of the rest.

x = mean + B (d - mean d) + V z + rest, and the code A (x - mean) with A B = 0 and A V = I.
On the training rows this code is exactly uncorrelated with every demographic and exactly
white; the hidden layers then learn what no linear map can say.
"""

import numpy as np
import torch

from neuro.errors import ConfigError, DataError
from neuro.models.demovae.network import Autoencoder
from neuro.typing import FloatArray

__all__ = ["begin_linearly", "n_components"]

_SHUFFLES = 5


def n_components(x: FloatArray, demo: FloatArray, seed: int) -> int:
    """Principal components that stand out once demographics are regressed out.

    Parallel analysis (Horn 1965): the k-th variance counts while it is larger than the
    k-th of rows whose features were shuffled one by one, in each of five shuffles.

    Parameters
    ----------
    x : array, shape (n, n_features)
        Rows.
    demo : array, shape (n, n_columns)
        Encoded demographics.
    seed : int
        Of the shuffles.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 30))
    >>> n_components(x + 0.3 * rng.standard_normal(x.shape), np.ones((200, 1)), 0)
    3
    """
    rest, _ = _residuals(x, demo)
    rng = np.random.default_rng(seed)
    own = _variances(rest)
    chance = np.max([_variances(rng.permuted(rest, axis=0)) for _ in range(_SHUFFLES)], axis=0)
    above = own > chance
    return max(1, int(above.argmin() if not above.all() else len(above)))


def begin_linearly(network: Autoencoder, x: FloatArray, demo: FloatArray) -> None:
    """Set both linear maps, and the hidden layers' outputs to 0.

    Parameters
    ----------
    network : Autoencoder
        With linear path and its centre and scale set; changed in place.
    x : array, shape (n, n_features)
        Rows, centred and scaled as inside the network.
    demo : array, shape (n, n_columns)
        Encoded demographics; no column where the decoder gets none.

    Raises
    ------
    ConfigError
        More latent dimensions than the rows have directions.
    """
    encoder, decoder = network.enc_linear, network.dec_linear
    assert encoder is not None and decoder is not None  # noqa: PT018 - for the type checker
    n_latents = encoder.out_features
    rest, effects = _residuals(x, demo)
    sd, components = _principal(rest)
    if n_latents > len(sd):
        raise ConfigError(
            f"latent_dim = {n_latents}, but {len(x)} rows leave {len(sd)} directions beyond their "
            "demographics; use fewer, or 0 to have it chosen."
        )
    loads = components[:, :n_latents] * sd[:n_latents]
    codes = np.linalg.pinv(np.concatenate([effects, loads], axis=1))[effects.shape[1] :]
    # white on these rows, also where the effects of demographics overlap the components
    found = x @ codes.T
    spread = np.linalg.cholesky(np.atleast_2d(np.cov(found, rowvar=False, bias=True)))
    codes, loads = np.linalg.solve(spread, codes), loads @ spread
    _set(encoder, codes, -codes @ x.mean(axis=0))
    if network.output == "vector":
        both = np.concatenate([loads, effects], axis=1)
        _set(decoder, both, x.mean(axis=0) - effects @ demo.mean(axis=0))
    else:
        _set(decoder, np.zeros(decoder.weight.shape), _mean_factor(network).ravel())
    for layer in (network.enc2, network.dec2):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)


def _residuals(x: FloatArray, demo: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rows without their regression on demographics, and its slopes (feature, column)."""
    centred = x - x.mean(axis=0)
    if not demo.shape[1]:
        return centred, np.zeros((x.shape[1], 0))
    columns = demo - demo.mean(axis=0)
    slopes = np.linalg.pinv(columns) @ centred
    return centred - columns @ slopes, slopes.T


def _variances(rest: FloatArray) -> FloatArray:
    """Of all principal components, largest first; through the smaller of the two Grams."""
    gram = rest @ rest.T if len(rest) < rest.shape[1] else rest.T @ rest
    return np.linalg.eigvalsh(gram)[::-1] / len(rest)


def _principal(rest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Standard deviations and directions (n_features, k) of all components that exist."""
    wide = len(rest) < rest.shape[1]
    values, vectors = np.linalg.eigh(rest @ rest.T if wide else rest.T @ rest)
    kept = values > 1e-10 * values[-1]
    if not kept.any():
        raise DataError("Demographics explain every feature entirely; there is nothing to encode.")
    values, vectors = values[kept][::-1], vectors[:, kept][:, ::-1]
    directions = rest.T @ vectors / np.sqrt(values) if wide else vectors
    return np.sqrt(values / len(rest)), directions


def _mean_factor(network: Autoencoder) -> FloatArray:
    """Factor whose products come nearest to the mean matrix."""
    from neuro.connectivity import matrix_of

    mean = matrix_of(network.centre.numpy().astype(np.float64), diagonal=1.0)
    values, vectors = np.linalg.eigh(mean)
    top = slice(None, -network.rank - 1, -1)
    return np.asarray(vectors[:, top] * np.sqrt(np.maximum(values[top], 1e-6)))


def _set(layer: torch.nn.Linear, weight: FloatArray, bias: FloatArray) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
