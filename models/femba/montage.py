"""The bipolar montage FEMBA reads: 22 differences of neighbours, in an order that matters.

Patches span two neighbouring rows, so that a model trained in one order is
another model in the other. The authors' code holds two orders.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

from neuro.data.channels import canonical_eeg_name, split_bipolar
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.signal.reference import reference_matrix
from neuro.typing import FloatArray

__all__ = ["MONTAGES", "Montage", "montage_matrix"]

Montage: TypeAlias = Literal["tcp", "tueg"]

_LEFT_TEMPORAL = ("FP1-F7", "F7-T3", "T3-T5", "T5-O1")
_RIGHT_TEMPORAL = ("FP2-F8", "F8-T4", "T4-T6", "T6-O2")
_TRANSVERSE = ("T3-C3", "C3-CZ", "CZ-C4", "C4-T4")
_LEFT_CENTRAL = ("FP1-F3", "F3-C3", "C3-P3", "P3-O1")
_RIGHT_CENTRAL = ("FP2-F4", "F4-C4", "C4-P4", "P4-O2")

# "tcp": the general preparation script; "tueg": the builder of the pretraining
# corpus, which puts both derivations with an ear last.
MONTAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tcp": (
            *_LEFT_TEMPORAL,
            *_RIGHT_TEMPORAL,
            "A1-T3",
            *_TRANSVERSE,
            "T4-A2",
            *_LEFT_CENTRAL,
            *_RIGHT_CENTRAL,
        ),
        "tueg": (
            *_LEFT_TEMPORAL,
            *_RIGHT_TEMPORAL,
            *_TRANSVERSE,
            *_LEFT_CENTRAL,
            *_RIGHT_CENTRAL,
            "A1-T3",
            "T4-A2",
        ),
    }
)


def montage_matrix(
    ch_names: Sequence[str], montage: Montage = "tcp"
) -> tuple[FloatArray, tuple[str, ...]]:
    """Matrix that derives the montage from referential channels.

    For arrays, with :func:`neuro.signal.reference.apply_matrix`. A `Recording`
    is brought there by the model's own ``contract.conform(recording)``.

    Parameters
    ----------
    ch_names : sequence of str
        Channels of the data against one common reference, in any usual
        spelling (``"EEG FP1-REF"``, ``"Fp1"``, T3 or T7).
    montage : {"tcp", "tueg"}
        Which order.

    Returns
    -------
    matrix : float64 array, shape (22, n_chans)
        ``bipolar = matrix @ referential``.
    names : tuple of str
        The derivations, as the model's contract names them.

    Raises
    ------
    ConfigError
        If there is no such montage.
    DataError
        If an electrode is missing.

    Examples
    --------
    >>> names = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 Fz Cz Pz".split()
    >>> matrix, derived = montage_matrix(names)
    >>> derived[0], [names[i] for i in matrix[0].nonzero()[0]]
    ('FP1-F7', ['Fp1', 'F7'])
    """
    if montage not in MONTAGES:
        raise ConfigError(f"No montage is called {montage!r}. {did_you_mean(montage, MONTAGES)}")
    have = [canonical_eeg_name(name) for name in ch_names]
    sides = [split_bipolar(name) or (name, name) for name in MONTAGES[montage]]
    pairs = [(canonical_eeg_name(a), canonical_eeg_name(b)) for a, b in sides]
    missing = sorted({side for pair in pairs for side in pair} - set(have))
    if missing:
        raise DataError(
            f"The montage {montage!r} needs the electrodes {', '.join(missing)}, which the data "
            "lack. Without the ears, give the model the derivations that are there as ch_names."
        )
    matrix, _ = reference_matrix(have, pairs)
    return matrix, MONTAGES[montage]
