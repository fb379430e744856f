"""Potentials on the scalp from current dipoles in a layered sphere, in closed form."""

import numpy as np

from neuro.typing import FloatArray

__all__ = ["RADIUS_M", "lead_field"]

RADIUS_M = 0.095
_CONDUCTIVITY = 0.33  # S/m, brain and scalp

# A dipole in a head of three shells (radii 0.88 : 0.93 : 1, conductivities
# 1 : 1/80 : 1) gives nearly the potential of three dipoles in one shell
# (Berg and Scherg 1994): how far out each lies, and its share.
_DEPTH = (0.6342, 0.9364, 1.0362)
_SHARE = (0.5979, 0.2037, 0.0237)


def lead_field(electrodes: FloatArray, positions: FloatArray, moments: FloatArray) -> FloatArray:
    """Average-referenced scalp potential of dipoles in a spherical head.

    Parameters
    ----------
    electrodes : ndarray, shape (n_chans, 3)
        Directions from the centre of the sphere; lengths do not matter.
    positions : ndarray, shape (n_sources, 3)
        Metres from the centre, inside the brain (up to 0.88 of the radius).
    moments : ndarray, shape (n_sources, 3)
        Dipole directions; a length of 1 is 1 nAm.

    Returns
    -------
    ndarray, shape (n_chans, n_sources)
        uV per nAm.

    Notes
    -----
    Single shell: Mosher, Leahy and Lewis, IEEE Trans Biomed Eng 46 (1999),
    245-259, EEG on a sphere.
    """
    where = RADIUS_M * electrodes / np.linalg.norm(electrodes, axis=1, keepdims=True)
    volts = sum(
        share * _one_shell(where, depth * positions, moments * 1e-9)
        for depth, share in zip(_DEPTH, _SHARE, strict=True)
    )
    out = 1e6 * np.asarray(volts)
    return np.asarray(out - out.mean(axis=0, keepdims=True))


def _one_shell(where: FloatArray, positions: FloatArray, moments: FloatArray) -> FloatArray:
    apart = where[:, None] - positions[None]
    distance = np.linalg.norm(apart, axis=2)
    squared = (positions**2).sum(axis=1)[None]
    along = where @ positions.T
    term = distance * (RADIUS_M * distance + RADIUS_M**2 - along)
    factor = 1.0 / (4 * np.pi * _CONDUCTIVITY * squared)
    inner = (apart * positions[None]).sum(axis=2)
    c1 = factor * (2 * inner / distance**3 + 1 / distance - 1 / RADIUS_M)
    c2 = factor * (2 / distance**3 + (distance + RADIUS_M) / (RADIUS_M * term))
    radial = (positions * moments).sum(axis=1)[None]
    return np.asarray((c1 - c2 * along) * radial + c2 * squared * (where @ moments.T))
