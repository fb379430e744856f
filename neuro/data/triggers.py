"""EEG and BOLD of one scan on one time line, by the scanner's triggers in the EEG."""

from dataclasses import replace

import numpy as np

from neuro.data.events import Clock, Events
from neuro.data.recording import Recording
from neuro.errors import DataError, did_you_mean
from neuro.typing import FloatArray, IntArray

__all__ = ["joined_by_triggers"]

# TR: slower clocks than this do not exist, larger differences are another TR
_DRIFT = 0.01
# s; amplifiers mark volumes to a sample, software to some milliseconds
_JITTER_S = 0.05


def joined_by_triggers(
    eeg: Recording,
    fmri: Recording,
    *,
    trigger: str = "R149",
    first_volume: int | None = None,
    fmri_stream: str = "bold",
) -> Recording:
    """One recording of EEG and BOLD, with BOLD on the clock of the volume triggers.

    Volume i is put where its own trigger stands: triggers that were lost in
    between are bridged, and the scanner's clock may run at another rate than
    the amplifier's. The slice reference of the BOLD stream (its `t0_s`) counts
    from the trigger on.

    Parameters
    ----------
    eeg : Recording
        With an event of type `trigger` at the start of every volume.
    fmri : Recording
        With the BOLD stream.
    trigger : str
        Event type; what stands before a slash (``"Response/R149"``) and
        spaces do not count.
    first_volume : int, optional
        Which trigger, from 0, belongs to the first stored volume: needed where
        there are more triggers than volumes, because dummy volumes were
        dropped or the scan was stopped early.
    fmri_stream : str
        Name of the BOLD stream.

    Returns
    -------
    Recording
        `eeg` with the BOLD stream and its clock; who and when are the EEG's.

    Raises
    ------
    DataError
        If triggers are missing, come at another interval than the TR, or their
        number does not fit the volumes.

    Examples
    --------
    >>> from neuro.data import Axis, Regular
    >>> x = Regular(np.ones((1, 5000)), 100, "uV", Axis(["Cz"], "eeg"), "eeg")
    >>> events = Events.make(3.0 + 2.0 * np.arange(20), ["R149"] * 20)
    >>> bold = Regular(np.arange(20.0)[None], "1/2", "z", Axis(["PCC"], "roi"), "bold")
    >>> joined_by_triggers(Recording({"eeg": x}, events), Recording({"bold": bold})).clock("bold")
    Clock(a=1.0, b=3.0)
    """
    bold = fmri.regular(fmri_stream)
    tr = float(1 / bold.rate)
    onset = _onsets(eeg, trigger)
    number = _volume_numbers(onset, tr, trigger, eeg.id)
    first = _first(first_volume, int(number[-1]) + 1, bold.n_times, trigger, eeg.id)
    # session = a * (volume * TR) + b, by least squares over all triggers
    at = (number - first) * tr
    a, b = np.polyfit(at, onset, 1) if len(onset) > 2 else (1.0, float(onset[0] - at[0]))
    off = np.abs(a * at + b - onset)
    if off.max() > _JITTER_S:
        raise DataError(
            f"{eeg.id!r}: trigger {int(off.argmax())} of {trigger!r} lies {off.max():.3f} s from "
            "where the others put it. The scan was interrupted: cut it with recording.slice()."
        )
    if fmri_stream in eeg.streams:
        raise DataError(f"{eeg.id!r} has a stream {fmri_stream!r} already.")
    lost = int(number[-1]) + 1 - len(number)
    step = f"joined with {fmri.id} by {len(onset)} triggers {trigger}"
    step += f", {lost} lost ones bridged" if lost else ""
    out = replace(
        eeg,
        streams={**eeg.streams, fmri_stream: bold},
        clocks={**eeg.clocks, fmri_stream: Clock(round(float(a), 9), round(float(b), 6))},
    )
    return out.with_step(step)


def _onsets(eeg: Recording, trigger: str) -> FloatArray:
    """Session times of the triggers."""
    events: Events = eeg.session_events()
    kinds = np.array([str(t).split("/")[-1].replace(" ", "") for t in events.type])
    onset = events.onset_s[kinds == trigger.replace(" ", "")]
    if len(onset) < 2:
        there = sorted(set(kinds.tolist()))
        counts = ", ".join(f"{k} {int((kinds == k).sum())}" for k in there[:8]) or "none at all"
        raise DataError(
            f"{eeg.id!r} has {len(onset)} events {trigger!r}, so its volumes have no time. Events: "
            f"{counts}. {did_you_mean(trigger, there)} Name the volume trigger (trigger=), or set "
            "the clock by hand: recording.replace(clocks={'bold': Clock(1.0, start_s)})."
        )
    return np.asarray(onset)


def _volume_numbers(onset: FloatArray, tr: float, trigger: str, name: str) -> IntArray:
    """Number of each trigger's volume, counted from the first trigger."""
    step = np.diff(onset)
    usual = float(np.median(step))
    ratio = usual / tr
    if abs(ratio - 1) > _DRIFT:
        slices = round(1 / ratio) if ratio < 1 else 0
        why = (
            f"They look like slice triggers, {slices} a volume: name the volume trigger."
            if slices >= 2 and abs(slices * ratio - 1) < _DRIFT
            else "Check the repetition time (tr=) and the name of the trigger."
        )
        raise DataError(
            f"{name!r}: triggers {trigger!r} come every {usual:.4g} s, the volumes every {tr:g} s. "
            f"{why}"
        )
    jump = np.round(step / usual)
    if (jump < 1).any():
        k = int(np.flatnonzero(jump < 1)[0])
        raise DataError(
            f"{name!r}: two triggers {trigger!r} lie {step[k]:.3f} s apart, at {onset[k]:.2f} s. "
            "Drop the doubled ones."
        )
    return np.asarray(np.concatenate([[0], np.cumsum(jump)]), dtype=np.int64)


def _first(given: int | None, n_triggers: int, n_volumes: int, trigger: str, name: str) -> int:
    """Trigger of the first stored volume, checked."""
    counts = f"{name!r} has triggers {trigger!r} for {n_triggers} volumes, the BOLD has {n_volumes}"
    if given is None:
        if n_triggers == n_volumes:
            return 0
        remedy = (
            "say which trigger is the first stored volume: first_volume="
            f"{n_triggers - n_volumes} if dummy volumes were dropped, 0 if the scan was stopped"
            if n_triggers > n_volumes
            else "cut the BOLD to the volumes that have triggers"
        )
        raise DataError(f"{counts}: {remedy}.")
    if not 0 <= given <= n_triggers - n_volumes:
        raise DataError(
            f"{counts}: with first_volume={given} the last volumes would have no trigger."
        )
    return given
