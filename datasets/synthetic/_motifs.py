"""EEG made of six known motifs, one in every second of every channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets.synthetic._noise import band_noise, coloured_noise
from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError, did_you_mean
from neuro.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["KINDS", "motifs"]

KINDS = ("one_over_f", "alpha", "theta", "beta", "spike_wave", "emg")

_SITES = tuple("C3 C4 O1 O2 F3 F4 P3 P4 Cz Fz Pz T7 T8 F7 F8 P7 P8 Fp1 Fp2 Oz".split())
_BACKGROUND_UV = 10.0
# rhythm -> centre in Hz, spread of the centre from stretch to stretch, peak in uV
_RHYTHMS = {"alpha": (10.0, 0.4, 25.0), "theta": (5.0, 0.3, 28.0), "beta": (21.0, 1.0, 14.0)}
_SPIKE_WAVE_HZ = (3.0, 0.15)
_SPIKE_WAVE_UV = 80.0
_EMG_UV = 12.0  # sd
_EMG_FROM_HZ = 25.0
_RAMP_S = 0.05
_POP_UV = 150.0
_POP_TAU_S = 0.15


def motifs(
    seed: int = 0,
    *,
    n_subjects: int = 6,
    duration_s: int = 240,
    n_chans: int = 4,
    sfreq: int = 200,
    exponent: float = 1.0,
    stretch_s: tuple[int, int] = (1, 3),
    kinds: Sequence[str] = KINDS,
    planted: float = 0.0,
    window_s: int = 12,
    artefacts_per_min: float = 0.0,
) -> Simulation:
    """Simulate channels that switch between known motifs on whole seconds.

    A stretch of 1 to 3 s holds one motif over a background whose power falls
    as 1/f: nothing more (``"one_over_f"``), alpha around 10 Hz, theta around
    5 Hz, beta around 21 Hz, spikes and waves at 3 Hz, or EMG (noise above 25
    Hz). Frequency and amplitude change from stretch to stretch and from person
    to person. The next motif is drawn from a Markov chain without
    self-transitions, for every channel on its own.

    With `planted`, time is cut into windows of `window_s` seconds; in that
    share of them, 1 to 3 channels carry spikes and waves for 3 to 6 s, which
    then occur nowhere else. Events ``seizure`` and ``background`` cover the
    windows, so ``windows(..., length_s=window_s, label="type")`` is labelled.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_subjects, n_chans : int
        People (one recording each), and channels of each, 20 at most.
    duration_s : int
        Seconds a person.
    sfreq : int
        Hz, 100 or more.
    exponent : float
        Power of the background falls as 1/f**exponent.
    stretch_s : tuple of int
        Shortest and longest stretch in seconds.
    kinds : sequence of str
        Motifs to switch between, of the six named above.
    planted : float
        Share of windows with a planted run, 0 to 1.
    window_s : int
        Seconds of a window, 6 or more; used with `planted`.
    artefacts_per_min : float
        Electrode pops (150 uV, decaying within half a second) a channel and
        minute, on top of the motifs.

    Returns
    -------
    Simulation
        Stream ``"eeg"`` (uV). Truth: ``kinds`` (names), ``motif`` (subject,
        channel, second), numbers into ``kinds``; ``transition`` (kind, kind),
        rows sum to 1, 0 for what does not switch; ``artefact`` (subject,
        channel, second); and with `planted` ``run`` (subject, channel, second)
        and ``window_has_run`` (subject, window).

    Raises
    ------
    ConfigError
        If a size is not positive or out of range, or a motif unknown.

    Examples
    --------
    >>> made = motifs(seed=1, n_subjects=1, duration_s=60, n_chans=2)
    >>> made.recordings[0].stream("eeg")
    Regular(eeg, 2 x 12000, 200 Hz, uV, 60 s)
    >>> made.truth["motif"].shape
    (1, 2, 60)
    """
    design = _checked(
        _Design(n_chans, duration_s, sfreq, exponent, stretch_s, tuple(kinds), planted, window_s,
                artefacts_per_min),
        n_subjects,
    )  # fmt: skip
    transition = _transition(rng_of(seed, 0), design)
    people = [_person(rng_of(seed, 1, s), design, transition) for s in range(n_subjects)]
    truth = {
        "kinds": KINDS,
        "motif": np.stack([p.motif for p in people]),
        "transition": transition,
        "artefact": np.stack([p.artefact for p in people]),
    }
    if planted:
        truth["run"] = np.stack([p.run for p in people])
        truth["window_has_run"] = np.stack([p.window_has_run for p in people])
    recordings = tuple(_recording(p, design, s, seed) for s, p in enumerate(people))
    return Simulation(recordings, truth)


@dataclass(frozen=True)
class _Design:
    n_chans: int
    duration_s: int
    sfreq: int
    exponent: float
    stretch_s: tuple[int, int]
    kinds: tuple[str, ...]
    planted: float
    window_s: int
    artefacts_per_min: float

    @property
    def n_windows(self) -> int:
        return self.duration_s // self.window_s

    @property
    def switching(self) -> list[int]:
        """Numbers of the motifs between which channels switch."""
        kept = [k for k in self.kinds if not (self.planted and k == "spike_wave")]
        return [KINDS.index(k) for k in kept]


@dataclass(frozen=True)
class _Person:
    x: FloatArray
    motif: IntArray
    artefact: BoolArray
    run: BoolArray
    window_has_run: BoolArray


def _checked(design: _Design, n_subjects: int) -> _Design:
    d = design
    check_positive(n_subjects=n_subjects, n_chans=d.n_chans, duration_s=d.duration_s)
    low, high = d.stretch_s
    if not 1 <= low <= high:
        raise ConfigError(f"stretch_s={d.stretch_s} must be (shortest, longest), 1 s or more.")
    if d.n_chans > len(_SITES) or d.sfreq < 100:
        raise ConfigError(
            f"n_chans={d.n_chans} (at most {len(_SITES)}) or sfreq={d.sfreq} Hz (at least 100) "
            "is out of range."
        )
    for kind in d.kinds:
        if kind not in KINDS:
            raise ConfigError(f"No motif {kind!r}. {did_you_mean(kind, KINDS)}")
    if len(d.switching) < 2 or len(set(d.kinds)) < len(d.kinds):
        raise ConfigError(f"kinds={d.kinds} must name two different motifs to switch between.")
    if not 0 <= d.planted <= 1 or d.artefacts_per_min < 0 or d.exponent < 0:
        raise ConfigError(
            f"planted={d.planted} must be in [0, 1], artefacts_per_min={d.artefacts_per_min} and "
            f"exponent={d.exponent} not negative."
        )
    if d.planted and (d.window_s < 6 or d.window_s > d.duration_s):
        raise ConfigError(f"window_s={d.window_s} must be between 6 and {d.duration_s} s.")
    return d


def _transition(rng: np.random.Generator, design: _Design) -> FloatArray:
    """Chance of each next motif: uneven, so that sequences carry information."""
    out = np.zeros((len(KINDS), len(KINDS)))
    at = design.switching
    for k in at:
        others = [j for j in at if j != k]
        out[k, others] = rng.dirichlet(np.full(len(others), 5.0))
    return out


def _person(rng: np.random.Generator, design: _Design, transition: FloatArray) -> _Person:
    motif = np.stack([_chain(rng, design, transition) for _ in range(design.n_chans)])
    run, window_has_run = _planted_runs(rng, design)
    motif = np.where(run, KINDS.index("spike_wave"), motif)
    n_times = design.duration_s * design.sfreq
    gain = rng.uniform(0.85, 1.15)
    shift = rng.standard_normal(len(KINDS))  # of this person's frequencies
    x = coloured_noise(rng, design.n_chans, n_times, design.sfreq, design.exponent)
    x *= _BACKGROUND_UV
    for channel in range(design.n_chans):
        for first, stop in _stretches(motif[channel]):
            a, b = first * design.sfreq, stop * design.sfreq
            number = int(motif[channel, first])
            x[channel, a:b] += _wave(rng, KINDS[number], b - a, design.sfreq, shift[number])
    artefact = _add_pops(rng, x, design)
    return _Person(gain * x, motif, artefact, run, window_has_run)


def _chain(rng: np.random.Generator, design: _Design, transition: FloatArray) -> IntArray:
    low, high = design.stretch_s
    kind = int(rng.choice(design.switching))
    parts: list[int] = []
    while len(parts) < design.duration_s:
        parts += [kind] * int(rng.integers(low, high + 1))
        kind = int(rng.choice(len(KINDS), p=transition[kind]))
    return np.array(parts[: design.duration_s])


def _stretches(motif: IntArray) -> list[tuple[int, int]]:
    """First and one past the last second of each stretch of one motif."""
    edges = np.flatnonzero(np.diff(motif)) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(motif)], strict=True))


def _planted_runs(rng: np.random.Generator, design: _Design) -> tuple[BoolArray, BoolArray]:
    run = np.zeros((design.n_chans, design.duration_s), dtype=bool)
    has_run = np.zeros(design.n_windows, dtype=bool)
    chosen = rng.permutation(design.n_windows)[: round(design.planted * design.n_windows)]
    for window in chosen.tolist():
        length = int(rng.integers(3, 7))
        start = window * design.window_s + int(rng.integers(0, design.window_s - length + 1))
        n = int(rng.integers(1, min(3, design.n_chans) + 1))
        run[rng.permutation(design.n_chans)[:n], start : start + length] = True
        has_run[window] = True
    return run, has_run


def _wave(
    rng: np.random.Generator, kind: str, n_times: int, sfreq: int, shift: float
) -> FloatArray:
    """What a motif adds to the background, in uV, fading in and out."""
    t = np.arange(n_times) / sfreq
    size = rng.uniform(0.75, 1.25)
    phase = rng.uniform(0, 1)
    jitter = 0.5 * shift + rng.standard_normal()
    if kind == "one_over_f":
        return np.zeros(n_times)
    if kind == "spike_wave":
        centre, spread = _SPIKE_WAVE_HZ
        wave = _SPIKE_WAVE_UV * _spike_and_wave((centre + spread * jitter) * t + phase)
    elif kind == "emg":
        # up to 0.45 of the rate, as after an anti-aliasing filter
        wave = _EMG_UV * band_noise(rng, 1, n_times, sfreq, _EMG_FROM_HZ, 0.45 * sfreq)[0]
    else:
        centre, spread, peak_uv = _RHYTHMS[kind]
        wave = peak_uv * np.sin(2 * np.pi * ((centre + spread * jitter) * t + phase))
    return np.asarray(size * wave * _faded(n_times, sfreq))


def _spike_and_wave(cycles: FloatArray) -> FloatArray:
    """A sharp spike and a slow wave of the opposite sign in each cycle; mean near 0, peak 1."""
    at = cycles % 1.0
    spike = np.exp(-0.5 * ((at - 0.15) / 0.05) ** 2)
    slow = np.clip((at - 0.22) / 0.63, 0.0, 1.0)
    return np.asarray(spike - 0.4 * np.sin(np.pi * slow) ** 2)


def _faded(n_times: int, sfreq: int) -> FloatArray:
    n = max(1, round(_RAMP_S * sfreq))
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)
    out = np.ones(n_times)
    out[:n] *= ramp
    out[-n:] *= ramp[::-1]
    return out


def _add_pops(rng: np.random.Generator, x: FloatArray, design: _Design) -> BoolArray:
    """Add electrode pops to `x` in place; True in the seconds that hold one."""
    hit = np.zeros((design.n_chans, design.duration_s), dtype=bool)
    decay = _POP_UV * np.exp(-np.arange(round(0.5 * design.sfreq)) / (_POP_TAU_S * design.sfreq))
    expected = design.artefacts_per_min * design.duration_s / 60
    for channel in range(design.n_chans):
        n = min(int(rng.poisson(expected)), design.duration_s)
        for second in rng.permutation(design.duration_s)[:n].tolist():
            start = second * design.sfreq + int(rng.integers(0, design.sfreq - len(decay) + 1))
            x[channel, start : start + len(decay)] += rng.choice([-1.0, 1.0]) * decay
            hit[channel, second] = True
    return hit


def _recording(person: _Person, design: _Design, number: int, seed: int) -> "Recording":
    from neuro.data import Axis, Events, Recording, Regular, eeg_positions, exact_rate

    names = _SITES[: design.n_chans]
    axis = Axis(names, "eeg", positions=eeg_positions(names), frame="mri_ras", reference="average")
    signal = Regular(person.x.astype(np.float32), exact_rate(design.sfreq), "uV", axis, "eeg")
    events = Events.empty()
    if design.planted:
        events = Events.make(
            np.arange(design.n_windows) * float(design.window_s),
            np.where(person.window_has_run, "seizure", "background"),
            duration_s=float(design.window_s),
        )
    return Recording(
        {"eeg": signal},
        events,
        dataset="synthetic_motifs",
        subject=f"{number + 1:02d}",
        run="1",
        task="rest",
        provenance=simulated("motifs", seed),
    )
