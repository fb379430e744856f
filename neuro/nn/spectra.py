"""Short-time spectra as a layer sees them: magnitudes of windowed frames."""

import math
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from neuro.errors import ConfigError, DataError, did_you_mean

__all__ = ["WindowKind", "n_frames", "stft_magnitude"]

WindowKind: TypeAlias = Literal["hann", "boxcar"]


def n_frames(n_times: int, n_fft: int, hop: int) -> int:
    """Frames that lie wholly inside a signal.

    Parameters
    ----------
    n_times : int
        Samples of the signal.
    n_fft : int
        Samples of a frame.
    hop : int
        Samples from one frame's start to the next.

    Returns
    -------
    int
        ``1 + (n_times - n_fft) // hop``, 0 where not even one fits.

    Examples
    --------
    >>> [n_frames(n, 200, 100) for n in (1000, 2000, 6000, 199)]
    [9, 19, 59, 0]
    """
    return max(0, 1 + (n_times - n_fft) // hop)


def stft_magnitude(x: Tensor, n_fft: int, hop: int, window: WindowKind = "hann") -> Tensor:
    """Linear magnitude of the short-time Fourier transform.

    Frames start at sample 0 and are neither centred nor padded, so that the
    samples after the last whole frame do not count. Nothing is scaled: a sine
    of amplitude 1 in the middle of a bin gives half the sum of the window,
    ``n_fft / 4`` for "hann" and ``n_fft / 2`` for "boxcar".
    ``torch.stft(center=False)`` has the same convention; ``scipy.signal.stft``
    divides by the sum of the window.

    Parameters
    ----------
    x : Tensor, shape (..., n_times)
        Signals, real.
    n_fft : int
        Samples of a frame and of its transform.
    hop : int
        Samples from one frame's start to the next.
    window : {"hann", "boxcar"}
        Periodic Hann, ``0.5 - 0.5 cos(2 pi n / n_fft)``, or none.

    Returns
    -------
    Tensor, shape (..., n_fft // 2 + 1, n_frames)
        In the unit of `x`; row k is ``k * sfreq / n_fft`` Hz. float32 for
        half-precision input. The slope is 0 where a magnitude is 0.

    Raises
    ------
    ConfigError
        If `n_fft`, `hop` or `window` is not possible.
    DataError
        If the signal is shorter than one frame.

    Examples
    --------
    >>> import torch
    >>> x = torch.sin(2 * torch.pi * 10 * torch.arange(1000) / 200)
    >>> spectrum = stft_magnitude(x, n_fft=200, hop=100)
    >>> tuple(spectrum.shape), round(spectrum[10, 4].item(), 3)
    ((101, 9), 50.0)
    """
    if n_fft < 2 or hop < 1:
        raise ConfigError(
            f"n_fft = {n_fft} and hop = {hop} make no frames; use n_fft >= 2 and hop >= 1."
        )
    if window not in get_args(WindowKind):
        raise ConfigError(
            f"No window is called {window!r}. {did_you_mean(str(window), get_args(WindowKind))}"
        )
    if x.shape[-1] < n_fft:
        raise DataError(
            f"The signal has {x.shape[-1]} samples, less than one frame of {n_fft}; "
            "give a longer one or a smaller n_fft."
        )
    if x.dtype in (torch.float16, torch.bfloat16):  # there is no such transform on the CPU
        x = x.float()
    frames = x.unfold(-1, n_fft, hop)
    if window == "hann":
        frames = frames * _periodic_hann(n_fft, x)
    # The transform of a frame does not depend on how many others are in the
    # call, which a matrix product could not promise.
    magnitude: Tensor = torch.fft.rfft(frames).abs()
    return magnitude.transpose(-1, -2)


def _periodic_hann(n_fft: int, like: Tensor) -> Tensor:
    # made in float64: for float32 it is then torch.hann_window's to the last bit or closer
    phase = torch.arange(n_fft, dtype=torch.float64, device=like.device) * (2 * math.pi / n_fft)
    return (0.5 - 0.5 * phase.cos()).to(like.dtype)
