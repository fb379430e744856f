"""Region series whose correlations switch between states, at a rate that may be the label."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError
from neuro.stats.hmm import sample_states
from neuro.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["switching_fc"]


def switching_fc(
    seed: int = 0,
    *,
    n_scans: int = 20,
    n_rois: int = 30,
    n_states: int = 3,
    n_blocks: int = 3,
    n_volumes: int = 600,
    tr: float = 1.0,
    dwell: float | Sequence[float] = 60.0,
    within: float = 0.5,
    individuality: float = 0.2,
) -> Simulation:
    """Simulate scans that jump between patterns of functional connectivity.

    Each state groups the regions into blocks in its own way; regions of a block
    share `within` of their variance. A hidden Markov chain picks the state of
    each volume: it stays for `dwell` volumes on average and leaves for any other
    with the same probability, so that all states are equally frequent whatever
    the dwell time. With two dwell times every second scan belongs to a second
    group that differs in nothing else: the expected correlation over a scan is
    the same in both groups, only the rate of switching tells them apart.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_scans, n_rois, n_states, n_blocks, n_volumes : int
        Scans (one a person), regions, states, blocks a state, samples a scan.
    tr : float
        Seconds.
    dwell : float, or two of them
        Mean stay in a state in volumes, of all scans or of each group.
    within : float
        Correlation of two regions of one block.
    individuality : float
        Deviation of each person's region loadings around 1.

    Returns
    -------
    Simulation
        Stream ``"bold"`` (z); ``group`` is ``"slow"`` or ``"fast"`` where there
        are two, by dwell time. Truth: ``states`` (scan, volume), ``correlation``
        (state, region, region) without individuality, ``static_correlation``
        (region, region) expected over a long scan, ``dwell`` (scan,), ``blocks``
        (state, region).

    Raises
    ------
    ConfigError
        If sizes are not positive or do not fit.

    Examples
    --------
    >>> made = switching_fc(seed=1, n_scans=2, n_volumes=100, dwell=(90, 30))
    >>> [r.group for r in made.recordings], made.truth["states"].shape
    (['slow', 'fast'], (2, 100))
    """
    dwells = np.atleast_1d(np.asarray(dwell, dtype=np.float64))
    check_positive(n_scans=n_scans, n_rois=n_rois, n_volumes=n_volumes, tr=tr)
    if n_states < 2 or not 2 <= n_blocks <= n_rois:
        raise ConfigError(
            f"n_states={n_states} must be 2 or more and n_blocks={n_blocks} from 2 to {n_rois}."
        )
    if dwells.ndim != 1 or len(dwells) > 2 or not (dwells > 1).all():
        raise ConfigError(f"dwell={dwell!r} must be one or two numbers of volumes above 1.")
    if not 0 <= within < 1 or individuality < 0:
        raise ConfigError(
            f"within={within} must be from 0 to below 1, individuality={individuality} 0 or more."
        )
    rng = rng_of(seed)
    order = [rng.permutation(n_rois) for _ in range(n_states)]
    blocks = np.stack([np.argsort(o) % n_blocks for o in order])
    recordings, states = [], []
    for s in range(n_scans):
        own = rng_of(seed, s)
        stay = dwells[s % len(dwells)]
        path = sample_states(n_volumes, _transition(n_states, stay), seed=own)
        loading = 1 + individuality * own.standard_normal(n_rois)
        x = _series(own, blocks[path], n_blocks, within, loading)
        group = "" if len(dwells) == 1 else ("slow" if stay == dwells.max() else "fast")
        recordings.append(_recording(x, s, group, tr, seed))
        states.append(path)
    correlation = within * (blocks[:, :, None] == blocks[:, None, :]).astype(np.float64)
    correlation[:, np.arange(n_rois), np.arange(n_rois)] = 1.0
    truth = {
        "states": np.stack(states),
        "blocks": blocks,
        "correlation": correlation,
        "static_correlation": correlation.mean(axis=0),
        "dwell": dwells[np.arange(n_scans) % len(dwells)],
    }
    return Simulation(tuple(recordings), truth)


def _transition(n_states: int, dwell: float) -> FloatArray:
    out = np.full((n_states, n_states), 1 / (dwell * (n_states - 1)))
    np.fill_diagonal(out, 1 - 1 / dwell)
    return out


def _series(
    rng: np.random.Generator,
    blocks: IntArray,
    n_blocks: int,
    within: float,
    loading: FloatArray,
) -> FloatArray:
    """Regions (n_rois, n_volumes) that follow the signal of their present block."""
    n_volumes, n_rois = blocks.shape
    shared = rng.standard_normal((n_volumes, n_blocks))
    common = np.take_along_axis(shared, blocks, axis=1) * np.sqrt(within) * loading
    own = np.sqrt(1 - within) * rng.standard_normal((n_volumes, n_rois))
    return np.asarray((common + own).T)


def _recording(x: FloatArray, scan: int, group: str, tr: float, seed: int) -> "Recording":
    from neuro.data import Axis, Recording, Regular, exact_rate

    axis = Axis(
        [f"region{i + 1:02d}" for i in range(len(x))],
        "roi",
        atlas="synthetic_states",
        labels=np.arange(1, len(x) + 1),
    )
    z = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    return Recording(
        {"bold": Regular(z.astype(np.float32), exact_rate(1 / tr), "z", axis, "bold")},
        dataset="synthetic_switching_fc",
        subject=f"{scan + 1:03d}",
        task="rest",
        group=group,
        provenance=simulated("switching_fc", seed),
    )
