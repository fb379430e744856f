"""Coherence family from an autoregressive model of each pair and window.

The estimator of short-window BCI practice (windows of 0.25 s, order of about
0.04 s): spectra of the windows' models are averaged, then normalised.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuro.signal.ar import multichannel_burg
from neuro.typing import AnyArray, FloatArray

__all__ = ["PairSums", "burg_sums"]

_BLOCK = 1 << 20  # samples of the pairs held at a time


class PairSums:
    """Summed cross- and auto-spectra of pairs; read by the same formulas as ``Sums``.

    Parameters
    ----------
    density : complex128 array, shape (n_freqs, n_pairs, 2, 2)
        Spectra summed over windows.
    n : int
        Number of windows.
    """

    def __init__(self, density: NDArray[np.complex128], n: int) -> None:
        self.n = self.n2 = float(n)
        self.cross = density[..., 0, 1]
        power = density[..., 0, 0].real * density[..., 1, 1].real
        self.auto = np.sqrt(power)


def _density(
    coefs: FloatArray, cov: FloatArray, freqs: FloatArray, fs: float
) -> NDArray[np.complex128]:
    """``H cov H^H`` of many bivariate models, (n_freqs, n_models, 2, 2)."""
    lags = np.arange(1, coefs.shape[-3] + 1)
    wave = np.exp(-2j * np.pi * np.outer(freqs, lags) / fs)
    a = np.eye(2) - np.einsum("fk,wkij->fwij", wave, coefs)
    h = np.linalg.inv(a)
    return np.asarray(h @ cov @ h.conj().swapaxes(-1, -2))


def burg_sums(
    trials: Sequence[AnyArray], fs: float, freqs: NDArray[np.float64], order: int, n: int, step: int
) -> PairSums:
    """Sum of the model spectra of all pairs over the windows of ``trials``.

    Parameters
    ----------
    trials : sequence of array, shape (n_chans, n_times)
        Trials; windows do not cross them.
    fs : float
        Sampling rate in Hz.
    freqs : array, shape (n_freqs,)
        Frequencies in Hz.
    order : int
        Order of the models.
    n, step : int
        Samples of a window and from one to the next.

    Returns
    -------
    PairSums
        Packed pairs i < j.
    """
    n_chans = trials[0].shape[0]
    rows, columns = np.triu_indices(n_chans, 1)
    total = np.zeros((len(freqs), len(rows), 2, 2), np.complex128)
    block = max(1, _BLOCK // (2 * n + 8 * len(freqs)))
    count = 0
    for trial in trials:
        for start in range(0, trial.shape[1] - n + 1, step):
            window = np.asarray(trial[:, start : start + n], np.float64)
            window = window - window.mean(axis=1, keepdims=True)
            for at in range(0, len(rows), block):
                part = slice(at, at + block)
                pairs = np.stack([window[rows[part]], window[columns[part]]], axis=1)
                total[:, part] += _density(*multichannel_burg(pairs, order), freqs, fs)
            count += 1
    return PairSums(total, count)
