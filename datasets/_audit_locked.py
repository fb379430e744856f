"""What the scanner and the heart leave on EEG that was recorded in an MR scanner."""

from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._audit import Finding
from neuro.errors import DataError
from neuro.signal import heart_beats, locked_share
from neuro.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Recording, Regular

__all__ = ["locked"]

# share of an electrode's variance; our choice: 500 volumes of clean EEG stay below 0.005
_MOST = 0.02
_CHANCE = 2.0  # over the number of events
_BEFORE_S, _BEAT_S = 0.05, 0.6  # the pulse artefact lasts from the beat to about here
_LONGEST_S = 3600.0  # of a recording that is looked at


def locked(rec: "Recording") -> list[Finding]:
    """EEG that repeats with every volume (gradients) or every heart beat (pulse)."""
    from neuro.data import Regular

    streams = {k: s for k, s in rec.streams.items() if isinstance(s, Regular)}
    eeg = next((k for k, s in streams.items() if s.modality == "eeg"), None)
    if eeg is None:
        return []
    out = []
    bold = next((k for k, s in streams.items() if s.modality == "bold"), None)
    if bold is not None:
        series = streams[bold]
        start_s = rec.clock(bold).to_session(np.arange(series.n_times) / series.sfreq)
        out += _found(rec, eeg, start_s, 1 / series.sfreq, "volume")
    heart = next((k for k, s in streams.items() if "ecg" in s.axis.types), None)
    if heart is not None:
        ecg = streams[heart]
        row = ecg.axis.types.index("ecg")
        x = np.nan_to_num(ecg.read(0, ecg.n_times, np.array([row]))[0])
        beat_s = rec.clock(heart).to_session(ecg.time(heart_beats(x, ecg.sfreq)))
        out += _found(rec, eeg, beat_s - _BEFORE_S, _BEAT_S, "heart beat")
    return out


def _found(
    rec: "Recording", eeg: str, start_s: FloatArray, length_s: float, event: str
) -> list[Finding]:
    stream = rec.regular(eeg)
    rows = np.flatnonzero([t == "eeg" for t in stream.axis.types] & ~stream.axis.bad)
    n = int(length_s * stream.sfreq)
    stop = min(stream.n_times, int(_LONGEST_S * stream.sfreq))
    first = np.round((rec.clock(eeg).to_stream(start_s) - stream.t0_s) * stream.sfreq)
    if not len(rows) or n < 2:
        return []
    first = first[(first >= 0) & (first + n <= stop)].astype(np.int64)
    try:
        share = locked_share(_clean(stream, stop, rows), first, n)
    except DataError:  # too few volumes or beats to say
        return []
    worst = int(share.argmax())
    # slow waves repeat by chance where events are few
    if share[worst] <= max(_MOST, _CHANCE / len(first)):
        return []
    name = stream.axis.names[rows[worst]]
    gradient = event == "volume"
    what = "residual gradient artefact" if gradient else "pulse artefact"
    how = "average artefact subtraction" if gradient else "optimal basis sets or a mean beat"
    return [
        Finding(
            kind="scanner",
            severity="warning",
            recordings=(rec.id,),
            message=(
                f"{100 * share[worst]:.0f} % of the variance of {name} (median electrode "
                f"{100 * np.median(share):.0f} %) repeats with every {event}: a {what}."
            ),
            remedy=(
                f"Remove it ({how}) before decoding: what is locked to the "
                f"{'scanner' if gradient else 'heart'} can predict BOLD without any brain."
            ),
            evidence={"share": float(share[worst]), "median": float(np.median(share))},
        )
    ]


def _clean(stream: "Regular", stop: int, rows: IntArray) -> FloatArray:
    return np.asarray(np.nan_to_num(stream.read(0, stop, rows)))
