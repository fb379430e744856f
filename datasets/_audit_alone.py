"""What one recording tells about itself."""

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.datasets._audit import Finding
from neuro.errors import ConfigError, UnitError
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Irregular, Recording, Regular

__all__ = ["axes", "channels", "clocks", "copies", "events", "rates", "units"]

# Rates that devices of a modality have, in Hz.
_RATES = {
    "eeg": (30.0, 100_000.0),
    "ieeg": (50.0, 100_000.0),
    "meg": (50.0, 100_000.0),
    "lfp": (50.0, 100_000.0),
    "bold": (0.1, 10.0),
    "calcium": (0.5, 2000.0),
}
# Spikes a second of a unit, over all units of a recording.
_FIRING = (1e-3, 500.0)
_MOST_SAMPLES = 20_000_000
_TOLD_TR = re.compile(r"TR|\btr=|repetition time", re.ASCII)


def units(rec: "Recording") -> list[Finding]:
    """Amplitudes that cannot be what their unit says."""
    from neuro.data import check_plausible

    found = []
    for name, stream in _regular(rec).items():
        try:
            check_plausible(stream)
        except UnitError as error:
            found.append(
                Finding(
                    kind="unit",
                    severity="error",
                    recordings=(rec.id,),
                    message=f"Stream {name!r}: {str(error).removesuffix(_OVERRIDE).strip()}",
                    remedy="Read the file again with its true unit: unit='...'.",
                    evidence={"stream": name, "unit": stream.unit},
                )
            )
    return found


_OVERRIDE = "If the amplitude is right, pass check=False."


def rates(rec: "Recording") -> list[Finding]:
    """Rates no device has, or that contradict the data set's card."""
    found = []
    for name, stream in _regular(rec).items():
        low, high = _RATES.get(stream.modality, (0.0, np.inf))
        if not low <= stream.sfreq <= high:
            found.append(_odd_rate(rec, name, stream, low, high))
    found += _against_card(rec)
    for name, train in _irregular(rec).items():
        found += _odd_times(rec, name, train)
    for step in rec.provenance.steps:
        if _TOLD_TR.search(step) and "header" in step:
            alone = "alone" in step
            found.append(
                Finding(
                    kind="rate",
                    severity="warning" if alone else "note",
                    recordings=(rec.id,),
                    message=f"Repetition time: {step}.",
                    remedy="Confirm it from the protocol: tr=..."
                    if alone
                    else "Nothing, if the one used is the protocol's.",
                    evidence={"step": step},
                )
            )
    return found


def _odd_rate(rec: "Recording", name: str, stream: "Regular", low: float, high: float) -> Finding:
    if stream.modality == "bold":
        tr = 1 / stream.sfreq
        said = f"a repetition time of {tr:g} s"
        usual = f"{1 / high:g} to {1 / low:g} s"
        true = next((f for f in (1e-3, 1e3, 1e-6) if 1 / high <= tr * f <= 1 / low), None)
        hint = (
            f"Milliseconds were read as seconds? Read again with tr={tr * true:g}." if true else ""
        )
    else:
        said, usual = f"{stream.sfreq:g} Hz", f"{low:g} to {high:g} Hz"
        true = next((f for f in (1e3, 1e-3) if low <= stream.sfreq * f <= high), None)
        hint = f"Is it {stream.sfreq * true:g} Hz?" if true else ""
    return Finding(
        kind="rate",
        severity="error",
        recordings=(rec.id,),
        message=f"Stream {name!r} has {said}; {stream.modality} has {usual}.",
        remedy=hint or "State the true rate when reading.",
        evidence={"stream": name, "sfreq": stream.sfreq},
    )


def _against_card(rec: "Recording") -> list[Finding]:
    from neuro.datasets._registry import info

    try:
        card = info(rec.dataset)
        want = float(card.rate)
    except ConfigError:  # not one of ours, or its main stream is not sampled
        return []
    if card.expected is None:
        return []
    have = getattr(rec.streams.get(card.expected.stream), "sfreq", None)
    if have is None or abs(have - want) <= 1e-3 * want:
        return []
    return [
        Finding(
            kind="rate",
            severity="error",
            recordings=(rec.id,),
            message=(
                f"Stream {card.expected.stream!r} is at {have:g} Hz ({1 / have:g} s a sample); the "
                f"card of {rec.dataset!r} says {want:g} Hz ({1 / want:g} s)."
            ),
            remedy="Headers are often wrong: use the card's, as neuro.datasets.load does.",
            evidence={"sfreq": have, "card_sfreq": want},
        )
    ]


def _odd_times(rec: "Recording", name: str, train: "Irregular") -> list[Finding]:
    n = len(train.times_s)
    length = float(np.diff(train.support, axis=1).sum())
    if n < 20 or train.modality != "spikes":
        return []
    rate = n / length / max(1, len(np.unique(train.unit_index)))
    if _FIRING[0] <= rate <= _FIRING[1]:
        return []
    unit = next((u for u, f in (("us", 1e6), ("ms", 1e3)) if 0.05 <= rate * f <= 300), None)
    return [
        Finding(
            kind="clock",
            severity="error",
            recordings=(rec.id,),
            message=f"Units of {name!r} fire {rate:.3g} times a second over {length:.4g} s.",
            remedy=f"Are the times in {unit}? Divide them." if unit else "Check the times' unit.",
            evidence={"stream": name, "rate_hz": rate, "length_s": length},
        )
    ]


def events(rec: "Recording") -> list[Finding]:
    """Events outside the data: on another clock, at another rate, or strays."""
    session = rec.session_events()
    if not len(session):
        return []
    low, high = rec.span_s
    onset = session.onset_s
    end = onset + session.duration_s
    outside = (onset >= high) | (end < low)
    share = float(outside.mean())
    if not outside.any() and end.max() <= high + max(1.0, 0.05 * (high - low)):
        return []
    span = float(end.max() - onset.min())
    facts = {
        "first_onset_s": float(onset[0]),
        "last_onset_s": float(onset[-1]),
        "start_s": low,
        "stop_s": high,
        "share_outside": share,
    }
    says = (
        f"{int(outside.sum())} of {len(session)} events lie outside [{low:g}, {high:g}) s; the "
        f"first begins at {onset[0]:g} s, the last at {onset[-1]:g} s."
    )
    if onset[0] - low > 0.5 * (high - low) and span <= high - low:
        late = "The first lies that far from the start; the run began up to"
        return [
            Finding(
                kind="clock",
                severity="error",
                recordings=(rec.id,),
                message=f"{says} Together they last {span:g} s, as the run does: their clock is "
                "the session's.",
                remedy=f"{late} {onset[0] - low:g} s into the session: subtract the run's start "
                "from the onsets, or give the recording a Clock.",
                evidence=facts,
            )
        ]
    if onset[0] - low < 0.25 * (high - low) and end.max() > high:
        factor = (end.max() - low) / (high - low)
        return [
            Finding(
                kind="rate" if share > 0 else "events",
                severity="error" if share > 0.1 else "warning",
                recordings=(rec.id,),
                message=f"{says} They last {factor:.2f} times as long as the data.",
                remedy="Is the sampling rate (TR) right, and the file complete? A cut file loses "
                "its last events; a wrong rate stretches all.",
                evidence=facts | {"factor": factor},
            )
        ]
    return [
        Finding(
            kind="events",
            severity="error" if share > 0.1 else "warning",
            recordings=(rec.id,),
            message=says,
            remedy="Check the clock of the event file, or drop these events.",
            evidence=facts,
        )
    ]


def clocks(rec: "Recording") -> list[Finding]:
    """Streams of one recording that share no time."""
    spans = {}
    timed: dict[str, Regular | Irregular] = {**_regular(rec), **_irregular(rec)}
    for name, stream in timed.items():
        clock = rec.clock(name)
        spans[name] = (clock.to_session(stream.t0_s), clock.to_session(stream.stop_s))
    found = []
    names = sorted(spans, key=lambda k: spans[k])
    for a, b in pairwise(names):
        if spans[a][1] <= spans[b][0]:
            found.append(
                Finding(
                    kind="clock",
                    severity="error",
                    recordings=(rec.id,),
                    message=f"Streams {a!r} (until {spans[a][1]:g} s) and {b!r} (from "
                    f"{spans[b][0]:g} s) share no time.",
                    remedy="Give the streams clocks that bring them to the session's time.",
                    evidence={"first_stop_s": spans[a][1], "second_start_s": spans[b][0]},
                )
            )
    return found


def axes(rec: "Recording") -> list[Finding]:
    """Signals that are smooth along their rows instead of along time."""
    found = []
    for name, stream in _regular(rec).items():
        n_rows, n_times = stream.shape
        placed = stream.axis.grid is not None or set(stream.axis.types) & {"voxel", "vertex"}
        if placed or stream.modality in ("spikes", "behaviour", "stim") or min(n_rows, n_times) < 8:
            continue
        along_time, along_rows = _smoothness(stream)
        tall = n_rows > n_times
        if along_rows - along_time > (0.2 if tall else 0.5) and (tall or along_time < 0.1):
            found.append(
                Finding(
                    kind="axis",
                    severity="error",
                    recordings=(rec.id,),
                    message=(
                        f"Stream {name!r} ({n_rows} rows x {n_times} samples) changes smoothly "
                        f"from row to row (r {along_rows:.2f}) but not from sample to sample "
                        f"(r {along_time:.2f})."
                    ),
                    remedy="The axes are swapped: transpose the samples, time comes last.",
                    evidence={"r_time": along_time, "r_rows": along_rows},
                )
            )
        elif tall:
            found.append(
                Finding(
                    kind="axis",
                    severity="note",
                    recordings=(rec.id,),
                    message=f"Stream {name!r} has more rows ({n_rows}) than samples ({n_times}).",
                    remedy="Nothing, if that is so.",
                    evidence={"r_time": along_time, "r_rows": along_rows},
                )
            )
    return found


def _smoothness(stream: "Regular") -> tuple[float, float]:
    """Correlation of neighbours along time and along rows, of what neither mean explains."""
    a, b = max(stream.segments.tolist(), key=lambda s: s[1] - s[0])
    x = stream.read(a, min(b, a + 4000))[~stream.axis.bad][:4000].astype(np.float64)
    x = x[np.isfinite(x).all(axis=1)]
    if min(x.shape, default=0) < 4:
        return 0.0, 0.0
    # on a common scale, else the largest rows decide
    sd = x.std(axis=1, keepdims=True)
    x = (x - x.mean(axis=1, keepdims=True)) / np.where(sd > 0, sd, 1)
    x -= x.mean(axis=0, keepdims=True)

    def lag_one(y: FloatArray) -> float:
        y = y - y.mean(axis=1, keepdims=True)
        power = float((y**2).sum())
        return float((y[:, 1:] * y[:, :-1]).sum() / power) if power > 0 else 0.0

    return lag_one(x), lag_one(x.T)


def channels(rec: "Recording") -> list[Finding]:
    """Rows that never change or are mostly missing and are not marked bad."""
    found = []
    for name, stream in _regular(rec).items():
        flat, missing = _dead(stream)
        for rows, what, remedy in (
            (flat, "never change", "Mark them bad (axis.bad) or drop them."),
            (missing > 0.2, "miss more than a fifth of their samples", "Mark them bad."),
        ):
            at = np.flatnonzero(rows & ~stream.axis.bad)
            if not len(at) or (what == "never change" and stream.modality in ("stim", "behaviour")):
                continue
            first = ", ".join(stream.axis.names[i] for i in at[:4])
            found.append(
                Finding(
                    kind="channels",
                    severity="warning" if stream.modality in _RATES else "note",
                    recordings=(rec.id,),
                    message=f"{len(at)} of {len(stream.axis)} rows of {name!r} {what}: {first}"
                    f"{', …' if len(at) > 4 else ''}.",
                    remedy=remedy,
                    evidence={
                        "stream": name,
                        "rows": [stream.axis.names[i] for i in at[:50]],
                        "largest_share_missing": float(missing.max()),
                    },
                )
            )
    return found


# Delays, in samples, at which rows are compared.
_DELAYS = range(65)


def copies(rec: "Recording") -> list[Finding]:
    """Rows that are, number by number, the row before them, delayed or not.

    Two electrodes never read the same numbers; rows cut out of one long list
    with the wrong stride do, and everything between channels is then false.
    """
    found = []
    for name, stream in _regular(rec).items():
        if len(stream.axis) < 2 or stream.modality in ("spikes", "behaviour", "stim"):
            continue
        delay = _delay(stream)
        if delay is None:
            continue
        known = any("delayed copies" in step for step in rec.provenance.steps)
        found.append(
            Finding(
                kind="channels",
                severity="note" if known else "error",
                recordings=(rec.id,),
                message=(
                    f"Rows of {name!r} are copies of each other, {delay} samples apart: they are "
                    "not the channels they are named after."
                ),
                remedy="Use one row, or find how the file was cut; what is measured between these "
                "rows means nothing.",
                evidence={"stream": name, "delay": delay},
            )
        )
    return found


def _delay(stream: "Regular") -> int | None:
    """Samples between equal neighbouring rows, if most neighbours are so related."""
    a, b = max(stream.segments.tolist(), key=lambda s: s[1] - s[0])
    x = stream.read(a, min(b, a + 2000))[~stream.axis.bad]
    x = x[np.isfinite(x).all(axis=1)]
    x = x[np.ptp(x, axis=1) > 0] if x.size else x
    if len(x) < 2:
        return None
    for delay in _DELAYS:
        if x.shape[1] - delay < 16:
            break
        same = (x[1:, : x.shape[1] - delay] == x[:-1, delay:]).all(axis=1)
        if same.mean() > 0.5:
            return delay
    return None


def _dead(stream: "Regular") -> tuple[Any, FloatArray]:
    """Which rows are constant, and the share each misses, inside segments."""
    n_rows = len(stream.axis)
    low, high = np.full(n_rows, np.inf), np.full(n_rows, -np.inf)
    absent, total = np.zeros(n_rows), 0
    step = max(1, _MOST_SAMPLES // 40 // n_rows)
    pieces = [
        (start, min(start + step, b))
        for a, b in stream.segments.tolist()
        for start in range(a, b, step)
    ]
    most = max(40, _MOST_SAMPLES // (step * n_rows))
    chosen = np.unique(np.linspace(0, len(pieces) - 1, min(len(pieces), 100 * most)).astype(int))
    for i in chosen.tolist():
        x = stream.read(*pieces[i])
        gone = np.isnan(x)
        absent += gone.sum(axis=1)
        total += x.shape[1]
        low = np.minimum(low, np.where(gone, np.inf, x).min(axis=1))
        high = np.maximum(high, np.where(gone, -np.inf, x).max(axis=1))
        if total * n_rows > 5 * _MOST_SAMPLES:
            break
    share: FloatArray = absent / max(1, total)
    return (low >= high) & (share < 1) & (total > 1), share


def _regular(rec: "Recording") -> "dict[str, Regular]":
    from neuro.data import Regular

    return {k: s for k, s in rec.streams.items() if isinstance(s, Regular)}


def _irregular(rec: "Recording") -> "dict[str, Irregular]":
    from neuro.data import Irregular

    return {k: s for k, s in rec.streams.items() if isinstance(s, Irregular)}
