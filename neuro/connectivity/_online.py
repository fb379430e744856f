"""One pass over all pairs of one window: decay, add, and read the measures.

Compiled, because a stream has about a millisecond a hop; the formulas are those of
:mod:`neuro.connectivity.spectral`, and a test holds the two together.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from neuro.connectivity._sums import jit

__all__ = ["CODES", "STATES", "compiled_step"]

CODES = (
    "coherence",
    "squared_coherence",
    "imaginary_coherence",
    "plv",
    "ciplv",
    "ppc",
    "pli",
    "unbiased_pli",
    "dpli",
    "wpli",
    "debiased_wpli",
)
"""Measures by their number in the compiled loop."""

STATES = ("re", "im", "absim", "im2", "sign", "phase_re", "phase_im")
"""Rows of the state: weighted sums over windows."""

_DEAD = 1e-13  # as offline: an imaginary part below this share of the amplitudes is rounding


def _step(
    zr: Any, zi: Any, keep: float, n: float, n2: float, power: Any, state: Any, codes: Any,
    out: Any, strength: Any, phase: bool, dead: float,
) -> None:  # pragma: no cover - compiled  # fmt: skip
    """Add one window (weight 1) to sums that first decay by ``keep``; fill measures.

    ``zr``, ``zi``: (n_freqs, n_tapers, n_chans); ``power``: (n_freqs, n_chans);
    ``state``: (len(STATES), n_freqs, n_pairs); ``out``: (n_codes, n_freqs, n_pairs);
    ``strength``: (n_codes, n_freqs, n_chans); ``n``, ``n2``: sums of weights and of
    squared weights, this window included.
    """
    n_freqs, n_tapers, n_chans = zr.shape
    re, im, root = np.empty(n_chans), np.empty(n_chans), np.empty(n_chans)
    size, value = np.empty(n_chans), np.empty(n_chans)
    strength[:] = 0.0
    rest = n * n - n2
    rest = 1.0 / rest if rest > 0.0 else 0.0
    for f in range(n_freqs):
        for c in range(n_chans):
            total = 0.0
            for k in range(n_tapers):
                total += zr[f, k, c] ** 2 + zi[f, k, c] ** 2
            size[c] = np.sqrt(total)
            power[f, c] = keep * power[f, c] + total
            root[c] = np.sqrt(power[f, c])
        start = 0
        for i in range(n_chans - 1):
            m = n_chans - 1 - i
            stop = start + m
            re[:m] = 0.0
            im[:m] = 0.0
            for k in range(n_tapers):
                a, b = zr[f, k, i], zi[f, k, i]
                right_r, right_i = zr[f, k, i + 1 :], zi[f, k, i + 1 :]
                for j in range(m):
                    re[j] += a * right_r[j] + b * right_i[j]
                    im[j] += b * right_r[j] - a * right_i[j]
            limit, tail = dead * size[i], size[i + 1 :]
            s_re, s_im = state[0, f, start:stop], state[1, f, start:stop]
            s_abs, s_sq = state[2, f, start:stop], state[3, f, start:stop]
            s_sign = state[4, f, start:stop]
            p_re, p_im = state[5, f, start:stop], state[6, f, start:stop]
            for j in range(m):
                v = im[j] if abs(im[j]) > limit * tail[j] else 0.0
                s_re[j] = keep * s_re[j] + re[j]
                s_im[j] = keep * s_im[j] + im[j]
                s_abs[j] = keep * s_abs[j] + abs(v)
                s_sq[j] = keep * keep * s_sq[j] + v * v
                s_sign[j] = keep * s_sign[j] + (1.0 if v > 0 else 0.0) - (1.0 if v < 0 else 0.0)
            if phase:
                for j in range(m):
                    length = np.sqrt(re[j] * re[j] + im[j] * im[j])
                    length = 1.0 / length if length > 0.0 else 0.0
                    p_re[j] = keep * p_re[j] + re[j] * length
                    p_im[j] = keep * p_im[j] + im[j] * length
            for q in range(len(codes)):
                code = codes[q]
                if code <= 2:
                    for j in range(m):
                        scale = root[i] * root[i + 1 + j]
                        scale = 1.0 / scale if scale > 0.0 else 0.0
                        if code == 2:
                            value[j] = s_im[j] * scale
                        else:
                            c2 = np.sqrt(s_re[j] * s_re[j] + s_im[j] * s_im[j]) * scale
                            c2 = c2 if c2 < 1.0 else 1.0
                            value[j] = c2 if code == 0 else c2 * c2
                elif code == 3:
                    for j in range(m):
                        value[j] = np.sqrt(p_re[j] * p_re[j] + p_im[j] * p_im[j]) / n
                elif code == 4:
                    for j in range(m):
                        r = p_re[j] / n
                        r = 1.0 - r * r
                        r = np.sqrt(r) if r > 0.0 else 1.0
                        v = abs(p_im[j]) / n / r
                        value[j] = v if v < 1.0 else 1.0
                elif code == 5:
                    for j in range(m):
                        value[j] = (p_re[j] * p_re[j] + p_im[j] * p_im[j] - n2) * rest
                elif code == 6:
                    for j in range(m):
                        value[j] = abs(s_sign[j]) / n
                elif code == 7:
                    for j in range(m):
                        value[j] = (s_sign[j] * s_sign[j] - n2) * rest
                elif code == 8:
                    for j in range(m):
                        value[j] = 0.5 + s_sign[j] / (2.0 * n)
                elif code == 9:
                    for j in range(m):
                        v = abs(s_im[j]) / s_abs[j] if s_abs[j] > 0.0 else 0.0
                        value[j] = v if v < 1.0 else 1.0
                else:
                    for j in range(m):
                        w = s_abs[j] * s_abs[j] - s_sq[j]
                        v = (s_im[j] * s_im[j] - s_sq[j]) / w if w > 0.0 else 0.0
                        value[j] = v if v < 1.0 else 1.0
                row = out[q, f, start:stop]
                own, others = 0.0, strength[q, f, i + 1 :]
                for j in range(m):
                    row[j] = value[j]
                    v = abs(value[j]) if code == 2 else value[j]
                    own += v
                    others[j] += 1.0 - v if code == 8 else v
                strength[q, f, i] += own
            start = stop


@lru_cache(maxsize=1)
def compiled_step() -> Callable[..., None]:
    """The loop in machine code."""
    step = jit(_step)

    def call(*args: Any) -> None:
        step(*args, _DEAD)

    return call
