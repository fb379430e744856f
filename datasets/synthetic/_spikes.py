"""Coupled neurons, some tuned to the direction of the head."""

from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError
from neuro.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["spikes"]

_STEP_S = 0.002
_ANGLE_HZ = 50
_TAU_S = 0.02  # decay of a coupling
_REFRACTORY_S = _STEP_S
_MAX_HZ = 150.0
_LARGEST_GAIN = 0.6  # spikes that one spike may cause in the whole network


def spikes(
    seed: int = 0,
    *,
    n_units: int = 12,
    n_tuned: int = 8,
    duration_s: float = 300.0,
    rate_hz: float = 8.0,
    concentration: float = 2.0,
    coupling: float = 1.0,
    n_couplings: int = 12,
) -> Simulation:
    """Simulate spikes of a GLM with tuning, couplings and refractoriness.

    In steps of 2 ms a unit fires with the probability of a Poisson process of
    log rate = baseline + tuning to the head's angle + couplings. A spike of a
    presynaptic unit adds its weight, decaying with 20 ms. No unit fires twice
    within 2 ms. Weights are scaled down together where a spike could cause
    more than 0.6 further spikes, and rates are bounded at 150 Hz, so that
    activity cannot run away.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_units, n_tuned : int
        Units, and how many of them (the first) are tuned to head direction.
    duration_s : float
        Length in seconds.
    rate_hz : float
        Mean rate of a unit without couplings; each unit has its own around it.
    concentration : float
        Of the von Mises tuning.
    coupling : float
        Largest absolute weight, as a change of log rate right after a spike.
    n_couplings : int
        Directed pairs of different units that are coupled; every third inhibits.

    Returns
    -------
    Simulation
        Streams ``"spikes"`` and ``"head_angle"`` (rad, 50 Hz, -pi to pi).
        Truth: ``preferred_rad`` (unit,; NaN if untuned), ``concentration``,
        ``log_rate`` (unit,) baseline, ``couplings`` (to, from), ``tau_s``,
        ``refractory_s``, ``expected_hz`` (unit,) without couplings.

    Raises
    ------
    ConfigError
        If a size or rate is not positive or does not fit.

    Examples
    --------
    >>> made = spikes(seed=1, duration_s=20)
    >>> len(made.recordings[0].stream("spikes").units)
    12
    """
    check_positive(n_units=n_units, duration_s=duration_s, rate_hz=rate_hz)
    if not 0 <= n_tuned <= n_units or not 0 <= n_couplings <= n_units * (n_units - 1):
        raise ConfigError(f"n_tuned={n_tuned} or n_couplings={n_couplings} exceed {n_units} units.")
    if rate_hz > _MAX_HZ / 4 or concentration < 0 or coupling < 0:
        raise ConfigError(
            f"rate_hz={rate_hz} (at most {_MAX_HZ / 4:g}), concentration={concentration} and "
            f"coupling={coupling} (0 or more) are out of range."
        )
    rng = rng_of(seed)
    n_steps = round(duration_s / _STEP_S)
    angle = _head_angle(rng, n_steps)
    mean_hz = rate_hz * rng.uniform(0.6, 1.4, n_units)
    preferred = np.full(n_units, np.nan)
    turn = 2 * np.pi * np.arange(n_tuned) / max(n_tuned, 1)
    preferred[:n_tuned] = _wrapped(turn + rng.uniform(0, 2 * np.pi))
    # the mean of exp(k cos) over the circle is the Bessel function I0
    log_rate = np.log(mean_hz) - np.where(np.isfinite(preferred), np.log(np.i0(concentration)), 0.0)
    drive = log_rate[:, None] + np.where(
        np.isfinite(preferred)[:, None],
        concentration * np.cos(angle[None] - np.nan_to_num(preferred)[:, None]),
        0.0,
    )
    weights = _couplings(rng, n_units, n_couplings, coupling, mean_hz)
    times, units = _simulate(rng, drive, weights)
    truth = {
        "preferred_rad": preferred,
        "concentration": concentration,
        "log_rate": log_rate,
        "couplings": weights,
        "tau_s": _TAU_S,
        "refractory_s": _REFRACTORY_S,
        "expected_hz": mean_hz,
    }
    every = round(1 / (_ANGLE_HZ * _STEP_S))
    recording = _recording(times, units, preferred, angle[::every], duration_s, seed)
    return Simulation((recording,), truth)


def _wrapped(angle: FloatArray) -> FloatArray:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def _head_angle(rng: np.random.Generator, n_steps: int) -> FloatArray:
    """A head that turns at a slowly changing speed, sd 1.5 rad/s, memory 0.5 s."""
    from scipy.signal import lfilter

    keep = np.exp(-_STEP_S / 0.5)
    noise = rng.standard_normal(n_steps) * np.sqrt(1 - keep**2)
    speed = 1.5 * lfilter([1.0], [1.0, -keep], noise)
    return _wrapped(rng.uniform(-np.pi, np.pi) + np.cumsum(speed) * _STEP_S)


def _couplings(
    rng: np.random.Generator, n_units: int, n_couplings: int, largest: float, mean_hz: FloatArray
) -> FloatArray:
    weights = np.zeros((n_units, n_units))
    pairs = [(i, j) for i in range(n_units) for j in range(n_units) if i != j]
    for k, at in enumerate(rng.choice(len(pairs), n_couplings, replace=False).tolist()):
        size = largest * rng.uniform(0.7, 1.0)
        weights[pairs[at]] = -size if k % 3 == 2 else size
    # further spikes of i by one spike of j, to first order in the response exp(w) - 1
    gain = mean_hz[:, None] * _TAU_S * np.expm1(np.maximum(weights, 0.0))
    strongest = float(np.abs(np.linalg.eigvals(gain)).max(initial=0.0))
    strongest = max(strongest, float(gain.sum(axis=0).max(initial=0.0)))
    if strongest > _LARGEST_GAIN:
        weights *= _LARGEST_GAIN / strongest
    return weights


def _simulate(
    rng: np.random.Generator, drive: FloatArray, weights: FloatArray
) -> tuple[FloatArray, IntArray]:
    n_units, n_steps = drive.shape
    chance = -np.log1p(-rng.random((n_steps, n_units)))  # exponential: fires where below the rate
    base = np.ascontiguousarray(drive.T) + np.log(_STEP_S)
    cap = np.log(_MAX_HZ * _STEP_S)
    decay = np.exp(-_STEP_S / _TAU_S)
    trace = np.zeros(n_units)
    silent = np.zeros(n_units, dtype=bool)
    fired_at: list[IntArray] = []
    steps: list[int] = []
    for step in range(n_steps):
        rate = np.exp(np.minimum(base[step] + trace, cap))
        fired = (chance[step] < rate) & ~silent
        trace *= decay
        silent = fired
        if fired.any():
            which = np.flatnonzero(fired)
            trace += weights[:, which].sum(axis=1)
            fired_at.append(which)
            steps.append(step)
    if not steps:
        return np.zeros(0), np.zeros(0, dtype=np.int32)
    units = np.concatenate(fired_at)
    at = np.repeat(steps, [len(which) for which in fired_at])
    # somewhere inside the step: two steps of one unit are never adjacent, so 2 ms apart
    times = (at + rng.random(len(at))) * _STEP_S
    order = np.argsort(times, kind="stable")
    return times[order], units[order]


def _recording(
    times: FloatArray,
    units: IntArray,
    preferred: FloatArray,
    angle: FloatArray,
    duration_s: float,
    seed: int,
) -> "Recording":
    from neuro.data import Axis, Irregular, Recording, Regular, exact_rate

    table = Axis(
        [f"unit{i + 1:02d}" for i in range(len(preferred))],
        "unit",
        columns={"location": np.where(np.isfinite(preferred), "tuned", "untuned")},
    )
    inside = times < duration_s
    train = Irregular(times[inside], units[inside], table, [(0.0, duration_s)])  # type: ignore[arg-type]
    head = Regular(
        angle[None].astype(np.float32),
        exact_rate(_ANGLE_HZ),
        "rad",
        Axis(["head_angle"], "angle"),
        "behaviour",
    )
    return Recording(
        {"spikes": train, "head_angle": head},
        dataset="synthetic_spikes",
        subject="01",
        session="1",
        run="1",
        task="exploration",
        provenance=simulated("spikes", seed),
    )
