"""Outputs of fMRIPrep: a run with its brain mask, confounds and censoring."""

from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Recording, Regular
from neuro.errors import ConfigError, DataError, FileError, did_you_mean
from neuro.io._bids_names import entities, inside, safe_label
from neuro.io._files import reason
from neuro.io.fmri import Labels, read_nifti
from neuro.typing import BoolArray, FloatArray, IntArray, PathLike

__all__ = ["PRESETS", "read_fmriprep", "regress_out"]

# nilearn's presets by their own name; "minimal" is ours: 6 motion parameters + drifts
PRESETS = ("minimal", "simple", "scrubbing", "compcor", "ica_aroma")
_SUFFIX = "_desc-preproc_bold.nii.gz"
_SELECT = ("sub", "ses", "task", "run", "space", "acq", "echo", "res")


def read_fmriprep(
    path: PathLike,
    *,
    confounds: str | None = "minimal",
    mask: PathLike | None = None,
    atlas: PathLike | None = None,
    labels: Labels | None = None,
    tr: float | None = None,
    unit: str = "au",
    space: str | None = None,
    check: bool = True,
    **facts: Any,
) -> Recording:
    """Read one preprocessed run of fMRIPrep.

    Volumes that a scrubbing preset censors, and the first volumes that
    fMRIPrep flagged as not steady, are missing afterwards and cut segments, so
    that no window crosses them.

    Parameters
    ----------
    path : path-like
        A ``*_desc-preproc_bold.nii.gz`` or a folder in which exactly one such
        file fits `facts` and `space`.
    confounds : {"minimal", "simple", "scrubbing", "compcor", "ica_aroma"}, optional
        What to regress out: nilearn's presets, or ``"minimal"`` (6 motion
        parameters and slow drifts); None for nothing.
    mask : path-like or {"auto", "all"}, optional
        fMRIPrep's own brain mask of the run by default.
    atlas, labels, tr, unit, check
        As in :func:`neuro.io.read_nifti`.
    space : str, optional
        Output space, where a folder holds several.
    **facts
        Fields of :class:`Recording`; subject, session, run and task choose
        the file in a folder.

    Returns
    -------
    Recording

    Raises
    ------
    FileError
        If no file fits, or several do.
    ConfigError
        If the preset is unknown.

    Examples
    --------
    >>> from neuro.io import read_fmriprep
    >>> read_fmriprep("derivatives/fmriprep", subject="01", task="rest")  # doctest: +SKIP
    """
    path = Path(path)
    if path.is_dir():
        path = find_run(path, space=space, **facts)
    elif space is not None:
        raise ConfigError("space= chooses among the files of a folder; this is one file.")
    if mask is None and atlas is None:
        beside = path.with_name(path.name.replace("_desc-preproc_bold", "_desc-brain_mask"))
        mask = beside if beside.is_file() and beside != path else "auto"
    return read_nifti(
        path,
        tr=tr,
        mask=mask,
        atlas=atlas,
        labels=labels,
        confounds=confounds,
        unit=unit,
        check=check,
        **facts,
    )


def find_run(folder: Path, *, space: str | None = None, **facts: Any) -> Path:
    """The one preprocessed run in a folder that fits.

    Raises
    ------
    FileError
        Naming the choices if there is none or several.
    """
    wanted = {"sub": "subject", "ses": "session", "task": "task", "run": "run"}
    chosen = {
        key: safe_label(str(facts[fact]), fact) for key, fact in wanted.items() if facts.get(fact)
    }
    if space is not None:
        chosen["space"] = safe_label(space, "space")
    files = sorted(p for p in folder.rglob(f"*{_SUFFIX}") if p.is_file())
    fits = [p for p in files if chosen.items() <= entities(p.name)[0].items()]
    if len(fits) != 1:
        shown = ", ".join(p.name for p in (fits or files)[:5]) or "none at all"
        raise FileError(
            f"'{folder.name}' holds {len(fits)} preprocessed runs that fit {chosen or 'it'}: "
            f"{shown}. Choose one with subject=, session=, task=, run= or space=."
        )
    return inside(fits[0], folder)


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
