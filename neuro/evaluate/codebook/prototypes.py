"""What codes look like, and how much of each band they keep; summed batch by batch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.data import Windows
from neuro.evaluate.codebook.reading import TokenGrid, on_device
from neuro.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Batch

__all__ = ["BANDS", "BandError", "BandSums", "Prototypes", "StretchSums", "examples_of"]

BANDS = {"delta": (0.5, 4.0), "theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (13.0, 30.0),
         "gamma": (30.0, 100.0)}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Averages of the raw stretches behind some codes.

    Parameters
    ----------
    codes, counts : ndarray of int, shape (n,)
        Code numbers, and how many stretches of each were averaged.
    waveform : ndarray, shape (n, n_times)
        Mean of the stretches, each less its own mean, in the unit of the data;
        what is not locked to the token's beginning averages out.
    example : ndarray, shape (n, n_times)
        One stretch, whose spectrum is nearest to the mean spectrum.
    spectrum : ndarray, shape (n, n_freqs)
        Mean power spectral density, unit**2 / Hz.
    freqs : ndarray, shape (n_freqs,)
        Hz.
    sfreq : float
        Hz, of the waveforms.
    unit : str
        Of the waveforms.
    """

    codes: IntArray
    counts: IntArray
    waveform: FloatArray
    example: FloatArray
    spectrum: FloatArray
    freqs: FloatArray
    sfreq: float
    unit: str

    def peak_hz(self) -> FloatArray:
        """Frequency at which each code's spectrum stands out most above 1/f, Hz."""
        above = self.freqs >= 1.0
        return np.asarray(self.freqs[above][(self.spectrum * self.freqs)[:, above].argmax(axis=1)])


class StretchSums:
    """Running sums of raw stretches by code; memory does not grow with the data.

    Parameters
    ----------
    n_codes : int
        Size of the vocabulary.
    n_times : int
        Samples of a token.
    sfreq : float
        Hz.
    keep : int
        About how many single log spectra are kept at random, for the yardstick.
    expected : int
        Tokens that will be added.
    rng : Generator
        Decides which.
    """

    def __init__(
        self,
        n_codes: int,
        n_times: int,
        sfreq: float,
        *,
        keep: int,
        expected: int,
        rng: np.random.Generator,
    ) -> None:
        self.n_times, self.sfreq = n_times, sfreq
        self.freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
        self.count = np.zeros(n_codes, dtype=np.int64)
        self.wave = np.zeros((n_codes, n_times))
        self.power = np.zeros((n_codes, len(self.freqs)))
        self.share = min(1.0, keep / max(1, expected))
        self.rng = rng
        self.kept: list[FloatArray] = []
        self.kept_at: list[BoolArray] = []

    def add(self, x: FloatArray, grid: TokenGrid) -> None:
        """Add the stretches of a batch, `x` of shape (batch, channel, time)."""
        from scipy import sparse

        pieces = cut_stretches(x, grid.start_s, self.n_times, self.sfreq)
        ids = grid.ids
        chosen = (ids >= 0) & (self.rng.random(ids.shape) < self.share)
        flat, known = ids.reshape(-1), ids.reshape(-1) >= 0
        stretch = pieces.reshape(-1, self.n_times)
        self.kept.append(log_spectra(stretch[chosen.reshape(-1)]))
        self.kept_at.append(chosen)
        n = int(known.sum())
        if not n:
            return
        member = sparse.csr_matrix(
            (np.ones(n), (flat[known], np.arange(n))), shape=(len(self.count), n)
        )
        self.count += np.bincount(flat[known], minlength=len(self.count))
        self.wave += member @ _centred(stretch[known])
        self.power += member @ density(stretch[known], self.sfreq)

    def prototypes(
        self, windows: Windows, grid: TokenGrid, codes: IntArray, seed: int
    ) -> Prototypes:
        """Means of some codes that occur, and an example of each."""
        n = self.count[codes][:, None]
        spectrum = self.power[codes] / n
        return Prototypes(
            codes,
            self.count[codes],
            self.wave[codes] / n,
            examples_of(windows, grid, codes, spectrum, self.n_times, seed),
            spectrum,
            self.freqs,
            self.sfreq,
            windows.unit,
        )


def cut_stretches(x: FloatArray, start_s: FloatArray, n_times: int, sfreq: float) -> FloatArray:
    """Raw stretch of every token, (batch, channel, token, time).

    What a token covers beyond the window's end repeats the last sample.
    """
    start = np.round(start_s * sfreq).astype(np.int64)
    beyond = max(0, int(start.max(initial=0)) + n_times - x.shape[-1])
    padded = np.pad(x, ((0, 0), (0, 0), (0, beyond)), mode="edge")
    view = np.lib.stride_tricks.sliding_window_view(padded, n_times, axis=-1)
    return np.asarray(view[:, :, start], dtype=np.float64)


def _centred(stretch: FloatArray) -> FloatArray:
    return np.asarray(stretch - stretch.mean(axis=-1, keepdims=True))


def log_spectra(stretch: FloatArray) -> FloatArray:
    """log(1 + amplitude) of the discrete Fourier transform without its mean, (n, n_freqs - 1)."""
    return np.log1p(np.abs(np.fft.rfft(stretch, axis=-1))[..., 1:]).astype(np.float32)


def density(stretch: FloatArray, sfreq: float) -> FloatArray:
    """Power spectral density under a Hann window, unit**2 / Hz."""
    from scipy.signal import periodogram

    return np.asarray(periodogram(stretch, sfreq, window="hann", axis=-1)[1])


def examples_of(
    windows: Windows,
    grid: TokenGrid,
    codes: IntArray,
    spectrum: FloatArray,
    n_times: int,
    seed: int,
    tries: int = 20,
) -> FloatArray:
    """For each code, of some occurrences drawn, the one nearest to its mean spectrum.

    Parameters
    ----------
    windows : Windows
        That were tokenized.
    grid : TokenGrid
        Their codes.
    codes : ndarray of int, shape (n,)
        Whose examples are wanted.
    spectrum : ndarray, shape (n, n_freqs)
        Mean spectrum of each.
    n_times : int
        Samples of a token.
    seed, tries : int
        Occurrences drawn and looked at.

    Returns
    -------
    ndarray, shape (n, n_times)
    """
    rng = np.random.default_rng(seed)
    out = np.zeros((len(codes), n_times))
    for i, code in enumerate(codes.tolist()):
        where = np.argwhere(grid.ids == code)
        where = where[rng.permutation(len(where))[:tries]]
        x = windows.batch(where[:, 0]).x.numpy()
        one = x[np.arange(len(where)), where[:, 1]][:, None]
        pieces = cut_stretches(one, grid.start_s, n_times, windows.sfreq)[:, 0]
        stretch = pieces[np.arange(len(where)), where[:, 2]]
        away = np.log1p(density(stretch, windows.sfreq)) - np.log1p(spectrum[i])
        out[i] = _centred(stretch[(away**2).sum(axis=1).argmin()])
    return out


# ---- what the codes keep ----------------------------------------------------------


@dataclass(frozen=True)
class BandError:
    """How much of a band's spectrum the codes lose.

    Parameters
    ----------
    band : str
        delta, theta, alpha, beta or gamma.
    label : str
        Tokens of this stretch label only; ``""`` for all.
    error : float
        Root of the summed squared error over the summed squared truth, in the
        model's own scale; 0 is perfect.
    r2 : float
        Share of the variance around each frequency's mean that is kept; at or
        below 0 nothing is.
    """

    band: str
    label: str
    error: float
    r2: float


class BandSums:
    """Running sums of truth and error by frequency and label.

    Parameters
    ----------
    n_labels : int
        Stretch labels; tokens without one only count for all.
    """

    def __init__(self, n_labels: int) -> None:
        self.n_labels = n_labels
        self.freqs: FloatArray | None = None
        self.sums: FloatArray | None = None  # (label or all, 4, freq)

    def add(self, model: Any, batch: "Batch", ids: IntArray, label: IntArray | None) -> None:
        """Add what ``model.token_spectra`` says of a batch."""
        spectra = model.token_spectra(on_device(model, batch))
        truth = np.moveaxis(spectra.truth.double().cpu().numpy(), 2, -1)
        decoded = np.moveaxis(spectra.decoded.double().cpu().numpy(), 2, -1)
        if self.sums is None:
            self.freqs = spectra.freqs.double().cpu().numpy()
            self.sums = np.zeros((self.n_labels + 1, 4, truth.shape[-1]))
        known = ids >= 0
        self._add(self.n_labels, truth[known], decoded[known])
        if label is not None:
            for k in range(self.n_labels):
                at = known & (label == k)
                self._add(k, truth[at], decoded[at])

    def _add(self, row: int, truth: FloatArray, decoded: FloatArray) -> None:
        assert self.sums is not None
        wrong = ((decoded - truth) ** 2).sum(axis=0)
        n = np.full(truth.shape[-1], len(truth))
        self.sums[row] += np.stack([wrong, (truth**2).sum(axis=0), truth.sum(axis=0), n])

    def errors(self, names: tuple[str, ...]) -> tuple[BandError, ...]:
        """Error of each band the spectra cover, over all tokens and by label."""
        if self.sums is None or self.freqs is None:
            return ()
        out = []
        for row, label in [(self.n_labels, ""), *enumerate(names)]:
            wrong, square, total, n = self.sums[row]
            if not n[0]:
                continue
            around = square - total**2 / n
            for band, (low, high) in BANDS.items():
                at = (self.freqs >= low) & (self.freqs < high)
                if at.any() and square[at].sum() > 0:
                    error = float(np.sqrt(wrong[at].sum() / square[at].sum()))
                    spread = around[at].sum()
                    r2 = 1 - wrong[at].sum() / spread if spread > 0 else float("nan")
                    out.append(BandError(band, label, error, float(r2)))
        return tuple(out)
