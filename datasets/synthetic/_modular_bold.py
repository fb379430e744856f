"""Resting ROI series of many people: modules, and two groups that differ in one coupling."""

from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets.synthetic._bold import slow_signals, warm_up
from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["modular_bold"]

# The signals exist at this step whatever the TR: the HRF leaves less than a
# millionth of the variance above its Nyquist frequency.
_STEP_S = 0.36


def modular_bold(
    seed: int = 0,
    *,
    n_scans: int = 200,
    n_rois: int = 40,
    n_modules: int = 5,
    n_volumes: int = 420,
    tr: float = 0.72,
    snr: float = 1.0,
    coupling: float = 0.1,
    group_effect: float = 0.5,
    memory_s: float = 6.8,
) -> Simulation:
    """Simulate one resting scan each of two groups of people.

    A region is its module's latent signal, times a loading from 0.8 to 1.2
    that all people share, plus a signal of its own of variance ``1 / snr``.
    All signals are AR(1), convolved with the canonical HRF. Latent signals
    correlate by `coupling`; between modules 0 and 1 by `group_effect` more in
    patients, every second scan. Nothing else differs between people.

    With the same seed, another `tr` samples the same signals at other times,
    and a longer scan begins as the shorter one.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_scans, n_rois, n_modules, n_volumes : int
        Scans (one a person), regions, modules of equal size up to one region,
        samples a scan.
    tr : float
        Seconds; any.
    snr : float
        Variance of a region's shared part, with loading 1, over that of its own.
    coupling, group_effect : float
        Correlation of latent signals, and what patients have more between
        modules 0 and 1.
    memory_s : float
        Time after which a signal's autocorrelation before the HRF has fallen to
        1/e; 6.8 s is an AR(1) coefficient of 0.9 a volume of 0.72 s.

    Returns
    -------
    Simulation
        Stream ``"bold"`` (percent), atlas ``"synthetic_modules"``; ``group`` is
        ``"patient"`` or ``"control"``. Truth: ``module`` (region,), ``loading``
        (region,), ``coupling`` (2, module, module) for controls and patients,
        ``correlation`` (2, region, region) expected of a long scan, ``patient``
        (scan,).

    Raises
    ------
    ConfigError
        If sizes are not positive or do not fit, or a correlation is impossible.

    Examples
    --------
    >>> made = modular_bold(seed=1, n_scans=2, n_volumes=60, tr=1.4)
    >>> made.recordings[0].stream("bold")
    Regular(bold, 40 x 60, 0.714286 Hz, percent, 84 s)
    """
    check_positive(
        n_scans=n_scans, n_rois=n_rois, n_volumes=n_volumes, tr=tr, snr=snr, memory_s=memory_s
    )
    if not 2 <= n_modules <= n_rois:
        raise ConfigError(f"n_modules={n_modules} must be from 2 to n_rois={n_rois}.")
    between = np.stack([_coupling(n_modules, coupling, extra) for extra in (0.0, group_effect)])
    rng = rng_of(seed)
    module = rng.permutation(np.arange(n_rois) % n_modules)
    loading = rng.uniform(0.8, 1.2, n_rois)
    patient = np.arange(n_scans) % 2 == 1
    mix = np.linalg.cholesky(between)
    recordings = []
    for s in range(n_scans):
        made = _slow(rng_of(seed, s), n_modules + n_rois, n_volumes, tr, memory_s)
        shared = mix[int(patient[s])] @ made[:n_modules]
        x = loading[:, None] * shared[module] + made[n_modules:] / np.sqrt(snr)
        recordings.append(_recording(x, s, bool(patient[s]), tr, seed))
    shape = np.outer(loading, loading)
    covariance = shape * between[:, module][:, :, module] + np.eye(n_rois) / snr
    size = np.sqrt(np.einsum("gii->gi", covariance))
    truth = {
        "module": module,
        "loading": loading,
        "coupling": between,
        "correlation": covariance / size[:, :, None] / size[:, None],
        "patient": patient,
    }
    return Simulation(tuple(recordings), truth)


def _coupling(n_modules: int, coupling: float, extra: float) -> FloatArray:
    out = np.full((n_modules, n_modules), coupling)
    out[0, 1] = out[1, 0] = coupling + extra
    np.fill_diagonal(out, 1.0)
    if np.linalg.eigvalsh(out).min() <= 0:
        raise ConfigError(
            f"coupling={coupling} with group_effect={extra} is no correlation matrix."
        )
    return out


def _slow(
    rng: np.random.Generator, n_rows: int, n_volumes: int, tr: float, memory_s: float
) -> FloatArray:
    """Independent slow signals of variance 1, shape (n_rows, n_volumes)."""
    from scipy.interpolate import CubicSpline

    at = np.arange(n_volumes) * tr
    n_steps = int(at[-1] / _STEP_S) + 4
    # time first: a longer scan goes on where the shorter one ends
    noise = rng.standard_normal((warm_up(_STEP_S) + n_steps, n_rows)).T
    made = slow_signals(noise, _STEP_S, float(np.exp(-_STEP_S / memory_s)))
    return np.asarray(CubicSpline(np.arange(n_steps) * _STEP_S, made, axis=1)(at))


def _recording(x: FloatArray, scan: int, patient: bool, tr: float, seed: int) -> "Recording":
    from neuro.data import Axis, Recording, Regular, exact_rate

    names = [f"region{i + 1:02d}" for i in range(len(x))]
    axis = Axis(names, "roi", atlas="synthetic_modules", labels=np.arange(1, len(x) + 1))
    return Recording(
        {"bold": Regular(x.astype(np.float32), exact_rate(1 / tr), "percent", axis, "bold")},
        dataset="synthetic_modular_bold",
        subject=f"{scan + 1:03d}",
        task="rest",
        group="patient" if patient else "control",
        provenance=simulated("modular_bold", seed),
    )
