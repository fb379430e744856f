"""Events on a recording's time line, and the clocks that relate time lines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuro.errors import DataError
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["Clock", "Events"]

_DTYPES: dict[str, Any] = {
    "onset_s": np.float64,
    "duration_s": np.float64,
    "type": np.str_,
    "value": np.float64,
    "stream": np.str_,
    "block": np.int64,
}
_COLUMNS = tuple(_DTYPES)


def _cast(name: str, values: Any, dtype: Any) -> AnyArray:
    try:
        out = np.asarray(values)
        if dtype is not np.str_ or out.dtype.kind != "U":
            with np.errstate(invalid="raise"):
                out = out.astype(dtype)
    except (TypeError, ValueError, FloatingPointError) as error:
        raise DataError(f"Events: column {name!r} holds {str(values)[:60]}: {error}.") from error
    if out.ndim != 1:
        raise DataError(f"Events: column {name!r} has shape {out.shape}, one value a row expected.")
    return out


@dataclass(frozen=True)
class Clock:
    """Affine map from a stream's time to session time.

    Parameters
    ----------
    a : float
        Session seconds per stream second (clock drift), above 0.
    b : float
        Session time of the stream's zero, in seconds.

    Examples
    --------
    >>> clock = Clock(a=1.0, b=846.2)
    >>> clock.to_session(10.0), round(clock.to_stream(856.2), 6)
    (856.2, 10.0)
    """

    a: float = 1.0
    b: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.a) and np.isfinite(self.b) and self.a > 0):
            raise DataError(f"Clock needs a finite a > 0 and b, got a={self.a}, b={self.b}.")

    def to_session(self, t_s: Any) -> Any:
        """Stream time in seconds to session time in seconds."""
        return self.a * t_s + self.b

    def to_stream(self, t_s: Any) -> Any:
        """Session time in seconds to stream time in seconds."""
        return (t_s - self.b) / self.a


@dataclass(frozen=True, eq=False)
class Events:
    """A table of events, one row each, kept in the order of onset.

    Build it with :meth:`make`, which fills defaults and sorts.

    Parameters
    ----------
    onset_s : ndarray, shape (n,)
        Seconds on the session clock, or on the clock of `stream`.
    duration_s : ndarray, shape (n,)
        Seconds, 0 or more.
    type : ndarray of str, shape (n,)
        What happened: ``"left"``, ``"heat"``, ``"sleep"``.
    value : ndarray, shape (n,)
        A number that belongs to it; NaN where none.
    stream : ndarray of str, shape (n,)
        Stream on whose clock the onset stands; ``""`` for the session clock.
    block : ndarray of int, shape (n,)
        Events of one block are not independent; -1 where unknown.
    columns : mapping of str to ndarray
        Further facts an event.
    """

    onset_s: FloatArray
    duration_s: FloatArray
    type: AnyArray
    value: FloatArray
    stream: AnyArray
    block: IntArray
    columns: Mapping[str, AnyArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name, dtype in _DTYPES.items():
            set_(self, name, _cast(name, getattr(self, name), dtype))
        set_(self, "columns", {k: np.asarray(v) for k, v in self.columns.items()})
        n = len(self.onset_s)
        for name in _COLUMNS:
            if len(getattr(self, name)) != n:
                raise DataError(f"Events: {name} has {len(getattr(self, name))} rows, not {n}.")
        for name, column in self.columns.items():
            if len(column) != n:
                raise DataError(f"Events: column {name!r} has {len(column)} rows, not {n}.")
        if not np.isfinite(self.onset_s).all():
            row = int(np.flatnonzero(~np.isfinite(self.onset_s))[0])
            raise DataError(f"Events: onset of row {row} is {self.onset_s[row]}; drop or mend it.")
        good = (self.duration_s >= 0) & np.isfinite(self.duration_s)
        if not good.all():
            row = int(np.flatnonzero(~good)[0])
            raise DataError(f"Events: duration of row {row} is {self.duration_s[row]} s.")
        if (np.diff(self.onset_s) < 0).any():
            raise DataError("Events: onsets are not in order. Build the table with Events.make.")

    @classmethod
    def make(
        cls,
        onset_s: Any,
        type: str | Iterable[Any] = "event",
        *,
        duration_s: Any = 0.0,
        value: Any = np.nan,
        stream: str | Iterable[str] = "",
        block: Any = -1,
        columns: Mapping[str, Any] | None = None,
    ) -> "Events":
        """Build a table; a single value serves all rows; rows are sorted by onset.

        Examples
        --------
        >>> Events.make([2.0, 1.0], ["right", "left"], duration_s=0.5)
        Events(2: left 1, right 1; 1 to 2.5 s)
        """
        onset = _cast("onset_s", np.atleast_1d(np.asarray(onset_s)), np.float64)
        n = len(onset)

        def column(name: str, values: Any) -> AnyArray:
            if not isinstance(values, str | np.ndarray) and isinstance(values, Iterable):
                values = [*values]
            one = np.ndim(values) == 0
            out = _cast(name, [values] * n if one else values, _DTYPES[name])
            if len(out) != n:
                raise DataError(f"Events: {name} has {len(out)} rows for {n} onsets.")
            return out[order]

        order = np.argsort(onset, kind="stable")
        extra = {k: np.asarray(v) for k, v in (columns or {}).items()}
        for k, v in extra.items():
            if v.shape[:1] != (n,):
                raise DataError(f"Events: column {k!r} has shape {v.shape} for {n} onsets.")
        return cls(
            onset[order],
            column("duration_s", duration_s),
            column("type", type),
            column("value", value),
            column("stream", stream),
            column("block", block),
            {k: v[order] for k, v in extra.items()},
        )

    @classmethod
    def empty(cls) -> "Events":
        """A table without rows."""
        return cls.make(np.zeros(0), np.zeros(0, "<U1"))

    def __len__(self) -> int:
        return len(self.onset_s)

    def __repr__(self) -> str:
        if not len(self):
            return "Events(0)"
        kinds, counts = np.unique(self.type, return_counts=True)
        shown = ", ".join(f"{k} {c}" for k, c in list(zip(kinds, counts, strict=True))[:6])
        more = ", …" if len(kinds) > 6 else ""
        end = float((self.onset_s + self.duration_s).max())
        return f"Events({len(self)}: {shown}{more}; {self.onset_s[0]:g} to {end:g} s)"

    def column(self, name: str) -> AnyArray:
        """A column by name, one of the standard six or an extra one.

        Raises
        ------
        DataError
            If there is no such column.
        """
        if name in _COLUMNS:
            return np.asarray(getattr(self, name))
        if name in self.columns:
            return self.columns[name]
        known = ", ".join([*_COLUMNS, *self.columns])
        raise DataError(f"Events have no column {name!r}. Known: {known}.")

    def take(self, index: Any) -> "Events":
        """Events of the chosen rows (array of int or bool, or slice), in order of onset."""
        i = np.sort(np.atleast_1d(np.arange(len(self))[index]))
        return Events(
            self.onset_s[i],
            self.duration_s[i],
            self.type[i],
            self.value[i],
            self.stream[i],
            self.block[i],
            {k: v[i] for k, v in self.columns.items()},
        )

    def select(
        self, type: str | Iterable[str] | None = None, stream: str | None = None
    ) -> "Events":
        """Events of the given type or types, and of one stream's clock."""
        keep = np.ones(len(self), bool)
        if type is not None:
            keep &= np.isin(self.type, [type] if isinstance(type, str) else list(type))
        if stream is not None:
            keep &= self.stream == stream
        return self.take(keep)
