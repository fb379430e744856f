"""Corpora of region series loaded from the user's copy: HCP, ABIDE, ADHD-200, UK Biobank.

Each is a tree of tables, one a scan, and tables of people beside them. Of the
latter only age, sex, diagnosis, site, family and mean displacement are taken.
Many atlases and pipelines of one scan may lie in a tree: one is chosen.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._corpus import BadFiles, collect
from neuro.datasets._provenance import provenance
from neuro.datasets._tables import read_people, read_rows
from neuro.errors import DataError, FileError
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording, Regular

__all__ = ["load"]

# s, by the start of the site's name; of recollection, see the cards
_ABIDE_TR = {
    "caltech": 2.0, "cmu": 2.0, "kki": 2.5, "leuven": 1.656, "maxmun": 3.0, "nyu": 2.0,
    "ohsu": 2.5, "olin": 1.5, "pitt": 1.5, "sbl": 2.2, "sdsu": 2.0, "stanford": 2.0,
    "trinity": 2.0, "ucla": 3.0, "um": 2.0, "usm": 2.0, "yale": 2.0,
}  # fmt: skip
_ADHD_TR = {
    "brown": 2.0, "kki": 2.5, "neuroimage": 1.96, "nyu": 2.0, "ohsu": 2.5, "peking": 2.0,
    "pittsburgh": 1.5, "washu": 2.5,
}  # fmt: skip
_DIAGNOSES = {
    "0": "control",
    "1": "adhd_combined",
    "2": "adhd_hyperactive",
    "3": "adhd_inattentive",
}
_HCP_RUN = 1200  # volumes of a resting run; the tables of nodes hold four in a row
_Facts = dict[str, Any]


# ---- what the tables of people say ---------------------------------------------


def _hcp_person(row: Mapping[str, str]) -> _Facts:
    family = row.get("Family_ID", "")
    return {
        "age": _number(row.get("Age_in_Yrs", "")),
        "sex": {"M": "M", "F": "F"}.get(row.get("Gender", ""), ""),
        "group": f"family_{family}" if family else "",
    }


def _abide_person(row: Mapping[str, str]) -> _Facts:
    return {
        "age": _number(row.get("AGE_AT_SCAN", "")),
        "sex": {"1": "M", "2": "F"}.get(row.get("SEX", ""), ""),
        "group": {"1": "autism", "2": "control"}.get(row.get("DX_GROUP", ""), ""),
        "site": row.get("SITE_ID", ""),
        "displacement": _number(row.get("func_mean_fd", "")),
    }


def _adhd_person(row: Mapping[str, str]) -> _Facts:
    return {
        "age": _number(row.get("Age", "")),
        "sex": {"1": "M", "0": "F"}.get(row.get("Gender", ""), ""),
        "group": _DIAGNOSES.get(row.get("DX", ""), ""),
    }


def _ukb_person(row: Mapping[str, str]) -> _Facts:
    return {
        "age": _number(row.get("21003-2.0", row.get("p21003_i2", ""))),
        "sex": {"1": "M", "0": "F"}.get(row.get("31-0.0", row.get("p31", "")), ""),
        "site": row.get("54-2.0", row.get("p54_i2", "")),
        "displacement": _number(row.get("25741-2.0", row.get("p25741_i2", ""))),
    }


def _number(cell: str) -> float | None:
    """A number of years or millimetres; the tables write -999 or -9999 where it is not known."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) and value >= 0 else None


# ---- layouts -------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """Where the tables of a corpus lie, and what stands in the tables of people."""

    pattern: re.Pattern[str]
    key: str
    columns: tuple[str, ...]
    person: Callable[[Mapping[str, str]], _Facts]
    tr: float | Mapping[str, float]  # s; by site where sites differ


_LAYOUTS = {
    "hcp_nodes": _Layout(
        re.compile(r"(?:^|/)node_timeseries/(?P<atlas>[^/]+)/(?P<subject>\d{6})\.txt$"),
        "Subject",
        ("Gender", "Age_in_Yrs", "Family_ID"),
        _hcp_person,
        0.72,
    ),
    "hcp_parcels": _Layout(
        re.compile(
            r"(?:^|/)(?P<subject>\d{6})/(?:.+/)?(?P<scan>[rt]fMRI_[A-Z0-9]+)_(?P<run>LR|RL)/"
            r"(?P=scan)_(?P=run)[^/]*_(?P<atlas>[^_/.]+)\.(?:ptseries\.nii|txt|csv|tsv|npy)$"
        ),
        "Subject",
        ("Gender", "Age_in_Yrs", "Family_ID"),
        _hcp_person,
        0.72,
    ),
    "abide": _Layout(
        re.compile(
            r"(?:^|/)(?:(?P<version>(?:ccs|cpac|dparsf|niak)/[^/]+)/)?(?:rois_[^/]+/)?"
            r"(?P<place>[A-Za-z]+(?:_\w)?)_(?P<subject>\d{7})_rois_(?P<atlas>[^/.]+)\.1D$"
        ),
        "SUB_ID",
        ("AGE_AT_SCAN", "SEX", "DX_GROUP", "SITE_ID", "func_mean_fd"),
        _abide_person,
        _ABIDE_TR,
    ),
    "adhd200": _Layout(
        re.compile(
            r"(?:^|/)(?P<place>[A-Za-z]+(?:_\d)?)/(?P<subject>\d{7})/(?P<version>s?f?nwmrda)\d+_"
            r"session_(?P<session>\d+)_rest_(?P<run>\d+)_(?P<atlas>[^/]+)_TCs\.1D$"
        ),
        "ScanDir ID",
        ("Age", "Gender", "DX"),
        _adhd_person,
        _ADHD_TR,
    ),
    "ukb_regions": _Layout(
        re.compile(
            r"(?:^|/)(?P<subject>\d{7})_(?:\d+_)?(?P<session>[23])(?:_\d)?/(?:.+/)?"
            r"(?:fMRI\.|rfMRI_)(?P<atlas>\w+)\.(?:csv|dr/dr_stage1\.txt)$"
        ),
        "eid",
        ("31-0.0", "21003-2.0", "54-2.0", "25741-2.0", "p31", "p21003_i2", "p54_i2", "p25741_i2"),
        _ukb_person,
        0.735,
    ),
}


def load(
    card: Card,
    folder: Path,
    *,
    atlas: str | None = None,
    version: str | None = None,
    tr: "float | Mapping[str, float] | None" = None,
    without_subjects: Iterable[str] = (),
    bad_files: BadFiles = "raise",
) -> "list[Recording]":
    """All scans of a corpus, by path.

    Parameters
    ----------
    card : Card
        Which of the corpora.
    folder : Path
        The tree, or a folder above it.
    atlas : str, optional
        Parcellation, as the files are named; needed where there are several.
    version : str, optional
        ABIDE: ``"cpac/filt_global"`` and the like; ADHD-200: ``"sfnwmrda"``
        (filtered) or ``"snwmrda"``. Needed where there are several.
    tr : float or mapping of str to float, optional
        Seconds between volumes, for all or by site, where those of the card
        are wrong or a site is new.
    without_subjects : iterable of str
        People to leave out.
    bad_files : {"raise", "skip"}
        See the card.

    Returns
    -------
    list of Recording
        Stream ``bold``; ``motion`` (the scan's mean displacement, one number)
        where the tables of people hold it; `group` is the diagnosis, in HCP
        the family.
    """
    layout = _LAYOUTS[card.name]
    unwanted = {without_subjects} if isinstance(without_subjects, str) else set(without_subjects)
    read = partial(_read, card, layout, layout.tr if tr is None else tr, _people(folder, layout))
    kinds = {"atlas": atlas, "version": version}
    versions = {k: v for k, v in kinds.items() if v is not None or k in layout.pattern.groupindex}
    return collect(
        card, folder, layout.pattern, read, bad_files, unwanted=unwanted, versions=versions
    )


def _people(folder: Path, layout: _Layout) -> dict[str, dict[str, str]]:
    """Rows of all tables of people below a folder, merged, by their number without zeros."""
    out: dict[str, dict[str, str]] = {}
    for path in sorted(p for p in folder.rglob("*.?sv") if p.suffix in (".csv", ".tsv")):
        if layout.pattern.search(path.as_posix()) is None:
            for who, row in read_people(path, layout.key, layout.columns).items():
                out.setdefault(who.lstrip("0"), {}).update(row)
    return out


def _read(
    card: Card,
    layout: _Layout,
    tr: "float | Mapping[str, float]",
    people: Mapping[str, Mapping[str, str]],
    path: Path,
    match: re.Match[str],
) -> "Recording":
    from neuro.data import Recording

    found = match.groupdict()
    subject, place = found["subject"], found.get("place") or ""
    row = people.get(subject.lstrip("0"))
    steps = [] if row is not None else ["not in the tables of people: age, sex, group unknown"]
    known = layout.person(row or {})
    signal = _signal(path, _seconds(card, tr, place), found["atlas"])
    signal, more = _checked(card, path, signal)
    streams = {"bold": signal}
    displacement = known.pop("displacement", None)
    if displacement is not None:
        streams["motion"] = _mean_displacement(signal, displacement)
        steps.append("motion: the scan's mean displacement, not a series")
    if card.name.startswith("hcp") and not known["group"]:
        steps.append("family unknown: relatives may stand on both sides of a split by subject")
    session, task = found.get("session") or "", "rest"
    if scan := found.get("scan"):  # rfMRI_REST1, tfMRI_WM
        session = scan.partition("_")[2]
        task = "rest" if session.startswith("REST") else session.lower()
    facts = {"subject": subject, "session": session, "run": found.get("run") or "", "task": task}
    return Recording(
        streams,
        dataset=card.name,
        **{**facts, **known, "site": known.get("site") or place},
        provenance=provenance(card, path, *steps, *more),
    )


def _seconds(card: Card, tr: "float | Mapping[str, float]", place: str) -> float:
    if not isinstance(tr, Mapping):
        return tr
    site = place.partition("_")[0].lower()
    by_site = {name.partition("_")[0].lower(): value for name, value in tr.items()}
    if site not in by_site:
        raise FileError(
            f"{card.name}: the repetition time of site {place!r} is not known. Pass "
            f"tr={{{place!r}: seconds}}."
        )
    return by_site[site]


def _signal(path: Path, tr: float, atlas: str) -> "Regular":
    from neuro.io import read_cifti, read_roi_table

    if path.name.endswith(".ptseries.nii"):
        signal = read_cifti(path, tr=tr).regular("bold")
        return replace(signal, axis=signal.axis.replace(atlas=atlas))
    if path.name.endswith("_TCs.1D"):
        return _roi_stats(path, tr, atlas)
    # tables of the UK Biobank hold a region a row, all others a volume a row
    rows_are_regions = path.name.startswith("fMRI.")
    signal = read_roi_table(
        path, tr=tr, atlas=atlas, time_axis=1 if rows_are_regions else 0
    ).regular("bold")
    names = [name.lstrip("#").strip() for name in signal.axis.names]
    return replace(signal, axis=signal.axis.replace(names=tuple(names)))


def _roi_stats(path: Path, tr: float, atlas: str) -> "Regular":
    """Output of AFNI's 3dROIstats: file, sub-brick, then a mean a region."""
    from neuro.data import Axis, Regular
    from neuro.data.rates import exact_rate
    from neuro.io.fmri import constant_rows

    header, rows = read_rows(path, None)
    at = [i for i, name in enumerate(header) if name.startswith("Mean_")]
    if not at:
        raise FileError(f"{path.name}: no column 'Mean_…': not a table of regions.")
    try:
        x: FloatArray = np.array([[float(row[i]) for i in at] for row in rows]).T
    except ValueError as error:
        raise FileError(f"{path.name}: not a table of numbers ({error}).") from None
    if not x.size:
        raise FileError(f"{path.name}: no volume in the table. Get it again.")
    axis = Axis([header[i] for i in at], "roi", atlas=atlas, bad=constant_rows(x))
    return Regular(x, 1 / exact_rate(tr), "au", axis, "bold")


def _checked(card: Card, path: Path, signal: "Regular") -> "tuple[Regular, list[str]]":
    """With the four runs of HCP's node tables as segments, and silent regions named."""
    steps = []
    axis = signal.axis
    silent = [n for n, bad in zip(axis.names, axis.bad, strict=True) if bad]
    if len(silent) == len(axis):
        raise DataError(f"{path.name}: no region changes over time: all are constant.")
    if silent:
        steps.append(f"regions without a signal: {', '.join(silent)}")
    if card.name == "hcp_nodes":
        if signal.n_times % _HCP_RUN:
            raise DataError(
                f"{path.name}: {signal.n_times} volumes are no whole number of runs of {_HCP_RUN}. "
                "The file is cut short: get it again."
            )
        edges = np.arange(0, signal.n_times + 1, _HCP_RUN)
        signal = replace(signal, segments=np.stack([edges[:-1], edges[1:]], axis=1))
        steps.append(f"runs of {_HCP_RUN} volumes as segments")
    return signal, steps


def _mean_displacement(signal: "Regular", value: float) -> "Regular":
    from neuro.data import Axis, Regular

    axis = Axis(["mean framewise displacement"], "motion")
    row = np.full((1, signal.n_times), value, np.float32)
    return Regular(row, signal.rate, "mm", axis, "physio", t0_s=signal.t0_s)
