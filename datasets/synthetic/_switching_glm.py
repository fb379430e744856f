"""Neurons whose couplings switch with a hidden state."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError
from neuro.signal.bases import exponential_basis
from neuro.stats.hmm import sample_states
from neuro.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["switching_glm"]

_N_LAGS = 5
_TYPES = np.array([-1, 0, 1])  # inhibitory, none, excitatory: the order of the publication
_CONCENTRATION = 2 * np.array([0.1, 0.8, 0.1])
_INPUT_BINS = 25  # half the reach of the input's smoothing
_LARGEST_GAIN = 0.17  # of the couplings at the base rate; excursions are steeper


def switching_glm(
    seed: int = 0,
    *,
    n_units: int = 20,
    n_states: int = 5,
    n_sessions: int = 12,
    n_bins: int = 2000,
    recipe: Literal["demo", "skeleton"] = "demo",
    stay: float | None = None,
    redrawn: float = 0.1,
    rate: float = 0.1,
    switching: bool = True,
    drive: float = 0.0,
    bin_s: float = 0.02,
    max_count: float = 50.0,
) -> Simulation:
    """Simulate counts of a GLM whose couplings depend on a hidden Markov state.

    "demo" follows the demonstration of the one-hot HMM-GLM (arXiv 2310.15263, released
    code): each edge has its own probabilities of being inhibitory, absent or
    excitatory, each state draws the edge's type from them and a strength
    ``log(1 + 3 u)``; rates are sigmoids. "skeleton" is for larger networks: a fifth of
    the edges exists, each state draws some of them anew and all strengths, rates are
    softplus of about ``rate`` counts a bin.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_units, n_states : int
        Neurons, and states.
    n_sessions, n_bins : int
        Recordings, and bins of each.
    recipe : {"demo", "skeleton"}
        How couplings are drawn.
    stay : float, optional
        Probability of staying in a state from bin to bin; 0.98 ("demo") or 0.99.
    redrawn : float
        "skeleton": share of each state's edges that differ from the common ones.
    rate : float
        "skeleton": counts of a bin without couplings.
    switching : bool
        False makes the null: there are states, but all have the first one's couplings.
    drive : float
        Log odds of moving to an even state rather than staying, for one more of a slow
        input; of moving to an odd state, its opposite. Other than 0, recordings have
        the stream ``"input"``.
    bin_s : float
        Width of a bin in seconds.
    max_count : float
        Expected counts of a bin beyond which the activity has run away.

    Returns
    -------
    Simulation
        Stream ``"spikes"`` of counts. Truth: ``states`` (session, bin), ``weights``
        (state, post, pre), ``bias`` (unit,), ``transition`` (state, state),
        ``skeleton`` (post, pre; -1, 0 or 1, the likeliest type of each edge),
        ``types`` (state, post, pre), ``basis`` (lag,), ``link``, ``move_weights``
        (state, state, 1), zero on the diagonal; ``transition`` is at an input of zero.

    Raises
    ------
    ConfigError
        Sizes out of range, or activity that runs away.

    Examples
    --------
    >>> made = switching_glm(seed=1, n_sessions=2, n_bins=100)
    >>> made.recordings[0].stream("spikes").data.shape, made.truth["weights"].shape
    ((20, 100), (5, 20, 20))
    """
    check_positive(
        n_units=n_units, n_states=n_states, n_sessions=n_sessions, n_bins=n_bins, rate=rate,
        bin_s=bin_s, max_count=max_count,
    )  # fmt: skip
    if recipe not in ("demo", "skeleton"):
        raise ConfigError(f"recipe={recipe!r} is not known: use 'demo' or 'skeleton'.")
    stay = (0.98 if recipe == "demo" else 0.99) if stay is None else stay
    if not 0 < stay <= 1 or not 0 <= redrawn <= 1:
        raise ConfigError(f"stay={stay} and redrawn={redrawn} are shares from 0 to 1.")
    rng = rng_of(seed)
    draw = _demo if recipe == "demo" else _skeleton
    weights, skeleton, bias = draw(rng, n_units, n_states, redrawn, rate)
    if not switching:
        weights = np.repeat(weights[:1], n_states, axis=0)
    away = (1 - stay) / max(1, n_states - 1)
    transition = np.full((n_states, n_states), away)
    np.fill_diagonal(transition, stay if n_states > 1 else 1.0)
    towards = drive * np.where(np.arange(n_states) % 2, -1.0, 1.0) * (1 - np.eye(n_states)) + 0.0
    basis = exponential_basis(_N_LAGS)[0]
    link = "sigmoid" if recipe == "demo" else "softplus"
    inputs = [_slow(rng, n_bins) if drive else None for _ in range(n_sessions)]
    states = np.stack(
        [sample_states(n_bins, _driven(transition, towards, u), seed=rng) for u in inputs]
    )
    counts = [_counts(rng, path, weights, bias, basis, link, max_count) for path in states]
    truth = {
        "states": states,
        "weights": weights,
        "bias": bias,
        "transition": transition,
        "move_weights": towards[:, :, np.newaxis],
        "skeleton": skeleton,
        "types": np.sign(weights).astype(np.int64),
        "basis": basis,
        "link": link,
        "stay": stay,
    }
    recordings = [_recording(one, inputs[i], i, bin_s, seed) for i, one in enumerate(counts)]
    return Simulation(tuple(recordings), truth)


def _slow(rng: np.random.Generator, n_bins: int) -> FloatArray:
    """Smooth noise of mean 0 and variance 1 that changes over some fifty bins."""
    kernel = np.hanning(2 * _INPUT_BINS + 1)
    noise = rng.standard_normal(n_bins + 2 * _INPUT_BINS)
    return np.asarray(np.convolve(noise, kernel / np.sqrt((kernel**2).sum()), "valid"))


def _driven(transition: FloatArray, towards: FloatArray, course: FloatArray | None) -> FloatArray:
    """Transition matrix, or one a bin for log odds that are linear in the input."""
    if course is None:
        return transition
    weighted = transition * np.exp(towards * course[:, np.newaxis, np.newaxis])
    return np.asarray(weighted / weighted.sum(axis=2, keepdims=True))


def _demo(
    rng: np.random.Generator, n_units: int, n_states: int, redrawn: float, rate: float
) -> tuple[FloatArray, IntArray, FloatArray]:
    prior = rng.dirichlet(_CONCENTRATION, (n_units, n_units))
    # the hardest entry of a concrete sample is a categorical one, whatever its temperature
    noise = rng.gumbel(size=(n_states, n_units, n_units, 3))
    drawn = _TYPES[(np.log(np.maximum(prior, 1e-300)) + noise).argmax(axis=-1)]
    strength = np.log1p(3 * rng.random((n_states, n_units, n_units)))
    bias = rng.uniform(-0.05, 0.05, n_units)
    return drawn * strength, _TYPES[prior.argmax(axis=-1)], bias


def _skeleton(
    rng: np.random.Generator, n_units: int, n_states: int, redrawn: float, rate: float
) -> tuple[FloatArray, IntArray, FloatArray]:
    shape = (n_units, n_units)

    def types() -> IntArray:
        return np.asarray((rng.random(shape) < 0.2) * np.where(rng.random(shape) < 0.5, 1, -1))

    common = types()
    drawn = np.stack(
        [np.where(rng.random(shape) < redrawn, types(), common) for _ in range(n_states)]
    )
    weights = drawn * rng.uniform(0.2, 1.0, drawn.shape)
    # softplus has the slope 1 - exp(-rate) where its value is the rate
    radius = max(float(np.abs(np.linalg.eigvals(w)).max()) for w in weights)
    weights *= min(1.0, _LARGEST_GAIN / max(radius * -np.expm1(-rate), 1e-12))
    bias = np.full(n_units, rate + np.log(-np.expm1(-rate)))
    return weights, common, bias


def _counts(
    rng: np.random.Generator,
    path: IntArray,
    weights: FloatArray,
    bias: FloatArray,
    basis: FloatArray,
    link: str,
    max_count: float,
) -> FloatArray:
    out = np.zeros((len(path), len(bias)))
    recent = np.zeros((len(basis), len(bias)))
    for t, state in enumerate(path):
        drive = bias + weights[state] @ (basis @ recent)
        small = np.exp(-np.abs(drive))
        if link == "sigmoid":
            expected = np.where(drive > 0, 1.0, small) / (1 + small)
        else:
            expected = np.maximum(drive, 0) + np.log1p(small)
        if expected.max() > max_count:
            raise ConfigError(
                f"Activity runs away: {expected.max():.3g} counts expected in bin {t}, more than "
                f"max_count={max_count:g}. Use fewer units, a lower rate or recipe='demo'."
            )
        out[t] = rng.poisson(expected)
        recent[1:] = recent[:-1].copy()
        recent[0] = out[t]
    return out.T


def _recording(
    counts: FloatArray, course: FloatArray | None, number: int, bin_s: float, seed: int
) -> "Recording":
    from neuro.data import Axis, Recording, Regular, exact_rate

    axis = Axis([f"unit{i + 1:03d}" for i in range(len(counts))], "unit")
    rate = exact_rate(1 / bin_s)
    streams = {"spikes": Regular(counts.astype(np.float32), rate, "counts", axis, "spikes")}
    if course is not None:
        one = Axis(["input"], "misc")
        streams["input"] = Regular(
            course[np.newaxis].astype(np.float32), rate, "au", one, "behaviour"
        )
    return Recording(
        streams,
        dataset="synthetic_switching_glm",
        subject="01",
        session=f"{number + 1:02d}",
        task="switching",
        provenance=simulated("switching_glm", seed),
    )
