"""What is done to recordings before they are cut: montage, rate, filters, channels."""

from collections.abc import Mapping, Sequence
from typing import Any

from neuro.data import InputContract, Recording, Regular, bipolar, by_channel
from neuro.errors import ConfigError, did_you_mean

__all__ = ["PREPARATIONS", "check_preparation", "prepared"]

# fields of InputContract that a user may set here, and two steps beside them
PREPARATIONS = (
    "montage",
    "sfreq",
    "unit",
    "ch_names",
    "highpass",
    "lowpass",
    "reference",
    "scaling",
    "missing",
    "gaps",
    "by_channel",
)


def check_preparation(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping, with names checked and channels as a tuple.

    Raises
    ------
    ConfigError
        If a name is unknown.
    """
    for name in wanted:
        if name not in PREPARATIONS:
            raise ConfigError(
                f"Nothing is prepared by {name!r}. {did_you_mean(str(name), PREPARATIONS)}"
            )
    out = dict(wanted)
    names = out.get("ch_names")
    if isinstance(names, str):
        out["ch_names"] = tuple(part.strip() for part in names.split(","))
    if not isinstance(out.get("by_channel", False), bool):
        raise ConfigError(f"by_channel={out['by_channel']!r}: use true or false.")
    return out


def prepared(
    recordings: Sequence[Recording], stream: str, wanted: Mapping[str, Any]
) -> list[Recording]:
    """Bring recordings to one contract, and take channels apart if asked to.

    Parameters
    ----------
    recordings : sequence of Recording
        As read.
    stream : str
        Which stream.
    wanted : mapping
        ``montage`` (see :func:`neuro.data.bipolar`), fields of
        :class:`neuro.data.InputContract`, ``by_channel`` (see
        :func:`neuro.data.by_channel`), done in this order. The contract is
        noted in the recordings, so that a model trained on them asks for the
        same.

    Returns
    -------
    list of Recording
    """
    wanted = check_preparation(wanted)
    alone, montage = wanted.pop("by_channel", False), wanted.pop("montage", None)
    out = list(recordings)
    if montage is not None:
        out = [bipolar(rec, montage, stream=stream) for rec in out]
    if wanted:
        out = [_contract(rec, stream, wanted).conform(rec, stream) for rec in out]
    return by_channel(out, stream=stream) if alone else out


def _contract(rec: Recording, stream: str, wanted: Mapping[str, Any]) -> InputContract:
    signal = rec.stream(stream)
    if not isinstance(signal, Regular):
        raise ConfigError(f"Stream {stream!r} is not sampled: nothing can be prepared but bin_s.")
    # a scaling removes the unit: recordings in unlike units then meet
    unit = "z" if wanted.get("scaling", "none") != "none" else signal.unit
    given = {"modality": signal.modality, "sfreq": signal.rate, "unit": unit}
    return InputContract(**{**given, **wanted})
