"""Clinical EEG in a bipolar montage: 1/f background and bursts of alpha at the back."""

from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets.synthetic._noise import coloured_noise
from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError
from neuro.typing import BoolArray, FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["TCP", "alpha_bursts"]

# the 22 derivations of the longitudinal (double banana) montage, chain by chain
TCP = tuple(
    "FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 A1-T3 T3-C3 C3-CZ CZ-C4 C4-T4 T4-A2 "
    "FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2".split()
)
_ELECTRODES = tuple(dict.fromkeys(site for pair in TCP for site in pair.split("-")))
# share of the alpha rhythm that an electrode sees, front to back
_SEES = {"FP": 0.1, "F": 0.2, "A": 0.3, "C": 0.4, "T": 0.4, "P": 0.75, "O": 1.0}
_ALPHA_UV = 40.0
_SHARED_UV = 12.0  # background common to neighbours
_OWN_UV = 4.0


def alpha_bursts(
    seed: int = 0,
    *,
    n_subjects: int = 4,
    duration_s: int = 120,
    sfreq: int = 256,
    exponent: float = 1.0,
    burst_share: float = 0.5,
) -> Simulation:
    """Simulate 22 bipolar channels with bursts of alpha over a 1/f background.

    The 21 electrodes see a background that neighbours share in part, and an
    alpha rhythm of the person's own frequency (9 to 11 Hz) that is strongest at
    the back and comes in bursts of 1 to 4 s. The channels are the 22 pairs of
    the longitudinal montage used with clinical EEG, differences of electrodes;
    pairs that close a loop therefore add up to 0.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_subjects, duration_s : int
        People (one recording each) and seconds of each.
    sfreq : int
        Hz, 100 or more.
    exponent : float
        Power of the background falls as 1/f**exponent.
    burst_share : float
        Share of time with alpha, above 0 and below 1.

    Returns
    -------
    Simulation
        Stream ``"eeg"`` (22 channels, uV). Truth: ``alpha_hz`` (subject,) and
        ``burst`` (subject, second), True where alpha is on.

    Raises
    ------
    ConfigError
        If a size is not positive or out of range.

    Examples
    --------
    >>> alpha_bursts(seed=1, n_subjects=1, duration_s=20).recordings[0].stream("eeg")
    Regular(eeg, 22 x 5120, 256 Hz, uV, 20 s)
    """
    check_positive(n_subjects=n_subjects, duration_s=duration_s)
    if sfreq < 100 or exponent < 0 or not 0 < burst_share < 1:
        raise ConfigError(
            f"sfreq={sfreq} Hz (100 or more), exponent={exponent} (0 or more) or "
            f"burst_share={burst_share} (between 0 and 1) is out of range."
        )
    recordings, alphas, bursts = [], [], []
    for s in range(n_subjects):
        rng = rng_of(seed, s)
        alpha_hz = float(rng.uniform(9, 11))
        burst = _on_and_off(rng, duration_s, burst_share)
        x = _electrodes(rng, alpha_hz, burst, sfreq, exponent)
        recordings.append(_recording(x, sfreq, s, seed))
        alphas.append(alpha_hz)
        bursts.append(burst)
    truth = {"alpha_hz": np.array(alphas), "burst": np.stack(bursts)}
    return Simulation(tuple(recordings), truth)


def _on_and_off(rng: np.random.Generator, n_seconds: int, share: float) -> BoolArray:
    """Bursts of 1 to 4 s and pauses of a mean that gives the share, in whole seconds."""
    mean_pause = 2.5 * (1 - share) / share
    on = bool(rng.random() < share)
    parts: list[bool] = []
    while len(parts) < n_seconds:
        n = rng.integers(1, 5) if on else 1 + rng.poisson(max(mean_pause - 1, 0))
        parts += [on] * int(n)
        on = not on
    return np.array(parts[:n_seconds])


def _electrodes(
    rng: np.random.Generator, alpha_hz: float, burst: BoolArray, sfreq: int, exponent: float
) -> FloatArray:
    """Potential at each electrode, in uV."""
    from neuro.data import canonical_eeg_name, eeg_positions

    n_times = len(burst) * sfreq
    place = eeg_positions([canonical_eeg_name(e) for e in _ELECTRODES]).astype(np.float64)
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    near = np.exp(-0.5 * ((place[:, None] - place[None]) ** 2).sum(axis=2) / 0.5**2)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    noise = coloured_noise(rng, 2 * len(place), n_times, sfreq, exponent)
    x = _SHARED_UV * near @ noise[: len(place)] + _OWN_UV * noise[len(place) :]
    # bursts fade within a quarter of a second
    ramp = np.hanning(2 * (sfreq // 8) + 1)
    padded = np.pad(np.repeat(burst.astype(np.float64), sfreq), sfreq // 8, mode="edge")
    envelope = np.convolve(padded, ramp / ramp.sum(), mode="valid")
    t = np.arange(n_times) / sfreq
    rhythm = _ALPHA_UV * envelope * np.sin(2 * np.pi * (alpha_hz * t + rng.uniform()))
    sees = np.array([_SEES[e.rstrip("0123456789Z")] for e in _ELECTRODES])
    return np.asarray(rng.uniform(0.85, 1.15) * (x + sees[:, None] * rhythm))


def _recording(x: FloatArray, sfreq: int, number: int, seed: int) -> "Recording":
    from neuro.data import Axis, Recording, Regular, exact_rate

    first, second = zip(*(pair.split("-") for pair in TCP), strict=True)
    y = x[[_ELECTRODES.index(e) for e in first]] - x[[_ELECTRODES.index(e) for e in second]]
    axis = Axis(TCP, "eeg", reference="bipolar")
    return Recording(
        {"eeg": Regular(y.astype(np.float32), exact_rate(sfreq), "uV", axis, "eeg")},
        dataset="synthetic_alpha_bursts",
        subject=f"{number + 1:02d}",
        run="1",
        task="rest",
        provenance=simulated("alpha_bursts", seed),
    )
