"""What fMRIPrep measured of motion, drift and noise, taken out of a run."""

from pathlib import Path

import numpy as np

from neuro.data import Regular
from neuro.errors import ConfigError, DataError, FileError, did_you_mean
from neuro.io._files import reason
from neuro.typing import BoolArray, FloatArray, IntArray

__all__ = ["PRESETS", "regress_out"]

# nilearn's presets by their own name; "minimal" is ours: 6 motion parameters + drifts
PRESETS = ("minimal", "simple", "scrubbing", "compcor", "ica_aroma")


def regress_out(stream: Regular, path: Path, preset: str) -> tuple[Regular, list[str]]:
    """The stream without what the preset's confounds explain, censored volumes missing.

    Parameters
    ----------
    stream : Regular
        Voxels or regions of the run.
    path : Path
        The preprocessed file; its confounds table lies beside it.
    preset : str
        One of :data:`PRESETS`.

    Returns
    -------
    tuple of Regular and list of str
        Each row keeps its mean.
    """
    if preset not in PRESETS:
        raise ConfigError(f"No confounds preset {preset!r}. {did_you_mean(preset, PRESETS)}")
    table, kept = _confounds(path, preset)
    n = stream.n_times
    if len(table) != n:
        raise FileError(
            f"'{path.name}' has {n} volumes, its confounds table {len(table)} rows. They belong to "
            "different runs."
        )
    if len(kept) <= table.shape[1] + 1:
        raise DataError(
            f"{len(kept)} volumes are left after censoring, with {table.shape[1]} confounds: too "
            "few. Take a smaller preset or leave the run out."
        )
    x = np.full(stream.shape, np.nan, dtype=np.float32)
    values = stream.values()
    x[:, kept] = _residuals(values[:, kept], table[kept])
    steps = [f"confounds {preset}: {table.shape[1]} regressors"]
    if len(kept) < n:
        steps.append(f"censored {n - len(kept)} of {n} volumes")
    bad = stream.axis.bad.copy()
    return (
        Regular(
            x,
            stream.rate,
            stream.unit,
            stream.axis.replace(bad=bad),
            stream.modality,
            t0_s=stream.t0_s,
            segments=_runs(kept, n),
        ),
        steps,
    )


def _confounds(path: Path, preset: str) -> tuple[FloatArray, IntArray]:
    from nilearn.interfaces import fmriprep

    try:
        if preset == "minimal":
            table, kept = fmriprep.load_confounds(
                str(path), strategy=("high_pass", "motion"), motion="basic"
            )
        else:
            table, kept = fmriprep.load_confounds_strategy(str(path), denoise_strategy=preset)
    except Exception as error:
        raise FileError(
            f"'{path.name}': confounds '{preset}' cannot be loaded ({reason(error, path)}). Keep "
            "the *_desc-confounds_timeseries.tsv and .json beside it, or pass confounds=None."
        ) from error
    values = np.asarray(table, dtype=np.float64)
    rows = np.arange(len(values)) if kept is None else np.asarray(kept, dtype=np.int64)
    return values, rows


def _residuals(x: FloatArray, table: FloatArray) -> FloatArray:
    """Rows minus their projection on the centred confounds; means stay."""
    design = table - table.mean(axis=0)
    size = design.std(axis=0)
    design = design[:, size > 0] / size[size > 0]
    out = x.astype(np.float64)
    whole: BoolArray = np.asarray(np.isfinite(out).all(axis=1))
    basis = np.linalg.svd(design, full_matrices=False)
    base = basis[0][:, basis[1] > 1e-10 * max(1.0, float(basis[1].max(initial=0.0)))]
    centred = out[whole] - out[whole].mean(axis=1, keepdims=True)
    out[whole] -= (centred @ base) @ base.T
    out[~whole] = np.nan  # a row with a hole cannot be regressed
    return out


def _runs(kept: IntArray, n: int) -> IntArray:
    inside_run = np.zeros(n + 2, dtype=np.int8)
    inside_run[kept + 1] = 1
    edges = np.diff(inside_run)
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)
