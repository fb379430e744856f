"""Outputs of fMRIPrep: a run with its brain mask, confounds and censoring."""

from pathlib import Path
from typing import Any

from neuro.data import Recording
from neuro.errors import ConfigError, FileError
from neuro.io._bids_names import entities, inside, safe_label
from neuro.io.fmri import Labels, read_nifti
from neuro.typing import PathLike

__all__ = ["read_fmriprep"]

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
            f"{shown}. Choose one with subject=, session=, task=, run= or space=; all of them: "
            "neuro.io.read_derivatives."
        )
    return inside(fits[0], folder)
