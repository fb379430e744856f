"""Frequency ranges and bands, checked once for all measures."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray

__all__ = ["Bands", "Groups", "band_groups", "check_bands", "frequency_range"]

Bands: TypeAlias = Mapping[str, tuple[float, float]]
Groups: TypeAlias = tuple[tuple[str, NDArray[np.int64]], ...]
_SLACK = 1e-9  # 8 Hz as 32 * 0.25 must count as 8 Hz


def check_bands(bands: Bands, sfreq: float) -> None:
    """Refuse bands that are empty, upside down or above the Nyquist frequency."""
    if not bands:
        raise ConfigError("bands is empty: name at least one (low, high) in Hz.")
    for name, (low, high) in bands.items():
        if not 0 <= low < high:
            raise ConfigError(f"Band {name!r} is ({low}, {high}); it needs 0 <= low < high.")
        if high > sfreq / 2:
            raise DataError(
                f"Band {name!r} ends at {high:g} Hz, above the Nyquist frequency {sfreq / 2:g} Hz."
            )


def frequency_range(
    bands: Bands | None, fmin: float | None, fmax: float | None, sfreq: float, lowest: float
) -> tuple[float, float]:
    """Frequencies to compute: those of the bands, of the range, or all from ``lowest``."""
    if bands is None:
        return (lowest if fmin is None else fmin), (sfreq / 2 if fmax is None else fmax)
    if fmin is not None or fmax is not None:
        raise ConfigError("Give bands= or fmin=/fmax=, not both.")
    check_bands(bands, sfreq)
    return min(b[0] for b in bands.values()), max(b[1] for b in bands.values())


def band_groups(bands: Bands | None, freqs: AnyArray, resolution_hz: float, remedy: str) -> Groups:
    """Bins of each half-open band; a band must be as wide as the resolution and hold one."""
    found = []
    for name, (low, high) in (bands or {}).items():
        bins = np.flatnonzero((freqs >= low - _SLACK) & (freqs < high - _SLACK))
        if high - low < resolution_hz * (1 - 1e-9) or not len(bins):
            raise DataError(
                f"Band {name!r} is {high - low:g} Hz wide, but {resolution_hz:g} Hz is the finest "
                f"that is resolved. {remedy}"
            )
        found.append((name, bins))
    return tuple(found)
