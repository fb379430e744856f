"""Whether the amplitude of a stream is what its unit says."""

import numpy as np

from neuro.data.streams import Regular
from neuro.data.units import canonical_unit, comparable, conversion_factor
from neuro.errors import UnitError

__all__ = ["check_plausible", "typical_sd"]

# Median standard deviation within 2 s, in the canonical unit, that a real
# recording of the modality can have.
_PLAUSIBLE_SD = {
    "eeg": (0.5, 500.0),
    "ieeg": (0.5, 5000.0),
    "lfp": (0.5, 5000.0),
    "meg": (5.0, 100_000.0),
}


def check_plausible(stream: Regular) -> None:
    """Refuse a stream whose amplitude cannot be what its unit says.

    The median over good channels and 2 s stretches of the standard deviation
    is compared, in the modality's canonical unit, with the range real
    recordings have. Streams in an arbitrary unit pass.

    Parameters
    ----------
    stream : Regular
        The stream to look at; at most 40 stretches are read.

    Raises
    ------
    UnitError
        Naming the measured value, the range and the likely true unit.
    """
    bounds, unit = _PLAUSIBLE_SD.get(stream.modality), canonical_unit(stream.modality)
    if bounds is None or unit is None or stream.n_times < 2:
        return
    if not comparable(stream.unit, unit):
        return
    sd = typical_sd(stream)
    if sd is None:
        return
    sd *= conversion_factor(stream.unit, unit)
    low, high = bounds
    if low <= sd <= high:
        return
    guess = ""
    for label, factor in (("V", 1e6), ("mV", 1e3), ("nV", 1e-3), ("uV", 1e-6)):
        if stream.unit == unit and stream.modality != "meg" and low <= sd * factor <= high:
            as_read = "microvolts that were read as volts" if label == "uV" else f"{label}"
            guess = f" The numbers look like {as_read}: read the file with unit='{label}'."
            break
    raise UnitError(
        f"{stream.modality} stream labelled {stream.unit} has a typical standard deviation of "
        f"{sd:.3g} {unit}; real recordings have {low:g} to {high:g}.{guess} "
        "If the amplitude is right, pass check=False."
    )


def typical_sd(stream: Regular) -> float | None:
    """Median standard deviation of good channels within 2 s, in the stream's unit.

    Parameters
    ----------
    stream : Regular
        The stream to look at; at most 40 stretches inside segments are read.

    Returns
    -------
    float or None
        None if nothing varies or no channel is good.
    """
    width = max(2, int(2 * stream.sfreq))
    pieces = [
        (start, min(start + width, b))
        for a, b in stream.segments.tolist()
        for start in range(a, max(a + 1, b - width + 1), width)
    ]
    good = np.flatnonzero(~stream.axis.bad)
    if not len(good):
        return None
    picked = np.unique(np.linspace(0, len(pieces) - 1, 40).astype(int))
    sds = []
    for i in picked.tolist():
        x = stream.read(*pieces[i])[good].astype(np.float64)
        n = np.isfinite(x).sum(axis=1)
        x = x[n > 1]
        if len(x):
            sds.append(np.nanstd(x, axis=1))
    if not sds:
        return None
    flat = np.concatenate(sds)
    # flat stretches (unplugged channels, zero padding) say nothing about the unit
    flat = flat[flat > 0]
    return float(np.median(flat)) if len(flat) else None
