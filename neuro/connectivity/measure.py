"""What every connectivity measure declares about itself, and what it returns.

Each module keeps its measures in a table (``SPECTRAL``, ``DIRECTED``, ...) so that
the front door can dispatch by name and say what the numbers mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np

from neuro.errors import ConfigError
from neuro.typing import FloatArray

__all__ = ["Average", "Estimate", "Measure", "Needs", "Symmetry"]

Average: TypeAlias = Literal["trials", "time"]
Needs: TypeAlias = Literal["cross-spectrum", "phase", "var", "envelope", "samples"]
Symmetry: TypeAlias = Literal["symmetric", "antisymmetric", "complement", "none"]


@dataclass(frozen=True)
class Estimate:
    """Values of one measure, as plain arrays.

    Parameters
    ----------
    values : float array
        Axes as ``dims`` says; the last two are always source (row) and target
        (column).
    dims : tuple of str
        ``("source", "target")``, preceded by ``"freq"`` or ``"band"`` for spectral
        measures, and by ``"trial"`` first where ``average="time"``.
    freqs : float64 array, shape (n_freqs,), or None
        Hz of each entry of the freq axis, or the mean frequency of each band.
    bands : tuple of str
        Names along the band axis; empty without one.
    n_windows : int
        Number of windows (trials, or cut pieces of them) one value averages.
    n_eff : float
        Number of independent observations they are worth, tapers and overlap
        accounted for; the bias of a magnitude is about ``1 / sqrt(n_eff)``.
    attrs : mapping
        Everything else worth keeping: estimator, window, order, averaging axis.
    """

    values: FloatArray
    dims: tuple[str, ...]
    freqs: FloatArray | None = None
    bands: tuple[str, ...] = ()
    n_windows: int = 1
    n_eff: float = 1.0
    attrs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if np.ndim(self.values) != len(self.dims):
            raise ConfigError(f"values of shape {self.values.shape} do not have dims {self.dims}.")


@dataclass(frozen=True)
class Measure:
    """One connectivity measure.

    Parameters
    ----------
    name : str
        Name users write.
    function : callable
        ``function(x, sfreq, *, average, **options) -> Estimate`` for ``x`` of shape
        (n_epochs, n_chans, n_times).
    directed : bool
        Whether ``values[i, j]`` says something else than ``values[j, i]`` about
        who leads: row = source, column = target.
    unit : str
        "1" for ratios, "nats" for Granger and information measures.
    range : tuple of float
        Smallest and largest possible value.
    signed : bool
        Whether negative values carry meaning.
    needs : str
        What it is computed from; a single-window "cross-spectrum" or "phase"
        measure is refused.
    min_windows : int
        Fewest windows that give a usable value.
    reference : str
        Where it comes from.
    symmetry : str
        Relation of ``v = values[i, j]`` to ``w = values[j, i]``: equal, ``v = -w``,
        ``v = 1 - w``, or none.
    diagonal : float
        Value on the diagonal.
    """

    name: str
    function: Callable[..., Estimate]
    directed: bool
    unit: str
    range: tuple[float, float]
    signed: bool
    needs: Needs
    min_windows: int
    reference: str
    symmetry: Symmetry = "symmetric"
    diagonal: float = 0.0
