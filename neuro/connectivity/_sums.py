"""Running sums from which every spectral measure is computed.

One pass over the windows serves all measures asked for. Sums are kept for the
pairs i < j only, packed row by row, and windows enter in blocks, so memory grows
with pairs x frequencies and not with trials. Every sum is weighted by w (1 offline,
a decaying weight in streams): ``n = sum w``, ``n2 = sum w^2``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["STATISTICS", "Statistics", "Sums", "jit", "pack", "unpack"]

Statistics: TypeAlias = frozenset[str]
_Real: TypeAlias = NDArray[np.float64]
_Complex: TypeAlias = NDArray[np.complex128]

STATISTICS = ("csd", "absim", "im2", "sign", "phase")
_DEAD = 1e-13  # an imaginary part below this share of the amplitudes is rounding, thus zero


def _lag_sums(
    zr: Any, zi: Any, absim: Any, im2: Any, sign: Any, want: Any, dead: float
) -> None:  # pragma: no cover - compiled
    """Add |Im S|, (Im S)^2 and sign(Im S) of every window and pair; runs under numba.

    No fused multiply-add is allowed here: it would leave a residue where two
    channels are copies of each other and the imaginary part is exactly zero.
    """
    n_freqs, n_windows, n_tapers, n_chans = zr.shape
    row = np.empty(n_chans)
    amplitude = np.empty(n_chans)
    for f in range(n_freqs):
        for w in range(n_windows):
            for c in range(n_chans):
                power = 0.0
                for k in range(n_tapers):
                    power += zr[f, w, k, c] ** 2 + zi[f, w, k, c] ** 2
                amplitude[c] = dead * np.sqrt(power)
            start = 0
            for i in range(n_chans - 1):
                m = n_chans - 1 - i
                row[:m] = 0.0
                for k in range(n_tapers):
                    a, b = zr[f, w, k, i], zi[f, w, k, i]
                    right_r, right_i = zr[f, w, k, i + 1 :], zi[f, w, k, i + 1 :]
                    for j in range(m):
                        row[j] += b * right_r[j] - a * right_i[j]
                limit = amplitude[i] / dead
                tail = amplitude[i + 1 :]
                for j in range(m):
                    row[j] = row[j] if abs(row[j]) > limit * tail[j] else 0.0
                if want[0]:
                    out = absim[f, start : start + m]
                    for j in range(m):
                        out[j] += abs(row[j])
                if want[1]:
                    out = im2[f, start : start + m]
                    for j in range(m):
                        out[j] += row[j] * row[j]
                if want[2]:
                    out = sign[f, start : start + m]
                    for j in range(m):
                        out[j] += (1.0 if row[j] > 0 else 0.0) - (1.0 if row[j] < 0 else 0.0)
                start += m


def _phase_sums(zr: Any, zi: Any, real: Any, imag: Any) -> None:  # pragma: no cover - compiled
    """Add S / |S| of every window and pair, S summed over tapers; runs under numba."""
    n_freqs, n_windows, n_tapers, n_chans = zr.shape
    re, im = np.empty(n_chans), np.empty(n_chans)
    for f in range(n_freqs):
        for w in range(n_windows):
            start = 0
            for i in range(n_chans - 1):
                m = n_chans - 1 - i
                re[:m] = 0.0
                im[:m] = 0.0
                for k in range(n_tapers):
                    a, b = zr[f, w, k, i], zi[f, w, k, i]
                    right_r, right_i = zr[f, w, k, i + 1 :], zi[f, w, k, i + 1 :]
                    for j in range(m):
                        re[j] += a * right_r[j] + b * right_i[j]
                        im[j] += b * right_r[j] - a * right_i[j]
                out_r, out_i = real[f, start : start + m], imag[f, start : start + m]
                for j in range(m):
                    size = np.sqrt(re[j] * re[j] + im[j] * im[j])
                    size = 1.0 / size if size > 0.0 else 0.0
                    out_r[j] += re[j] * size
                    out_i[j] += im[j] * size
                start += m


@lru_cache(maxsize=2)
def _compiled(name: str) -> Callable[..., None]:
    """The kernel in machine code."""
    kernels: dict[str, Callable[..., None]] = {"lag": _lag_sums, "phase": _phase_sums}
    return jit(kernels[name])


def jit(kernel: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop: single-threaded, without the GIL, cached on disk where that is possible."""
    import numba

    options = {"nogil": True, "error_model": "numpy"}
    try:
        compiled = numba.njit(cache=True, **options)(kernel)
    except RuntimeError:  # nowhere to write to
        compiled = numba.njit(**options)(kernel)
    return cast(Callable[..., None], compiled)


def pack(full: Any) -> Any:
    """Entries i < j of the last two axes, row by row; numpy or torch."""
    rows, columns = np.triu_indices(full.shape[-1], 1)
    return full[..., rows, columns]


def unpack(packed: _Real, n_chans: int, symmetry: str, diagonal: float) -> _Real:
    """Full matrices from packed entries, with the other half as ``symmetry`` says."""
    out = np.full((*packed.shape[:-1], n_chans, n_chans), diagonal)
    rows, columns = np.triu_indices(n_chans, 1)
    out[..., rows, columns] = packed
    mirrored = {"symmetric": packed, "antisymmetric": -packed, "complement": 1 - packed}[symmetry]
    out[..., columns, rows] = mirrored
    return out


@dataclass
class Sums:
    """Weighted sums over windows, packed as (n_freqs, n_pairs).

    Parameters
    ----------
    n_freqs, n_chans : int
        Sizes.
    wanted : frozenset of str
        Which of :data:`STATISTICS` to keep.
    """

    n_freqs: int
    n_chans: int
    wanted: Statistics
    n: float = 0.0
    n2: float = 0.0
    csd: Any = field(init=False)
    absim: Any = field(init=False)
    im2: Any = field(init=False)
    sign: Any = field(init=False)
    phase_re: Any = field(init=False)
    phase_im: Any = field(init=False)

    def __post_init__(self) -> None:
        pairs = self.n_chans * (self.n_chans - 1) // 2
        full = (self.n_freqs, self.n_chans, self.n_chans)
        self.csd = np.zeros(full if "csd" in self.wanted else (0, 0, 0), np.complex128)
        for name in ("absim", "im2", "sign", "phase_re", "phase_im"):
            used = name.split("_")[0] in self.wanted
            setattr(self, name, np.zeros((self.n_freqs, pairs) if used else (0, 0)))

    def decay(self, keep: float) -> None:
        """Multiply the weight of everything seen so far by ``keep``."""
        self.n, self.n2 = self.n * keep, self.n2 * keep**2
        for name in ("csd", "absim", "sign", "phase_re", "phase_im"):
            getattr(self, name)[...] *= keep
        self.im2 *= keep**2

    def add(self, z: _Complex) -> None:
        """Add windows, each with weight 1.

        Parameters
        ----------
        z : complex128 array, shape (n_windows, n_chans, n_tapers, n_freqs)
            Spectra as :meth:`neuro.signal.cross.Tapering.spectra` returns them.
        """
        self.n += len(z)
        self.n2 += len(z)
        if "csd" in self.wanted:
            _add_outer(self.csd, z)
        if "phase" in self.wanted and z.shape[2] == 1:
            size = np.abs(z)
            unit = z / (size + (size == 0))  # with one taper the phasors factor: a matrix product
            full = np.zeros((self.n_freqs, self.n_chans, self.n_chans), np.complex128)
            product = pack(_add_outer(full, unit))
            self.phase_re += product.real
            self.phase_im += product.imag
        lag = {"absim", "im2", "sign"} & self.wanted
        by_pair = "phase" in self.wanted and z.shape[2] > 1
        if not (lag or by_pair):
            return
        ordered = z.transpose(3, 0, 2, 1)
        zr, zi = np.ascontiguousarray(ordered.real), np.ascontiguousarray(ordered.imag)
        if by_pair:
            _compiled("phase")(zr, zi, self.phase_re, self.phase_im)
        if lag:
            want = np.array([name in lag for name in ("absim", "im2", "sign")])
            _compiled("lag")(zr, zi, self.absim, self.im2, self.sign, want, _DEAD)

    @property
    def cross(self) -> Any:
        """Summed cross-spectrum of the pairs, complex, packed."""
        return pack(self.csd)

    @property
    def auto(self) -> Any:
        """``sqrt(sum |X_i|^2 sum |X_j|^2)`` of the pairs; 1 where a channel has no power."""
        power = np.diagonal(self.csd, axis1=-2, axis2=-1).real
        rows, columns = np.triu_indices(self.n_chans, 1)
        out = np.sqrt(power[..., rows] * power[..., columns])
        return out + (out == 0)


def _add_outer(total: _Complex, z: _Complex) -> _Complex:
    """Add ``sum Z_i conj(Z_j)`` over windows and tapers to (n_freqs, n_chans, n_chans)."""
    flat = z.transpose(3, 1, 0, 2).reshape(z.shape[3], z.shape[1], -1)
    for out, rows in zip(total, flat, strict=True):  # one at a time: no second copy of the sums
        out += rows @ rows.conj().T
    return total
