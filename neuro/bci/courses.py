"""Power over the course of a trial: desynchronisation and synchronisation after the cue."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from neuro.bci.maps import erd
from neuro.bci.workspace import Workspace
from neuro.errors import DataError
from neuro.stream import Plan, Power
from neuro.stream.features import Table
from neuro.typing import AnyArray, FloatArray

__all__ = ["Courses", "erd_courses"]


class Courses(NamedTuple):
    """Change of band power around the cue."""

    times: FloatArray  # (n_windows,): middle of each window, seconds after the cue
    percent: dict[str, FloatArray]  # class -> (n_chans, n_windows); negative where power falls
    ch_names: tuple[str, ...]
    n_trials: dict[str, int]


@dataclass(frozen=True)
class _BandCourse(Power):
    """Mean power of a band, one column a window instead of one a frequency."""

    # Burg's spectrum is sharper the louder a rhythm is: its sum over a band is no power
    method: Literal["burg", "welch"] = "welch"
    log: bool = False
    n_windows: int = 1

    def combine(self, parts: Sequence[AnyArray]) -> FloatArray:
        return np.stack([p.mean(axis=1) for p in parts], axis=1)

    @property
    def table(self) -> Table:
        return Table(self.ch_names, tuple(map(float, range(self.n_windows))), "uV^2/Hz")


def erd_courses(
    workspace: Workspace,
    fmin: float,
    fmax: float,
    *,
    start_s: float = -1.0,
    stop_s: float = 4.0,
    length_s: float = 0.5,
    step_s: float = 0.1,
    runs: Sequence[str] | None = None,
) -> Courses:
    """ERD/ERS of every channel in a band, for each class.

    Parameters
    ----------
    workspace : Workspace
        The session; its channels, reference and filters are used.
    fmin, fmax : float
        Band in Hz.
    start_s, stop_s : float
        Course, in seconds after the cue; what lies before 0 is the baseline.
    length_s, step_s : float
        Windows.
    runs : sequence of str, optional
        All that are not excluded if None.

    Returns
    -------
    Courses

    Raises
    ------
    DataError
        If the course has no baseline, or no trial is whole.
    """
    if start_s + length_s > 0:
        raise DataError(
            f"start_s={start_s:g}: no window of {length_s:g} s ends before the cue; begin earlier."
        )
    plan = Plan(start_s, stop_s, length_s, step_s)
    info = workspace.info
    sfreq = float(workspace.settings.sfreq or info.sfreq)
    starts = plan.starts(sfreq) / sfreq + start_s
    family = _BandCourse(fmin, fmax, n_windows=len(starts))
    settings = replace(workspace.settings, plan=plan, family=family)
    by_class: dict[str, list[FloatArray]] = {}
    for run in runs or [r.id for r in workspace.runs if not r.excluded]:
        recording = workspace.recording(run)
        # the first samples of a recording are no baseline
        events = recording.events.take(np.flatnonzero(recording.events.onset_s + start_s > 0))
        for one in settings.extractor(info).replay(recording.replace(events=events)):
            if one.n_dropped == 0:
                by_class.setdefault(one.label, []).append(one.values)
    if not by_class:
        raise DataError("No trial is whole over the course; shorten it.")
    before = starts + length_s <= 0
    percent = {name: erd(np.stack(found), before) for name, found in sorted(by_class.items())}
    return Courses(
        starts + length_s / 2, percent, settings.extractor(info).table.rows,
        {name: len(found) for name, found in by_class.items()},
    )  # fmt: skip
