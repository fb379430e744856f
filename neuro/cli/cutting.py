"""From recordings to windows: which stream, how long, prepared how."""

from collections.abc import Mapping, Sequence
from typing import Any

from neuro.cli.preparing import prepared
from neuro.data import Irregular, Recording, Regular, Windows, pair, windows
from neuro.errors import ConfigError, DataError

__all__ = ["cut", "sampled"]

# Window length where none is given, in seconds: enough for the slowest rhythm
# or the haemodynamic response.
_LENGTH_S = {"eeg": 4.0, "meg": 4.0, "ieeg": 4.0, "lfp": 4.0, "bold": 40.0, "spikes": 1.0}
_BIN_S = 0.05
# of EEG before a volume: covers the delay of the response
_SCANNED_S = 16.0


def cut(
    recordings: Sequence[Recording],
    *,
    stream: str | None = None,
    length_s: float | None = None,
    step_s: float | None = None,
    bin_s: float | None = None,
    prepare: Mapping[str, Any] | None = None,
    **labels: Any,
) -> Windows:
    """Windows of the named stream, or of the only signal there is.

    EEG with BOLD of the same scan and no stream named: windows of EEG, 16 s by
    default, each of which ends at a volume that is its target.

    Parameters
    ----------
    recordings : sequence of Recording
        Not empty.
    stream : str, optional
        Needed where there are several signals.
    length_s, step_s : float, optional
        Of the windows; the modality's usual length if omitted.
    bin_s : float, optional
        Bin width for spikes.
    prepare : mapping, optional
        Rate, filters, channels; see :func:`neuro.cli.preparing.prepared`.
    **labels : object
        Further arguments of :func:`neuro.data.windows`.

    Returns
    -------
    Windows

    Raises
    ------
    DataError
        If the stream must be named, or its modality has no usual length.
    ConfigError
        If bins are asked of a stream that is sampled already.
    """
    fast = _scanned(recordings[0]) if stream is None and not labels else None
    if fast is not None:
        return _before_volumes(recordings, fast, length_s, step_s, bin_s, prepare)
    recordings, name = sampled(recordings, stream=stream, bin_s=bin_s, prepare=prepare)
    first = recordings[0].stream(name)
    if length_s is None and "align" not in labels:
        if first.modality not in _LENGTH_S:
            raise DataError(f"Say how long a window of {first.modality} is: length_s.")
        length_s = _usual_length(recordings, name, _LENGTH_S[first.modality])
    return windows(recordings, stream=name, length_s=length_s, step_s=step_s, **labels)


def _scanned(rec: Recording) -> str | None:
    """Name of the EEG in a recording that holds EEG and BOLD, each once; else None."""
    kinds = [(k, s.modality) for k, s in rec.streams.items() if isinstance(s, Regular)]
    fast = [k for k, modality in kinds if modality == "eeg"]
    slow = [k for k, modality in kinds if modality == "bold"]
    return fast[0] if len(fast) == len(slow) == 1 else None


def _before_volumes(
    recordings: Sequence[Recording],
    name: str,
    length_s: float | None,
    step_s: float | None,
    bin_s: float | None,
    prepare: Mapping[str, Any] | None,
) -> Windows:
    if step_s is not None or bin_s is not None:
        raise ConfigError(
            "EEG with BOLD is cut once a volume: leave step_s and bin_s out, or name a stream."
        )
    if prepare:
        recordings = prepared(recordings, name, prepare)
    length_s = _SCANNED_S if length_s is None else length_s
    return pair(recordings, window_s=length_s, eeg_stream=name)


def _usual_length(recordings: Sequence[Recording], name: str, usual_s: float) -> float | None:
    """The usual length, or None (the whole of each) where trials are shorter."""
    stretches = [
        (stop - start) / stream.sfreq
        for stream in (rec.stream(name) for rec in recordings)
        if isinstance(stream, Regular)
        for start, stop in stream.segments.tolist()
    ]
    return None if stretches and max(stretches) < usual_s else usual_s


def sampled(
    recordings: Sequence[Recording],
    *,
    stream: str | None = None,
    bin_s: float | None = None,
    prepare: Mapping[str, Any] | None = None,
) -> tuple[Sequence[Recording], str]:
    """Recordings whose named stream is sampled and prepared, and the stream's name.

    Parameters
    ----------
    recordings : sequence of Recording
        Not empty.
    stream : str, optional
        Needed where there are several signals.
    bin_s : float, optional
        Bin width for spikes.
    prepare : mapping, optional
        As in :func:`cut`.

    Returns
    -------
    recordings : sequence of Recording
        The stream is Regular in each.
    name : str
        Of the stream.

    Raises
    ------
    DataError
        If the stream must be named.
    ConfigError
        If bins are asked of a stream that is sampled already.
    """
    name = stream or _main_stream(recordings[0])
    if isinstance(recordings[0].stream(name), Irregular):
        width = _BIN_S if bin_s is None else bin_s
        recordings = [_binned(rec, name, width) for rec in recordings]
    elif bin_s is not None:
        raise ConfigError(f"bin_s is for spikes; stream {name!r} is sampled already.")
    if prepare:
        recordings = prepared(recordings, name, prepare)
    return recordings, name


def _binned(rec: Recording, name: str, bin_s: float) -> Recording:
    stream = rec.stream(name)
    if not isinstance(stream, Irregular):
        raise DataError(f"Stream {name!r} of {rec.id!r} is sampled, the first recording's is not.")
    return rec.with_stream(name, stream.bin(bin_s), f"bin {bin_s:g} s")


def _main_stream(rec: Recording) -> str:
    signals = [
        k
        for k, s in rec.streams.items()
        if isinstance(s, Regular | Irregular) and s.modality in _LENGTH_S
    ]
    preferred = [k for k in signals if k in _LENGTH_S]
    for found in (preferred, signals):
        if len(found) == 1:
            return found[0]
    raise DataError(f"{rec.id!r} has the signals {signals or sorted(rec.streams)}: name a stream.")
