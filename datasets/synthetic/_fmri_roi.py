"""ROI series of two groups of people: modules, a task, and one connection that differs."""

from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets.synthetic._bold import slow_signals, warm_up
from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError
from neuro.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data import Events, Recording

__all__ = ["fmri_roi"]

_FINE_S = 0.5  # step of the neural signals
_PERSISTENCE = 0.8  # AR(1) coefficient a step: memory of about 2 s
_NOISE = 0.2  # share of the variance that is measurement noise
_SD_PERCENT = 0.8
_BLOCK_S = 20.0


def fmri_roi(
    seed: int = 0,
    *,
    n_subjects: int = 12,
    n_rois: int = 40,
    n_modules: int = 5,
    n_volumes: int = 240,
    tr: float = 2.0,
    within: float = 0.6,
    between: float = 0.1,
    group_effect: float = 0.5,
    individuality: float = 0.25,
    task_effect: float = 1.0,
) -> Simulation:
    """Simulate BOLD of regions in modules, with a task and a group difference.

    Every region follows its module's latent signal and one of its own, both
    AR(1) at 0.5 s, convolved with the canonical HRF, plus white noise. Latent
    signals correlate by `between`; between modules 0 and 1 by `group_effect`
    more in patients. Each person also has an own small pattern of latent
    correlations, the same in every run. During task blocks of 20 s, every 40 s,
    the regions of module 2 (the last, if there are fewer) rise.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_subjects, n_rois, n_modules, n_volumes : int
        People (two runs each; every second a patient), regions, modules,
        samples a run.
    tr : float
        Seconds; a multiple of 0.5.
    within : float
        Share of a region's neural variance that is its module's.
    between, group_effect : float
        Correlation of latent signals, and what patients have more between
        modules 0 and 1.
    individuality : float
        Standard deviation of each person's own region loadings.
    task_effect : float
        Height of the response in units of the region's standard deviation.

    Returns
    -------
    Simulation
        Stream ``"bold"`` (percent); events ``task`` and ``rest``, a block each;
        ``group`` is ``"patient"`` or ``"control"``. Truth: ``module``
        (region,), ``latent_correlation`` (2, module, module) for controls and
        patients, ``correlation`` (2, region, region) expected at rest for a
        person without peculiarities, ``patient`` (recording,), ``task_module``,
        ``task_effect``, ``hrf_peak_s``.

    Raises
    ------
    ConfigError
        If sizes are not positive or do not fit, or a correlation is impossible.

    Examples
    --------
    >>> made = fmri_roi(seed=1, n_subjects=2, n_volumes=60)
    >>> made.recordings[0].stream("bold")
    Regular(bold, 40 x 60, 0.5 Hz, percent, 120 s)
    """
    check_positive(n_subjects=n_subjects, n_rois=n_rois, n_volumes=n_volumes, tr=tr)
    if not 2 <= n_modules <= n_rois:
        raise ConfigError(f"n_modules={n_modules} must be from 2 to n_rois={n_rois}.")
    fine = round(tr / _FINE_S)
    if fine < 1 or abs(fine * _FINE_S - tr) > 1e-9:
        raise ConfigError(f"tr={tr} s must be a multiple of {_FINE_S} s.")
    if not 0 <= within <= 1:
        raise ConfigError(f"within={within} is a share, from 0 to 1.")
    latent = np.stack([_latent(n_modules, between, extra) for extra in (0.0, group_effect)])
    rng = rng_of(seed)
    module = rng.permutation(np.arange(n_rois) % n_modules)
    task_module = min(2, n_modules - 1)
    events = _blocks(n_volumes * tr)
    course = _course(events, tr, n_volumes)
    recordings = []
    for s in range(n_subjects):
        own = individuality * rng_of(seed, s).standard_normal((n_rois, n_modules))
        for run in (1, 2):
            x = _run(rng_of(seed, s, run), module, latent[s % 2], own, within, n_volumes, fine)
            x[module == task_module] += task_effect * course
            facts = (f"{s + 1:02d}", str(run), "patient" if s % 2 else "control")
            recordings.append(_recording(_SD_PERCENT * x, module, events, facts, tr, seed))
    same = module[:, None] == module[None]
    expected = (1 - _NOISE) * within * np.where(same, 1.0, latent[:, module][:, :, module])
    expected[:, np.arange(n_rois), np.arange(n_rois)] = 1.0
    truth = {
        "module": module,
        "latent_correlation": latent,
        "correlation": expected,
        "patient": np.array([r.group == "patient" for r in recordings]),
        "task_module": task_module,
        "task_effect": task_effect,
        "hrf_peak_s": 5.0,
    }
    return Simulation(tuple(recordings), truth)


def _latent(n_modules: int, between: float, extra: float) -> FloatArray:
    out = np.full((n_modules, n_modules), between)
    out[0, 1] = out[1, 0] = between + extra
    np.fill_diagonal(out, 1.0)
    if np.linalg.eigvalsh(out).min() <= 0 or abs(between + extra) >= 1:
        raise ConfigError(f"between={between} with group_effect={extra} is no correlation matrix.")
    return out


def _smooth(rng: np.random.Generator, n_rows: int, n_volumes: int, fine: int) -> FloatArray:
    """AR(1) signals convolved with the HRF, one sample a volume, variance 1 expected."""
    n_steps = warm_up(_FINE_S) + n_volumes * fine
    noise = rng.standard_normal((n_rows, n_steps))
    return slow_signals(noise, _FINE_S, _PERSISTENCE)[:, ::fine]


def _run(
    rng: np.random.Generator,
    module: IntArray,
    latent: FloatArray,
    own: FloatArray,
    within: float,
    n_volumes: int,
    fine: int,
) -> FloatArray:
    n_rois, n_modules = own.shape
    shared = np.linalg.cholesky(latent) @ _smooth(rng, n_modules, n_volumes, fine)
    loading = np.eye(n_modules)[module] + own
    # variance 1 for every latent part, whatever the person's own loadings
    loading /= np.sqrt(np.einsum("rm,mn,rn->r", loading, latent, loading))[:, None]
    neural = np.sqrt(within) * loading @ shared
    neural += np.sqrt(1 - within) * _smooth(rng, n_rois, n_volumes, fine)
    noise = rng.standard_normal((n_rois, n_volumes))
    return np.asarray(np.sqrt(1 - _NOISE) * neural + np.sqrt(_NOISE) * noise)


def _blocks(length_s: float) -> "Events":
    from neuro.data import Events

    onset = np.arange(0, length_s, _BLOCK_S)
    return Events.make(
        onset,
        np.where(np.arange(len(onset)) % 2, "task", "rest"),
        duration_s=np.minimum(_BLOCK_S, length_s - onset),
        block=np.arange(len(onset)),
    )


def _course(events: "Events", tr: float, n_volumes: int) -> FloatArray:
    from neuro.signal import convolve_hrf

    task = events.select("task")
    return convolve_hrf(task.onset_s, task.duration_s, tr=tr, n_times=n_volumes)


def _recording(
    x: FloatArray,
    module: IntArray,
    events: "Events",
    facts: tuple[str, str, str],
    tr: float,
    seed: int,
) -> "Recording":
    from neuro.data import Axis, Recording, Regular, exact_rate

    axis = Axis(
        [f"region{i + 1:02d}" for i in range(len(module))],
        "roi",
        atlas="synthetic_modules",
        labels=np.arange(1, len(module) + 1),
    )
    subject, run, group = facts
    return Recording(
        {"bold": Regular(x.astype(np.float32), exact_rate(1 / tr), "percent", axis, "bold")},
        events,
        dataset="synthetic_fmri_roi",
        subject=subject,
        run=run,
        task="blocks",
        group=group,
        provenance=simulated("fmri_roi", seed),
    )
