"""What a stream of samples is, in words that both ends check."""

from dataclasses import dataclass
from fractions import Fraction

from neuro.data.rates import exact_rate
from neuro.data.units import unit_name

__all__ = ["CLOCK_ERROR", "StreamInfo", "nominal_rate"]

CLOCK_ERROR = Fraction(1, 1000)
"""Rates that differ by less are one rate on two clocks: samples are counted, not timed."""


@dataclass(frozen=True)
class StreamInfo:
    """What a source says about its samples.

    Parameters
    ----------
    ch_names : tuple of str
        Channels of every chunk, in order.
    sfreq : Fraction
        Rate in Hz.
    unit : str
        Unit of the samples.
    name, source_id : str
        Of the stream, for messages and status.
    """

    ch_names: tuple[str, ...]
    sfreq: Fraction
    unit: str
    name: str = ""
    source_id: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ch_names", tuple(self.ch_names))
        object.__setattr__(self, "sfreq", exact_rate(self.sfreq))
        object.__setattr__(self, "unit", unit_name(self.unit))


def nominal_rate(measured: Fraction) -> Fraction:
    """The round rate that an amplifier of this measured rate was set to.

    Parameters
    ----------
    measured : Fraction
        Hz, on the clock of the recording.

    Returns
    -------
    Fraction
        The nearest whole number, or else tenth, that a clock's error explains; the
        same rate if none does.

    Examples
    --------
    >>> nominal_rate(Fraction(10001, 40)), nominal_rate(Fraction(5, 7))
    (Fraction(250, 1), Fraction(5, 7))
    """
    for near in (Fraction(round(measured)), Fraction(round(10 * measured), 10)):
        if near > 0 and abs(measured / near - 1) <= CLOCK_ERROR / 2:
            return near
    return measured
