"""Scalp EEG of several people imagining a left or right hand, with planted motifs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets.synthetic._head import RADIUS_M, lead_field
from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError
from neuro.typing import BoolArray, FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["eeg"]

_CHANNELS = tuple("Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 Oz O2".split())
# source -> electrode it lies under
_SOURCES = {"alpha": "Oz", "mu_left": "C3", "mu_right": "C4", "motif": "Fz"}
_DEPTH = 0.75  # of the head's radius
_N_BACKGROUND = 60
_REST_S = 1.0
_MOTIF_S = 0.5
_MOTIF_HZ = 14.0
_BACKGROUND_UV = 12.0


def eeg(
    seed: int = 0,
    *,
    n_subjects: int = 4,
    n_trials: int = 40,
    trial_s: float = 2.0,
    sfreq: int = 128,
    snr: float = 1.0,
    erd: float = 0.7,
    n_motifs: int = 20,
    motif_uv: float = 60.0,
) -> Simulation:
    """Simulate EEG with 1/f background, rhythms, a class effect and motifs.

    Each trial is a cue ("left" or "right", balanced, random order) whose
    duration sees the amplitude of the mu rhythm under the opposite hand area
    (C4 for left, C3 for right) fall by `erd`; one second of rest follows. An
    occipital alpha rhythm waxes and wanes, and a 14 Hz motif of half a second
    occurs at known random times under Fz. Every source is a dipole in a
    layered sphere; places, rhythms and scales differ between people.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_subjects, n_trials : int
        People (one recording each) and trials of each.
    trial_s : float
        Duration of a trial in seconds.
    sfreq : int
        Hz.
    snr : float
        Variance of the resting mu rhythm over that of all else, at the
        electrode above its source.
    erd : float
        Share of the mu amplitude that is lost during imagery, 0 to 1.
    n_motifs : int
        Motifs a recording.
    motif_uv : float
        Peak of the motif at the electrode above it, in uV.

    Returns
    -------
    Simulation
        Stream ``"eeg"`` (20 channels, uV); events ``left`` and ``right``, one
        block a trial. Truth: ``lead_field`` (subject, channel, source) in uV
        per nAm, ``sources`` (subject, source, time) in nAm, ``source_names``,
        ``positions`` (subject, source, 3) in metres from the centre,
        ``alpha_hz`` and ``mu_hz`` (subject,), ``motif`` (time,),
        ``motif_onset_s`` (subject, motif), ``label`` (subject, trial), ``snr``,
        ``erd``.

    Raises
    ------
    ConfigError
        If a size is not positive, or `sfreq` too low for the rhythms.

    Examples
    --------
    >>> made = eeg(seed=1, n_subjects=1, n_trials=4, n_motifs=3)
    >>> made.recordings[0].stream("eeg")
    Regular(eeg, 20 x 1536, 128 Hz, uV, 12 s)
    """
    check_positive(n_subjects=n_subjects, n_trials=n_trials, trial_s=trial_s, sfreq=sfreq, snr=snr)
    if sfreq < 64:
        raise ConfigError(f"sfreq={sfreq} Hz is too low for rhythms up to 15 Hz: use 64 or more.")
    if not 0 <= erd <= 1 or n_motifs < 0:
        raise ConfigError(f"erd={erd} must be in [0, 1] and n_motifs={n_motifs} not negative.")
    n_times = round(n_trials * (trial_s + _REST_S) * sfreq)
    if n_motifs * 2 * _MOTIF_S * sfreq > n_times:
        raise ConfigError(f"n_motifs={n_motifs} do not fit into {n_times / sfreq:g} s.")
    design = _Design(n_times, sfreq, n_trials, trial_s, snr, erd, n_motifs, motif_uv)
    people = [_person(rng_of(seed, s), design) for s in range(n_subjects)]
    return Simulation(
        tuple(_recording(person, design, s, seed) for s, person in enumerate(people)),
        {
            "source_names": tuple(_SOURCES),
            "lead_field": np.stack([p.field for p in people]),
            "sources": np.stack([p.sources for p in people]),
            "positions": np.stack([p.positions for p in people]),
            "alpha_hz": np.array([p.alpha_hz for p in people]),
            "mu_hz": np.array([p.mu_hz for p in people]),
            "motif": _motif(sfreq),
            "motif_onset_s": np.stack([p.motif_onset_s for p in people]),
            "label": np.stack([np.where(p.right, "right", "left") for p in people]),
            "snr": snr,
            "erd": erd,
        },
    )


@dataclass(frozen=True)
class _Design:
    n_times: int
    sfreq: int
    n_trials: int
    trial_s: float
    snr: float
    erd: float
    n_motifs: int
    motif_uv: float

    @property
    def onset_s(self) -> FloatArray:
        return np.arange(self.n_trials) * (self.trial_s + _REST_S)


@dataclass(frozen=True)
class _Person:
    x: FloatArray
    field: FloatArray
    sources: FloatArray
    positions: FloatArray
    alpha_hz: float
    mu_hz: float
    motif_onset_s: FloatArray
    right: BoolArray


def _person(rng: np.random.Generator, design: _Design) -> _Person:
    electrodes = _electrodes()
    above = [_CHANNELS.index(site) for site in _SOURCES.values()]
    outward = electrodes[above] + 0.08 * rng.standard_normal((len(above), 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    positions = _DEPTH * RADIUS_M * outward
    field = lead_field(electrodes, positions, outward)
    background = _background(rng, electrodes, design)
    alpha_hz, mu_hz = float(rng.uniform(9, 11)), float(rng.uniform(10, 13))
    right = rng.permutation(np.arange(design.n_trials) % 2 == 0)
    onset = _motif_onsets(rng, design)
    sources = np.stack(
        [
            _rhythm(rng, alpha_hz, design, width_hz=1.0),
            _rhythm(rng, mu_hz, design, width_hz=1.5),
            _rhythm(rng, mu_hz, design, width_hz=1.5),
            np.zeros(design.n_times),
        ]
    )
    for start in np.round(onset * design.sfreq).astype(int).tolist():
        sources[3, start : start + len(_motif(design.sfreq))] += _motif(design.sfreq)
    # amplitudes: alpha twice the background's sd at Oz, the motif as asked for
    sources[0] *= 1.2 * background[above[0]].std() / abs(field[above[0], 0])
    sources[3] *= design.motif_uv / abs(field[above[3], 3])
    rest = background + field[:, [0, 3]] @ sources[[0, 3]]
    for k in (1, 2):
        site = above[k]
        sources[k] *= np.sqrt(design.snr) * rest[site].std() / abs(field[site, k])
    envelope = _desynchronised(right, design)
    sources[1] *= envelope[0]
    sources[2] *= envelope[1]
    x = rest + field[:, 1:3] @ sources[1:3]
    return _Person(x, field, sources, positions, alpha_hz, mu_hz, onset, right)


def _electrodes() -> FloatArray:
    """Directions of the electrodes from the centre of the sphere that fits them."""
    from neuro.data import eeg_positions

    where = eeg_positions(_CHANNELS).astype(np.float64)
    # |w - c|^2 = r^2 is linear in (c, r^2 - |c|^2)
    system = np.concatenate([2 * where, np.ones((len(where), 1))], axis=1)
    centre = np.linalg.lstsq(system, (where**2).sum(axis=1), rcond=None)[0][:3]
    out = where - centre
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))


def _background(rng: np.random.Generator, electrodes: FloatArray, design: _Design) -> FloatArray:
    places = rng.standard_normal((_N_BACKGROUND, 3))
    places[:, 2] = np.abs(places[:, 2])
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    moments = rng.standard_normal((_N_BACKGROUND, 3))
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    depth = rng.uniform(0.4, 0.8, (_N_BACKGROUND, 1)) * RADIUS_M
    field = lead_field(electrodes, depth * places, moments)
    x = field @ _one_over_f(rng, _N_BACKGROUND, design)
    x *= _BACKGROUND_UV * rng.uniform(0.85, 1.15) / np.median(x.std(axis=1))
    return np.asarray(x + 1.0 * rng.standard_normal(x.shape))


def _one_over_f(rng: np.random.Generator, n: int, design: _Design) -> FloatArray:
    """Noise of variance 1 whose power falls as 1/f above 0.5 Hz."""
    freq = np.fft.rfftfreq(design.n_times, 1 / design.sfreq)
    gain = 1 / np.sqrt(np.maximum(freq, 0.5))
    gain[0] = 0.0
    phase = rng.standard_normal((2, n, len(freq)))
    x = np.fft.irfft((phase[0] + 1j * phase[1]) * gain, design.n_times, axis=1)
    return np.asarray(x / x.std(axis=1, keepdims=True))


def _rhythm(
    rng: np.random.Generator, centre_hz: float, design: _Design, width_hz: float
) -> FloatArray:
    """Narrow-band noise of variance 1: it waxes and wanes as rhythms do."""
    freq = np.fft.rfftfreq(design.n_times, 1 / design.sfreq)
    gain = np.exp(-0.5 * ((freq - centre_hz) / width_hz) ** 2)
    phase = rng.standard_normal((2, len(freq)))
    x = np.fft.irfft((phase[0] + 1j * phase[1]) * gain, design.n_times)
    return np.asarray(x / x.std())


def _motif(sfreq: int) -> FloatArray:
    """The motif: a 14 Hz burst under a Hann window, peak 1."""
    n = round(_MOTIF_S * sfreq)
    t = (np.arange(n) - (n - 1) / 2) / sfreq
    shape: FloatArray = np.cos(2 * np.pi * _MOTIF_HZ * t) * np.hanning(n)
    return np.asarray(shape / np.abs(shape).max())


def _motif_onsets(rng: np.random.Generator, design: _Design) -> FloatArray:
    """Random times that keep a motif's length from each other."""
    slot = 2 * round(_MOTIF_S * design.sfreq)
    slots = np.sort(rng.choice(design.n_times // slot, design.n_motifs, replace=False))
    inside = rng.integers(0, slot // 2, design.n_motifs)
    return np.asarray((slots * slot + inside) / design.sfreq)


def _desynchronised(right: BoolArray, design: _Design) -> FloatArray:
    """Amplitude of the left and right mu rhythm over time: falls opposite the hand."""
    out = np.ones((2, design.n_times))
    ramp = np.hanning(2 * round(0.1 * design.sfreq) + 1)
    for onset, is_right in zip(design.onset_s.tolist(), right.tolist(), strict=True):
        a = round(onset * design.sfreq)
        b = round((onset + design.trial_s) * design.sfreq)
        out[0 if is_right else 1, a:b] = 1 - design.erd
    padded = np.pad(out, ((0, 0), (len(ramp) // 2, len(ramp) // 2)), mode="edge")
    return np.stack([np.convolve(row, ramp / ramp.sum(), mode="valid") for row in padded])


def _recording(person: _Person, design: _Design, number: int, seed: int) -> "Recording":
    from neuro.data import Axis, Events, Recording, Regular, eeg_positions, exact_rate

    axis = Axis(
        _CHANNELS,
        "eeg",
        positions=eeg_positions(_CHANNELS),
        frame="mri_ras",
        reference="average",
    )
    signal = Regular(person.x.astype(np.float32), exact_rate(design.sfreq), "uV", axis, "eeg")
    events = Events.make(
        design.onset_s,
        np.where(person.right, "right", "left"),
        duration_s=design.trial_s,
        block=np.arange(design.n_trials),
    )
    return Recording(
        {"eeg": signal},
        events,
        dataset="synthetic_eeg",
        subject=f"{number + 1:02d}",
        run="1",
        task="imagery",
        provenance=simulated("eeg", seed),
    )
