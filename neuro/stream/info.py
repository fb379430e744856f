"""What a stream of samples is, in words that both ends check."""

from dataclasses import dataclass
from fractions import Fraction

from neuro.data.rates import exact_rate
from neuro.data.units import unit_name

__all__ = ["StreamInfo"]


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
