"""Units that may stand on a stream, and conversion between them."""

import math

from neuro.errors import UnitError, did_you_mean

__all__ = [
    "CANONICAL",
    "canonical_unit",
    "comparable",
    "conversion_factor",
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
    "deg": ("angle", math.pi / 180.0),
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


def comparable(a: str, b: str) -> bool:
    """True if two units measure the same thing.

    Examples
    --------
    >>> comparable("V", "uV"), comparable("V", "fT")
    (True, False)
    """
    return _UNITS[unit_name(a)][0] == _UNITS[unit_name(b)][0]


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
