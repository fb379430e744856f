"""Windows through a tokenizer: grids of code numbers, batch by batch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.data import Windows
from neuro.errors import ConfigError, DataError
from neuro.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Batch

__all__ = ["TokenGrid", "noisy", "read_tokens", "shifted", "tokens_of"]


@dataclass(frozen=True, eq=False)
class TokenGrid:
    """Code numbers of many windows.

    Parameters
    ----------
    ids : ndarray of int, shape (n_windows, n_chans, n_tokens)
        -1 where a channel is absent or nothing valid was there.
    start_s : ndarray, shape (n_tokens,)
        Beginning of each token, seconds from the window's first sample.
    length_s : float
        Seconds that a token covers.
    n_codes : int
        Size of the vocabulary.
    """

    ids: IntArray
    start_s: FloatArray
    length_s: float
    n_codes: int

    @property
    def counts(self) -> IntArray:
        """How often each code occurs, (n_codes,)."""
        return np.bincount(self.ids[self.ids >= 0], minlength=self.n_codes)


def read_tokens(
    model: Any,
    windows: Windows,
    *,
    batch_size: int = 32,
    change: "Callable[[Batch], Batch] | None" = None,
) -> TokenGrid:
    """Tokenize windows in batches.

    Parameters
    ----------
    model : object
        With ``tokenize(batch) -> Tokens``, as eegformer and tfm_tokenizer have.
    windows : Windows
        Of a sampled stream.
    batch_size : int
        Windows a batch.
    change : callable(Batch) -> Batch, optional
        Done to every batch first.

    Returns
    -------
    TokenGrid

    Raises
    ------
    ConfigError
        If the model has no ``tokenize``.
    DataError
        If there is no window, or the code numbers do not fit the windows.

    Examples
    --------
    >>> from neuro import models
    >>> from neuro.data import windows
    >>> from neuro.datasets.synthetic import motifs
    >>> made = motifs(n_subjects=1, duration_s=24, n_chans=2)
    >>> cut = windows(made.recordings, stream="eeg", length_s=6.0)
    >>> read_tokens(models.create("eegformer", "tiny", contract=cut.contract()), cut).ids.shape
    (4, 2, 6)
    """
    parts = []
    for a in range(0, _size(windows), batch_size):
        batch = windows.batch(np.arange(a, min(a + batch_size, len(windows))))
        parts.append(tokens_of(model, batch if change is None else change(batch)))
    return joined(parts)


def _size(windows: Windows) -> int:
    if not len(windows):
        raise DataError("There are no windows to tokenize.")
    return len(windows)


def joined(parts: "list[TokenGrid]") -> TokenGrid:
    """Grids of consecutive windows as one."""
    return replace(parts[0], ids=np.concatenate([p.ids for p in parts]))


def tokens_of(model: Any, batch: "Batch") -> TokenGrid:
    """Tokenize one batch; absent channels get -1.

    Parameters
    ----------
    model : object
        With ``tokenize``.
    batch : Batch
        Windows.

    Returns
    -------
    TokenGrid

    Raises
    ------
    ConfigError
        If the model has no ``tokenize``.
    DataError
        If the code numbers do not fit the batch.
    """
    if not callable(getattr(model, "tokenize", None)):
        raise ConfigError(
            f"{type(model).__name__} has no code book: tokenize(batch) is missing. Use a "
            "tokenizer, e.g. models.create('eegformer')."
        )
    tokens = model.tokenize(on_device(model, batch))
    ids = tokens.ids.cpu().numpy().astype(np.int64)
    start_s = np.asarray(tokens.start_s.cpu(), dtype=np.float64)
    if ids.shape != (*batch.x.shape[:2], len(start_s)):
        raise DataError(
            f"{type(model).__name__}.tokenize returned code numbers of shape {ids.shape} and "
            f"{len(start_s)} starts for a batch of shape {tuple(batch.x.shape)}."
        )
    if ids.size and (ids.max() >= tokens.n_codes or ids.min() < -1):
        raise DataError(
            f"Code numbers run from {ids.min()} to {ids.max()}; -1 to {tokens.n_codes - 1} are "
            "expected."
        )
    ids[~batch.channel_mask.cpu().numpy()] = -1
    return TokenGrid(ids, start_s, float(tokens.length_s), int(tokens.n_codes))


def on_device(model: Any, batch: "Batch") -> "Batch":
    """The batch where the model's weights are."""
    parameters = getattr(model, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    return batch if first is None else batch.to(first.device)


# ---- shaken windows ---------------------------------------------------------------


def shifted(windows: Windows, shift_s: float) -> tuple[Windows, IntArray]:
    """Windows that begin later by some milliseconds.

    Parameters
    ----------
    windows : Windows
        Of a sampled stream.
    shift_s : float
        Seconds, rounded to samples, at least one.

    Returns
    -------
    windows : Windows
        Those that still lie inside their segment.
    rows : ndarray of int
        Their rows in the original.
    """
    shift = max(1, round(shift_s * windows.sfreq))
    stop = windows.stop + shift
    fits = np.zeros(len(windows), dtype=bool)
    for r in np.unique(windows.recording).tolist():
        at = np.flatnonzero(windows.recording == r)
        ends = np.sort(np.asarray(windows.recordings[r].regular(windows.stream).segments)[:, 1])
        # the first segment that ends after a window's first sample is its own
        own = ends[np.searchsorted(ends, windows.start[at], side="right")]
        fits[at] = stop[at] <= own
    rows = np.flatnonzero(fits)
    moved = replace(windows, start=windows.start + shift, stop=stop)
    return moved.select(rows), rows


def noisy(batch: "Batch", snr_db: float, rng: np.random.Generator) -> "Batch":
    """Batch with white noise at a signal-to-noise ratio of every channel and window.

    Parameters
    ----------
    batch : Batch
        Windows.
    snr_db : float
        Ratio of variances in decibels.
    rng : Generator
        Source of the noise.

    Returns
    -------
    Batch
    """
    import torch

    x = batch.x.double()
    noise = torch.from_numpy(rng.standard_normal(tuple(x.shape))).to(x.device)
    sd = x.std(dim=-1, keepdim=True) * 10 ** (-snr_db / 20)
    valid = batch.channel_mask[:, :, None] & batch.time_mask[:, None, :]
    return replace(batch, x=(x + sd * noise * valid).to(batch.x.dtype))
