"""What every connectivity measure gives back: named dims, units, and how it was made.

Matrices are (source, target): row = source, column = target, in every measure.
Vectors hold the upper triangle row by row without the diagonal, the order of
``numpy.triu_indices(n, 1)``. nilearn orders by the *lower* triangle and divides the
diagonal by the square root of two where it is kept; the two functions that convert
say so in their name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from neuro.errors import ConfigError, DataError, FileError, MissingDependencyError, did_you_mean
from neuro.typing import AnyArray, BoolArray, FloatArray, PathLike

if TYPE_CHECKING:
    import xarray

__all__ = ["Connectivity", "from_nilearn_vector", "matrix_of", "to_nilearn_vector", "vector_of"]

_DIRECTION = "row = source, column = target"
_FORMAT = "neuro.connectivity/1"


def vector_of(matrix: AnyArray) -> FloatArray:
    """Upper triangle, row by row, without the diagonal.

    Parameters
    ----------
    matrix : array, shape (..., n, n)
        Square matrices.

    Returns
    -------
    float array, shape (..., n * (n - 1) / 2)

    Raises
    ------
    DataError
        If the last two axes are not square.

    Examples
    --------
    >>> vector_of(np.array([[1.0, 2, 3], [2, 1, 4], [3, 4, 1]])).tolist()
    [2.0, 3.0, 4.0]
    """
    found = np.asarray(matrix)
    if found.ndim < 2 or found.shape[-1] != found.shape[-2]:
        raise DataError(f"Square matrices are needed, got shape {found.shape}.")
    rows, columns = np.triu_indices(found.shape[-1], 1)
    return np.asarray(found[..., rows, columns])


def _size(length: int, with_diagonal: bool) -> int:
    """Rows of the matrix whose triangle has this length."""
    sign = -1 if with_diagonal else 1
    n = round((sign + np.sqrt(1 + 8 * length)) / 2)
    if n * (n - sign) // 2 != length or n < 1:
        raise DataError(f"{length} values are not the triangle of any square matrix.")
    return int(n)


def matrix_of(vector: AnyArray, diagonal: float = 0.0) -> FloatArray:
    """Symmetric matrix of an upper triangle; the inverse of :func:`vector_of`.

    Parameters
    ----------
    vector : array, shape (..., n * (n - 1) / 2)
        Upper triangles.
    diagonal : float
        Value of the diagonal.

    Returns
    -------
    float array, shape (..., n, n)

    Raises
    ------
    DataError
        If the length fits no matrix.

    Examples
    --------
    >>> matrix_of(np.array([2.0, 3.0, 4.0]), diagonal=1.0).tolist()
    [[1.0, 2.0, 3.0], [2.0, 1.0, 4.0], [3.0, 4.0, 1.0]]
    """
    found = np.asarray(vector)
    n = _size(found.shape[-1], with_diagonal=False)
    rows, columns = np.triu_indices(n, 1)
    out = np.full((*found.shape[:-1], n, n), diagonal, dtype=np.result_type(found, np.float32))
    out[..., rows, columns] = found
    out[..., columns, rows] = found
    return np.asarray(out)


def to_nilearn_vector(matrix: AnyArray, *, discard_diagonal: bool = False) -> FloatArray:
    """Vector in nilearn's order: lower triangle, its diagonal scaled if kept.

    Parameters
    ----------
    matrix : array, shape (..., n, n)
        Symmetric matrices.
    discard_diagonal : bool
        Leave the diagonal out; else it is divided by the square root of 2.

    Returns
    -------
    float64 array, shape (..., n * (n + 1) / 2) or (..., n * (n - 1) / 2)
        Equal to ``nilearn.connectome.sym_matrix_to_vec``.

    Examples
    --------
    >>> to_nilearn_vector(np.array([[1.0, 2], [2, 3]])).round(3).tolist()
    [0.707, 2.0, 2.121]
    """
    found = np.asarray(matrix, dtype=np.float64)
    rows, columns = np.tril_indices(found.shape[-1], -1 if discard_diagonal else 0)
    out = found[..., rows, columns]
    # so scaled, inner products of vectors are half those of the matrices
    return np.asarray(out if discard_diagonal else out / np.where(rows == columns, np.sqrt(2), 1))


def from_nilearn_vector(
    vector: AnyArray, *, diagonal: AnyArray | float | None = None
) -> FloatArray:
    """Symmetric matrix of a vector in nilearn's order.

    Parameters
    ----------
    vector : array, shape (..., n_values)
        What ``sym_matrix_to_vec`` gave.
    diagonal : float or array, optional
        Values of a diagonal that was discarded; None: the vector holds it.

    Returns
    -------
    float64 array, shape (..., n, n)

    Raises
    ------
    DataError
        If the length fits no matrix.

    Examples
    --------
    >>> matrix = np.array([[1.0, 2], [2, 3]])
    >>> bool(np.allclose(from_nilearn_vector(to_nilearn_vector(matrix)), matrix))
    True
    """
    found = np.asarray(vector, dtype=np.float64)
    n = _size(found.shape[-1], with_diagonal=diagonal is None)
    rows, columns = np.tril_indices(n, 0 if diagonal is None else -1)
    out = np.zeros((*found.shape[:-1], n, n))
    if diagonal is None:
        found = found * np.where(rows == columns, np.sqrt(2), 1)
    else:
        out[..., np.arange(n), np.arange(n)] = diagonal
    out[..., rows, columns] = found
    out[..., columns, rows] = found
    return out


@dataclass(frozen=True, eq=False)
class Connectivity:
    """Connectivity between named nodes, and everything needed to read it rightly.

    Parameters
    ----------
    values : float array
        Axes as in `dims`; NaN in the rows and columns of nodes that could not
        be used.
    dims : tuple of str
        ``("source", "target")`` last; before them any of trial, recording,
        window, freq, band, lag.
    coords : mapping of str to array
        One array for each dim: node names, Hz, band names, window centres in
        seconds, ….
    attrs : mapping
        ``method``, ``estimator``, ``unit``, ``directed``, ``symmetry``,
        ``direction``, ``average`` (the axis averaged over), ``n_eff``
        (effective degrees of freedom), ``n_windows``, ``diagonal``, ``sfreq``,
        ``source`` (provenance), ``notes``, ….

    Raises
    ------
    DataError
        If shapes, dims and coords do not fit.

    Examples
    --------
    >>> names = {"source": ["a", "b"], "target": ["a", "b"]}
    >>> c = Connectivity(np.eye(2), ("source", "target"), names)
    >>> c.names, c.directed
    (('a', 'b'), False)
    """

    values: FloatArray
    dims: tuple[str, ...]
    coords: Mapping[str, AnyArray]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        dims = tuple(self.dims)
        coords = {name: np.asarray(self.coords[name]) for name in dims if name in self.coords}
        if values.dtype.kind not in "fiub":
            raise DataError(f"Values must be real numbers, got {values.dtype}.")
        if dims[-2:] != ("source", "target") or values.ndim != len(dims):
            raise DataError(f"Values of shape {values.shape} do not fit dims {dims}.")
        for name, size in zip(dims, values.shape, strict=True):
            if name not in coords:
                raise DataError(f"Dim {name!r} has no coordinates.")
            if coords[name].shape != (size,):
                raise DataError(f"{name} has {coords[name].shape} coordinates for {size} entries.")
        attrs = {"directed": False, "direction": _DIRECTION, "notes": [], **self.attrs}
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "dims", dims)
        object.__setattr__(self, "coords", coords)
        object.__setattr__(self, "attrs", attrs)

    def __repr__(self) -> str:
        sizes = " x ".join(
            f"{name} {size}" for name, size in zip(self.dims, self.values.shape, strict=True)
        )
        facts = [f"unit {self.attrs.get('unit', '1')}"]
        if self.attrs.get("average"):
            facts.append(f"averaged over {self.attrs['average']}")
        if self.attrs.get("n_eff"):
            facts.append(f"n_eff {float(self.attrs['n_eff']):.4g}")
        arrow = "row -> column" if self.directed else "undirected"
        return f"Connectivity({self.method or '?'}, {sizes}, {arrow}, {', '.join(facts)})"

    # ---- what it is ----------------------------------------------------------

    @property
    def method(self) -> str:
        """Name of the measure."""
        return str(self.attrs.get("method", ""))

    @property
    def directed(self) -> bool:
        """Whether ``values[i, j]`` and ``values[j, i]`` say different things."""
        return bool(self.attrs["directed"])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(str(name) for name in self.coords["source"])

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(self.values.shape[-1])

    @property
    def usable(self) -> BoolArray:
        """True for nodes with a number in any off-diagonal entry, shape (n_nodes,)."""
        off = np.isfinite(self.values) & ~np.eye(self.n_nodes, dtype=bool)
        return np.asarray(off.any(axis=(*range(self.values.ndim - 2), -1)))

    # ---- parts ---------------------------------------------------------------

    def select(self, **where: Any) -> Self:
        """The part at given coordinates; a single value removes the dim.

        Parameters
        ----------
        **where
            ``band="alpha"``, ``freq=10.0`` (the nearest), ``window=3`` (position
            for window, trial and lag: numbers of their coordinates are found by
            the nearest value), ``nodes=[...]`` names of nodes to keep.

        Returns
        -------
        Connectivity

        Raises
        ------
        ConfigError
            Unknown dim or coordinate.

        Examples
        --------
        >>> names = np.array(["a", "b"])
        >>> c = Connectivity(np.zeros((2, 2, 2)), ("band", "source", "target"),
        ...                  {"band": ["alpha", "beta"], "source": names, "target": names})
        >>> c.select(band="beta").dims
        ('source', 'target')
        """
        out = self
        for dim, value in where.items():
            out = out._keep_nodes(value) if dim == "nodes" else out._at(dim, value)
        return out

    def _at(self, dim: str, value: Any) -> Self:
        options = list(self.dims[:-2])
        if dim not in options:
            raise ConfigError(f"No dim {dim!r} to select from. {did_you_mean(dim, options)}")
        coordinate = self.coords[dim]
        if coordinate.dtype.kind in "fiu":
            at = int(np.abs(coordinate - float(value)).argmin())
        else:
            names = [str(c) for c in coordinate]
            if str(value) not in names:
                raise ConfigError(f"No {dim} {value!r}. {did_you_mean(str(value), names)}")
            at = names.index(str(value))
        axis = self.dims.index(dim)
        kept = tuple(d for d in self.dims if d != dim)
        chosen = {**self.attrs, dim: coordinate[at].item()}
        coords = {d: c for d, c in self.coords.items() if d != dim}
        return replace(
            self,
            values=np.asarray(np.take(self.values, at, axis=axis)),
            dims=kept,
            coords=coords,
            attrs=chosen,
        )

    def _keep_nodes(self, names: Sequence[str] | AnyArray) -> Self:
        mine = list(self.names)
        wanted = np.asarray(names)
        if wanted.dtype.kind == "b":
            rows = np.flatnonzero(wanted)
        elif wanted.dtype.kind in "iu":
            rows = wanted
        else:
            for name in wanted.tolist():
                if name not in mine:
                    raise ConfigError(f"No node {name!r}. {did_you_mean(str(name), mine)}")
            rows = np.array([mine.index(name) for name in wanted.tolist()], dtype=np.int64)
        nodes = np.array(mine)[rows]
        attrs = dict(self.attrs)
        for key in ("positions", "networks"):
            if attrs.get(key) is not None:
                attrs[key] = np.asarray(attrs[key])[rows]
        return replace(
            self,
            values=self.values[..., rows, :][..., rows],
            coords={**self.coords, "source": nodes, "target": nodes},
            attrs=attrs,
        )

    def mean(self, dim: str) -> Self:
        """Mean over one of the leading dims.

        Examples
        --------
        >>> names = np.array(["a", "b"])
        >>> c = Connectivity(np.ones((3, 2, 2)), ("trial", "source", "target"),
        ...                  {"trial": [0, 1, 2], "source": names, "target": names})
        >>> c.mean("trial").values.shape
        (2, 2)
        """
        if dim not in self.dims[:-2]:
            raise ConfigError(f"No dim {dim!r} to average. {did_you_mean(dim, self.dims[:-2])}")
        axis = self.dims.index(dim)
        return replace(
            self,
            values=np.asarray(np.mean(self.values, axis=axis)),
            dims=tuple(d for d in self.dims if d != dim),
            coords={d: c for d, c in self.coords.items() if d != dim},
        )

    def matrix(self, **where: Any) -> FloatArray:
        """One matrix (n_nodes, n_nodes), at the coordinates where there are several.

        Raises
        ------
        DataError
            If more than one matrix is left.

        Examples
        --------
        >>> Connectivity(np.eye(2), ("source", "target"),
        ...              {"source": ["a", "b"], "target": ["a", "b"]}).matrix().shape
        (2, 2)
        """
        part = self.select(**where)
        left = [d for d in part.dims[:-2] if part.values.shape[part.dims.index(d)] > 1]
        if left:
            raise DataError(
                f"{len(left)} dims are left over: {left}. Choose with .select({left[0]}=...) or "
                f"average with .mean({left[0]!r})."
            )
        return np.asarray(part.values.reshape(part.n_nodes, part.n_nodes))

    def vector(self) -> FloatArray:
        """Upper triangles row by row, shape (..., n * (n - 1) / 2).

        Raises
        ------
        DataError
            For directed measures, whose two triangles differ.
        """
        if self.directed:
            raise DataError(
                f"{self.method} is directed: its triangles differ. Use .values, or take "
                "(values + values.T) / 2 if you mean to lose the direction."
            )
        return vector_of(self.values)

    def strength(self) -> FloatArray:
        """Mean over partners of the off-diagonal values, shape (..., n_nodes).

        The diagonal is left out: coherence with oneself is 1 and would only
        compress contrasts. Directed measures: outgoing, over the columns.
        Antisymmetric ones (imaginary coherence): of magnitudes, as their sum over
        partners says who leads rather than how much is shared.

        Examples
        --------
        >>> values = np.array([[1.0, 0.5, 0.1], [0.5, 1, 0.3], [0.1, 0.3, 1]])
        >>> names = ["a", "b", "c"]
        >>> c = Connectivity(values, ("source", "target"), {"source": names, "target": names})
        >>> c.strength().round(2).tolist()
        [0.3, 0.4, 0.2]
        """
        off = ~np.eye(self.n_nodes, dtype=bool) & np.isfinite(self.values)
        turned = self.attrs.get("symmetry") == "antisymmetric"
        values = np.abs(self.values) if turned else self.values
        total = np.where(off, values, 0.0).sum(axis=-1)
        count = off.sum(axis=-1)
        return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))

    # ---- to other libraries --------------------------------------------------

    def to_xarray(self) -> "xarray.DataArray":
        """The same as an xarray DataArray, with dims, coordinates and attributes."""
        try:
            import xarray
        except ImportError as error:
            raise MissingDependencyError(
                "xarray is not installed: python -m pip install xarray"
            ) from error
        return xarray.DataArray(
            self.values,
            dims=self.dims,
            coords={k: (k, v) for k, v in self.coords.items()},
            attrs=dict(self.attrs),
            name=self.method or "connectivity",
        )

    def to_networkx(self, *, keep: AnyArray | None = None, **where: Any) -> Any:
        """A networkx graph with the values as ``weight``.

        Parameters
        ----------
        keep : ndarray of bool, shape (n_nodes, n_nodes), optional
            Edges to take, as from :func:`neuro.connectivity.threshold`; all
            finite, non-zero off-diagonal ones by default.
        **where
            As in :meth:`select`, until one matrix is left.

        Returns
        -------
        networkx.Graph or networkx.DiGraph
            Directed edges run from row to column.
        """
        import networkx

        matrix = self.matrix(**where)
        chosen = np.isfinite(matrix) & (matrix != 0) & ~np.eye(self.n_nodes, dtype=bool)
        if keep is not None:
            chosen &= np.asarray(keep, dtype=bool)
        if not self.directed:
            chosen = np.triu(chosen)
        graph = networkx.DiGraph() if self.directed else networkx.Graph()
        graph.add_nodes_from(self.names)
        names = self.names
        graph.add_weighted_edges_from(
            (names[i], names[j], float(matrix[i, j])) for i, j in np.argwhere(chosen)
        )
        return graph

    def to_mne_connectivity(self) -> Any:
        """The matching class of mne-connectivity, all pairs, for its plots.

        One matrix gives ``Connectivity``, a freq or band axis
        ``SpectralConnectivity``; both have seeds as rows.

        Raises
        ------
        MissingDependencyError
            mne-connectivity is not installed.
        DataError
            There are other leading dims; choose one first.
        """
        try:
            import mne_connectivity
        except ImportError as error:
            raise MissingDependencyError(
                "mne-connectivity is not installed: python -m pip install mne-connectivity"
            ) from error
        n = self.n_nodes
        common = {"n_nodes": n, "names": list(self.names), "indices": "all", "method": self.method}
        leading = self.dims[:-2]
        if leading == ():
            return mne_connectivity.Connectivity(self.values.reshape(n * n), **common)
        if leading in (("freq",), ("band",)):
            freqs = self.coords["freq"] if leading == ("freq",) else self.attrs["freqs"]
            data = np.moveaxis(self.values, 0, -1).reshape(n * n, -1)
            return mne_connectivity.SpectralConnectivity(
                data, freqs=list(np.asarray(freqs, dtype=float)), **common
            )
        raise DataError(f"Choose one matrix first: dims {leading} have no counterpart there.")

    # ---- disk ----------------------------------------------------------------

    def save(self, path: PathLike) -> None:
        """Write a ``.npz`` file, completely or not at all.

        Parameters
        ----------
        path : path-like
            Where; the name is taken as it is.
        """
        from neuro.io import safe

        header = {"format": _FORMAT, "dims": list(self.dims), "attrs": _plain(self.attrs)}
        arrays: dict[str, AnyArray] = {"values": self.values}
        arrays |= {f"coord_{name}": np.asarray(c) for name, c in self.coords.items()}
        arrays["header"] = np.array(json.dumps(header))
        safe.save_npz(path, arrays)

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        FileError
            If the file is malformed or of another kind.
        """
        from neuro.io import safe

        arrays = safe.load_npz(path)
        try:
            header = json.loads(str(arrays["header"]))
            if header["format"] != _FORMAT:
                raise KeyError(header["format"])
            coords = {name: arrays[f"coord_{name}"] for name in header["dims"]}
            return cls(arrays["values"], tuple(header["dims"]), coords, _restored(header["attrs"]))
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise FileError(
                f"This file holds no connectivity ({type(error).__name__}: {error}). Give one "
                "that Connectivity.save wrote."
            ) from error


def _plain(value: Any) -> Any:
    """Attributes as JSON; what has no JSON form is told apart by a key."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return {"__array__": _plain(value.tolist())}
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return {"__float__": repr(value)}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"__array__"}:
            return np.asarray(_restored(value["__array__"]))
        if set(value) == {"__float__"}:
            return float(value["__float__"])
        return {k: _restored(v) for k, v in value.items()}
    return [_restored(v) for v in value] if isinstance(value, list) else value
