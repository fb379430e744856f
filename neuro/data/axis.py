"""What the rows of a stream are: channels, regions, voxels or units."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from neuro.errors import DataError, did_you_mean
from neuro.typing import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["Axis", "Grid"]


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the rows of a masked volume stood in the full volume.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel indices to millimetres, as in the NIfTI header.
    shape : tuple of 3 int
        Size of the full volume.
    ijk : ndarray, shape (n, 3)
        Voxel index of every row.
    """

    affine: FloatArray
    shape: tuple[int, int, int]
    ijk: IntArray

    def __post_init__(self) -> None:
        affine = np.asarray(self.affine, dtype=np.float64)
        ijk = np.asarray(self.ijk, dtype=np.int32)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise DataError(f"Affine must be a finite (4, 4) matrix, got shape {affine.shape}.")
        if ijk.ndim != 2 or ijk.shape[1] != 3:
            raise DataError(f"Voxel indices must have shape (n, 3), got {ijk.shape}.")
        if len(ijk) and ((ijk < 0).any() or (ijk >= np.asarray(self.shape)).any()):
            raise DataError(f"Voxel indices leave the volume of shape {self.shape}.")
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "ijk", ijk)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    def take(self, index: IntArray) -> Self:
        """Grid of the chosen rows."""
        return replace(self, ijk=self.ijk[index])


def _strings(value: str | Iterable[str], n: int, what: str) -> tuple[str, ...]:
    out = (value,) * n if isinstance(value, str) else tuple(str(v) for v in value)
    if len(out) != n:
        raise DataError(f"{what} has {len(out)} entries for {n} rows.")
    return out


@dataclass(frozen=True, eq=False, init=False)
class Axis:
    """Names and places of a stream's rows.

    Parameters
    ----------
    names : sequence of str
        One unique name a row, in order.
    types : str or sequence of str
        Kind of each row: ``"eeg"``, ``"eog"``, ``"roi"``, ``"vertex"``,
        ``"voxel"``, ``"unit"``, …; one string serves all rows.
    positions : ndarray, shape (n, 3), optional
        Metres in `frame`; NaN where unknown.
    frame : str, optional
        Coordinate frame: ``"head"``, ``"mri_ras"``, ``"MNI152"``, ….
    atlas : str, optional
        Atlas the rows are regions of.
    labels : ndarray of int, shape (n,), optional
        The atlas's own number of each region.
    reference : str, optional
        Recording reference of electrodes.
    bad : ndarray of bool, shape (n,), optional
        Rows not to be used.
    grid : Grid, optional
        For voxels: the volume they came from.
    columns : mapping of str to array, optional
        Further facts a row (location, depth, quality, …).

    Examples
    --------
    >>> axis = Axis(["Fz", "Cz"], "eeg")
    >>> axis.index(["Cz"]).tolist(), len(axis)
    ([1], 2)
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    positions: FloatArray | None = None
    frame: str | None = None
    atlas: str | None = None
    labels: IntArray | None = None
    reference: str | None = None
    bad: BoolArray = field(default_factory=lambda: np.zeros(0, bool))
    grid: Grid | None = None
    columns: Mapping[str, AnyArray] = field(default_factory=dict)

    def __init__(
        self,
        names: Iterable[str],
        types: str | Iterable[str] = "misc",
        *,
        positions: Any = None,
        frame: str | None = None,
        atlas: str | None = None,
        labels: Any = None,
        reference: str | None = None,
        bad: Any = None,
        grid: Grid | None = None,
        columns: Mapping[str, Any] | None = None,
    ) -> None:
        names = tuple(str(n) for n in names)
        n = len(names)
        set_ = object.__setattr__
        set_(self, "names", names)
        set_(self, "types", _strings(types, n, "types"))
        set_(self, "positions", None if positions is None else np.asarray(positions, np.float32))
        set_(self, "frame", frame)
        set_(self, "atlas", atlas)
        set_(self, "labels", None if labels is None else np.asarray(labels, dtype=np.int32))
        set_(self, "reference", reference)
        set_(self, "bad", np.zeros(n, bool) if bad is None else np.asarray(bad, dtype=bool))
        set_(self, "grid", grid)
        set_(self, "columns", {k: np.asarray(v) for k, v in (columns or {}).items()})
        self._check()

    def _check(self) -> None:
        n = len(self.names)
        if len(set(self.names)) != n:
            seen: set[str] = set()
            twice = sorted({x for x in self.names if x in seen or seen.add(x)})  # type: ignore[func-returns-value]
            raise DataError(f"Duplicate row names {twice[:5]}. Rename them so each is unique.")
        if any(not name for name in self.names):
            raise DataError("A row has an empty name. Name every channel, region or unit.")
        if self.positions is not None:
            if self.positions.shape != (n, 3):
                raise DataError(f"positions must be ({n}, 3) metres, got {self.positions.shape}.")
            known = self.positions[np.isfinite(self.positions)]
            if len(known) and np.abs(known).max() > 10:
                raise DataError(
                    f"positions reach {np.abs(known).max():.4g}: metres expected, "
                    "these look like millimetres. Divide by 1000."
                )
        for what, size in [
            ("bad", len(self.bad)),
            ("labels", n if self.labels is None else len(self.labels)),
            ("grid", n if self.grid is None else len(self.grid.ijk)),
            *((f"column {k!r}", len(v)) for k, v in self.columns.items()),
        ]:
            if size != n:
                raise DataError(f"{what} has {size} entries for {n} rows.")

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Axis):
            return NotImplemented
        return (
            self.names == other.names
            and self.types == other.types
            and (self.frame, self.atlas, self.reference)
            == (other.frame, other.atlas, other.reference)
            and _same(self.positions, other.positions)
            and _same(self.labels, other.labels)
            and _same(self.bad, other.bad)
            and (self.grid is None) == (other.grid is None)
            and (
                self.grid is None
                or other.grid is None
                or (
                    self.grid.shape == other.grid.shape
                    and _same(self.grid.affine, other.grid.affine)
                    and _same(self.grid.ijk, other.grid.ijk)
                )
            )
            and self.columns.keys() == other.columns.keys()
            and all(_same(v, other.columns[k]) for k, v in self.columns.items())
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(self.names[:4]) + (", …" if len(self) > 4 else "")
        kinds = "/".join(dict.fromkeys(self.types))
        atlas = f", atlas={self.atlas}" if self.atlas else ""
        bad = f", {int(self.bad.sum())} bad" if self.bad.any() else ""
        return f"Axis({len(self)} {kinds}: {shown}{atlas}{bad})"

    def index(self, names: Sequence[str]) -> IntArray:
        """Row numbers of the given names, in that order.

        Parameters
        ----------
        names : sequence of str
            Names to find.

        Returns
        -------
        ndarray of int, shape (len(names),)

        Raises
        ------
        DataError
            Naming the first unknown name and its nearest match.
        """
        where = {name: i for i, name in enumerate(self.names)}
        for name in names:
            if name not in where:
                raise DataError(f"No row named {name!r}. {did_you_mean(name, self.names[:40])}")
        return np.array([where[name] for name in names], dtype=np.int64)

    def take(self, index: Any) -> "Axis":
        """Axis of the chosen rows.

        Parameters
        ----------
        index : array of int or bool, or slice
            Which rows, in which order.

        Returns
        -------
        Axis
        """
        i = np.atleast_1d(np.arange(len(self))[index])
        return Axis(
            [self.names[k] for k in i],
            [self.types[k] for k in i],
            positions=None if self.positions is None else self.positions[i],
            frame=self.frame,
            atlas=self.atlas,
            labels=None if self.labels is None else self.labels[i],
            reference=self.reference,
            bad=self.bad[i],
            grid=None if self.grid is None else self.grid.take(i),
            columns={k: v[i] for k, v in self.columns.items()},
        )

    def replace(self, **changes: Any) -> "Axis":
        """Copy with some fields changed."""
        fields = {
            name: getattr(self, name)
            for name in (
                "names",
                "types",
                "positions",
                "frame",
                "atlas",
                "labels",
                "reference",
                "bad",
                "grid",
                "columns",
            )
        }
        return Axis(**(fields | changes))


def _same(a: AnyArray | None, b: AnyArray | None) -> bool:
    if a is None or b is None:
        return a is b
    floats = a.dtype.kind == "f" and b.dtype.kind == "f"
    return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=floats))
