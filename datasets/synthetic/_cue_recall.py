"""A task of long range: what was shown in the first second decides the label at the end."""

from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets.synthetic._noise import coloured_noise
from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["cue_recall"]

_CUES_HZ = {"low": 6.0, "high": 12.0}
_CUE_S = 1.0
_BACKGROUND_UV = 10.0


def cue_recall(
    seed: int = 0,
    *,
    n_subjects: int = 4,
    n_trials: int = 32,
    n_chans: int = 2,
    sfreq: int = 256,
    n_tokens: int = 1024,
    samples_per_token: int = 16,
    cue_uv: float = 30.0,
) -> Simulation:
    """Simulate trials whose label stands in the first second only.

    The first second of each trial holds an oscillation of 6 Hz (``low``) or
    12 Hz (``high``) in all channels; the rest is 1/f noise without any trace of
    it. A trial is `n_tokens` patches of `samples_per_token` samples, so a
    network that reads its answer at the last patch must carry the cue over the
    whole trial, and one that sees only a few patches back stays at chance.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_subjects, n_trials, n_chans : int
        People (one recording each), trials of each (balanced, random order)
        and channels, 4 at most.
    sfreq : int
        Hz, 48 or more.
    n_tokens, samples_per_token : int
        Their product is the length of a trial in samples, 2 s or more.
    cue_uv : float
        Peak of the oscillation in uV; the noise has a standard deviation of 10.

    Returns
    -------
    Simulation
        Stream ``"eeg"`` (uV); events ``low`` and ``high``, as long as a trial,
        one block each. Truth: ``label`` (subject, trial), ``cue_hz`` (mapping),
        ``cue_s`` and ``trial_s`` in seconds.

    Raises
    ------
    ConfigError
        If a size is not positive or out of range.

    Examples
    --------
    >>> made = cue_recall(seed=1, n_subjects=1, n_trials=2, sfreq=64, n_tokens=1000,
    ...                   samples_per_token=1)
    >>> made.recordings[0].stream("eeg")
    Regular(eeg, 2 x 2000, 64 Hz, uV, 31.25 s)
    """
    check_positive(
        n_subjects=n_subjects, n_trials=n_trials, n_chans=n_chans, n_tokens=n_tokens,
        samples_per_token=samples_per_token, cue_uv=cue_uv,
    )  # fmt: skip
    n_times = n_tokens * samples_per_token
    if sfreq < 48 or n_chans > 4 or n_times < 2 * _CUE_S * sfreq:
        raise ConfigError(
            f"sfreq={sfreq} Hz (48 or more), n_chans={n_chans} (at most 4) or a trial of "
            f"{n_times} samples (2 s or more) is out of range."
        )
    recordings, labels = [], []
    for s in range(n_subjects):
        rng = rng_of(seed, s)
        label = np.where(rng.permutation(np.arange(n_trials) % 2 == 0), "low", "high")
        x = _trials(rng, label, n_chans, n_times, sfreq, cue_uv)
        recordings.append(_recording(x, label, sfreq, s, seed))
        labels.append(label)
    truth = {
        "label": np.stack(labels),
        "cue_hz": _CUES_HZ,
        "cue_s": _CUE_S,
        "trial_s": n_times / sfreq,
    }
    return Simulation(tuple(recordings), truth)


def _trials(
    rng: np.random.Generator,
    label: AnyArray,
    n_chans: int,
    n_times: int,
    sfreq: int,
    cue_uv: float,
) -> FloatArray:
    """All trials of a person, one after the other, (channel, trial * time)."""
    t = np.arange(round(_CUE_S * sfreq)) / sfreq
    envelope = np.hanning(len(t))
    trials = []
    for name in label.tolist():
        # noise of its own for every trial: none carries over to the next
        x = _BACKGROUND_UV * coloured_noise(rng, n_chans, n_times, sfreq)
        wave = np.sin(2 * np.pi * (_CUES_HZ[name] * t + rng.uniform()))
        x[:, : len(t)] += cue_uv * envelope * wave
        trials.append(x)
    return np.concatenate(trials, axis=1)


def _recording(x: FloatArray, label: AnyArray, sfreq: int, number: int, seed: int) -> "Recording":
    from neuro.data import Axis, Events, Recording, Regular, exact_rate

    trial_s = x.shape[1] / len(label) / sfreq
    axis = Axis(("Fz", "Cz", "Pz", "Oz")[: len(x)], "eeg", reference="average")
    signal = Regular(x.astype(np.float32), exact_rate(sfreq), "uV", axis, "eeg")
    events = Events.make(
        np.arange(len(label)) * trial_s,
        label,
        duration_s=trial_s,
        block=np.arange(len(label)),
    )
    return Recording(
        {"eeg": signal},
        events,
        dataset="synthetic_cue_recall",
        subject=f"{number + 1:02d}",
        run="1",
        task="recall",
        provenance=simulated("cue_recall", seed),
    )
