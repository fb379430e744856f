"""Units that may stand on a stream, conversion between them, and plausibility."""

from typing import TYPE_CHECKING

import numpy as np

from neuro.errors import UnitError, did_you_mean

if TYPE_CHECKING:
    from neuro.data.streams import Regular

__all__ = [
    "CANONICAL",
    "canonical_unit",
    "check_plausible",
    "conversion_factor",
    "typical_sd",
    "unit_name",
]

# name -> (dimension, size in the dimension's base unit)
_UNITS: dict[str, tuple[str, float]] = {
    "V": ("voltage", 1.0),
    "mV": ("voltage", 1e-3),
    "uV": ("voltage", 1e-6),
    "nV": ("voltage", 1e-9),
    "T": ("field", 1.0),
    "pT": ("field", 1e-12),
    "fT": ("field", 1e-15),
    "T/m": ("gradient", 1.0),
    "fT/cm": ("gradient", 1e-13),
    "counts": ("count", 1.0),
    "Hz": ("frequency", 1.0),
    "rad": ("angle", 1.0),
    "deg": ("angle", np.pi / 180.0),
    "m": ("length", 1.0),
    "cm": ("length", 1e-2),
    "mm": ("length", 1e-3),
    "m/s": ("speed", 1.0),
    "s": ("time", 1.0),
    "S": ("conductance", 1.0),
    "uS": ("conductance", 1e-6),
    "degC": ("temperature", 1.0),
    # declared scales that nothing converts to
    "au": ("au", 1.0),
    "percent": ("percent", 1.0),
    "z": ("z", 1.0),
    "dF/F": ("dF/F", 1.0),
    "bool": ("bool", 1.0),
}
_ALIASES = {
    "µV": "uV",
    "μV": "uV",
    "microvolt": "uV",
    "microvolts": "uV",
    "volt": "V",
    "volts": "V",
    "millivolts": "mV",
    "count": "counts",
    "%": "percent",
    "a.u.": "au",
    "a.u": "au",
    "n/a": "au",
    "arbitrary": "au",
    "radians": "rad",
    "degrees": "deg",
    "meters": "m",
    "metres": "m",
    "seconds": "s",
}
CANONICAL = {
    "eeg": "uV",
    "ieeg": "uV",
    "lfp": "uV",
    "meg": "fT",
    "spikes": "counts",
}

# Median standard deviation within 2 s, in the canonical unit, that a real
# recording of the modality can have.
_PLAUSIBLE_SD = {
    "eeg": (0.5, 500.0),
    "ieeg": (0.5, 5000.0),
    "lfp": (0.5, 5000.0),
    "meg": (5.0, 100_000.0),
}


def unit_name(unit: str) -> str:
    """Canonical spelling of a unit.

    Parameters
    ----------
    unit : str
        A unit, possibly in another spelling (``"µV"``, ``"volts"``).

    Returns
    -------
    str
        The spelling used throughout.

    Raises
    ------
    UnitError
        If the unit is unknown.

    Examples
    --------
    >>> unit_name("µV")
    'uV'
    """
    unit = _ALIASES.get(unit.strip(), unit.strip())
    if unit not in _UNITS:
        raise UnitError(
            f"Unknown unit {unit!r}. {did_you_mean(unit, _UNITS)} Use 'au' for an arbitrary scale."
        )
    return unit


def canonical_unit(modality: str) -> str | None:
    """Unit that streams of a modality are kept in, or None where it is declared.

    Examples
    --------
    >>> canonical_unit("eeg"), canonical_unit("bold")
    ('uV', None)
    """
    return CANONICAL.get(modality)


def conversion_factor(source: str, target: str) -> float:
    """Multiplier that turns values in one unit into another.

    Parameters
    ----------
    source, target : str
        Units of the same dimension.

    Returns
    -------
    float
        ``value_in_target = factor * value_in_source``.

    Raises
    ------
    UnitError
        If the two measure different things (``"au"`` converts to nothing).

    Examples
    --------
    >>> conversion_factor("V", "uV")
    1000000.0
    """
    source, target = unit_name(source), unit_name(target)
    if source == target:
        return 1.0
    (dim_from, size_from), (dim_to, size_to) = _UNITS[source], _UNITS[target]
    if dim_from != dim_to:
        raise UnitError(
            f"Cannot convert {source!r} to {target!r}: one is {dim_from}, the other {dim_to}. "
            "If the file's unit is wrong, state the true one when reading: unit='...'."
        )
    # rounding removes the last-digit noise of 1 / 1e-6
    return float(f"{size_from / size_to:.12g}")


def check_plausible(stream: "Regular") -> None:
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
    if _UNITS[stream.unit][0] != _UNITS[unit][0]:
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


def typical_sd(stream: "Regular") -> float | None:
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
