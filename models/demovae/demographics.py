"""Demographics as typed columns: what they are, and as numbers for the decoder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np

from neuro.data import Recording, Windows
from neuro.errors import ConfigError, DataError, FileError, did_you_mean
from neuro.typing import AnyArray, FloatArray

__all__ = ["FACTS", "Demographic", "Kind", "Table", "facts_of"]

Kind = Literal["continuous", "categorical"]
# facts of a recording that may be demographics, and what they are
FACTS: dict[str, Kind] = {
    "age": "continuous",
    "sex": "categorical",
    "group": "categorical",
    "site": "categorical",
    "dataset": "categorical",
}
_OTHER_FACTS = ("subject", "session", "run", "task")


@dataclass(frozen=True)
class Demographic:
    """One demographic as the training rows had it.

    Parameters
    ----------
    name : str
        Name, or its number where there was none.
    kind : {"continuous", "categorical"}
        Type.
    mean, sd : float
        Continuous: of the training rows; the population's standard deviation.
    levels : tuple of str, int, float or bool
        Categorical: sorted; one column each.
    shares : tuple of float
        Categorical: how often each level occurred.
    """

    name: str
    kind: Kind
    mean: float = 0.0
    sd: float = 1.0
    levels: tuple[Any, ...] = ()
    shares: tuple[float, ...] = ()

    @classmethod
    def learn(cls, name: str, values: AnyArray, kind: Kind) -> "Demographic":
        """Description of one column of training rows."""
        if kind == "continuous":
            numbers = _numbers(name, values)
            sd = float(numbers.std())
            if sd <= 1e-12 * max(1.0, float(np.abs(numbers).max())):
                raise DataError(f"Demographic {name!r} is {numbers[0]:g} for all; leave it out.")
            return cls(name, kind, float(numbers.mean()), sd)
        found = _labels(name, values)
        try:
            levels = tuple(sorted(set(found)))
        except TypeError as error:
            raise DataError(f"Demographic {name!r} mixes text and numbers; use one.") from error
        if len(levels) < 2:
            raise DataError(
                f"Demographic {name!r} has the single level {levels[0]!r}: nothing can be learned "
                "about it; leave it out."
            )
        shares = tuple(found.count(level) / len(found) for level in levels)
        return cls(name, kind, levels=levels, shares=shares)

    @property
    def n_columns(self) -> int:
        """Columns in the decoder's input."""
        return max(1, len(self.levels))

    def encode(self, values: AnyArray, standardise: bool) -> FloatArray:
        """Columns of numbers, (n, n_columns)."""
        if self.kind == "continuous":
            numbers = _numbers(self.name, values)
            return ((numbers - self.mean) / self.sd if standardise else numbers)[:, None]
        place = {level: i for i, level in enumerate(self.levels)}
        found = _labels(self.name, values)
        strange = sorted({repr(v) for v in found if v not in place})
        if strange:
            known = ", ".join(map(repr, self.levels))
            raise DataError(
                f"Demographic {self.name!r} was never seen as {', '.join(strange[:5])}; it was "
                f"trained with {known}."
            )
        return np.asarray(np.eye(len(self.levels))[[place[v] for v in found]])


@dataclass(frozen=True)
class Table:
    """All demographics of a model, in the order of the decoder's columns.

    Parameters
    ----------
    rows : tuple of Demographic
        One each.
    """

    rows: tuple[Demographic, ...]

    @classmethod
    def learn(cls, demo: Any, kinds: Sequence[str] | None, n: int) -> "Table":
        """Description of training demographics.

        Parameters
        ----------
        demo : mapping of name to array (n,), or sequence of arrays
            Values.
        kinds : sequence of "continuous" or "categorical", optional
            In the same order; text and truth values are categorical, fractions
            continuous, and whole numbers must be told.
        n : int
            Rows of the features.

        Returns
        -------
        Table

        Raises
        ------
        DataError
            Lengths that differ, missing values, one single value or level, or whole
            numbers of no known kind.
        ConfigError
            A kind that does not exist.
        """
        columns = _columns(demo, n)
        if not columns:
            raise DataError("No demographics are given; demovae needs at least one.")
        if kinds is not None and len(kinds) != len(columns):
            raise DataError(f"{len(kinds)} kinds for {len(columns)} demographics.")
        given = [None] * len(columns) if kinds is None else list(kinds)
        return cls(
            tuple(
                Demographic.learn(name, values, _kind(name, values, kind))
                for (name, values), kind in zip(columns.items(), given, strict=True)
            )
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the demographics."""
        return tuple(row.name for row in self.rows)

    @property
    def n_columns(self) -> int:
        """Columns in the decoder's input."""
        return sum(row.n_columns for row in self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Name of every column: ``"age"``, ``"sex=F"`` and so on."""
        return tuple(
            name
            for row in self.rows
            for name in ([f"{row.name}={v}" for v in row.levels] or [row.name])
        )

    def blocks(self) -> list[tuple[Demographic, slice]]:
        """Each demographic and the columns that are its own."""
        edges = np.cumsum([0, *(row.n_columns for row in self.rows)]).tolist()
        return [(row, slice(*ab)) for row, ab in zip(self.rows, pairwise(edges), strict=True)]

    def encode(
        self, demo: Any, n: int, *, standardise: bool, kinds: Sequence[str] | None = None
    ) -> FloatArray:
        """Numbers for the decoder.

        Parameters
        ----------
        demo : mapping of name to array (n,) or single value, or sequence of them
            Every demographic of the training, in any order if named.
        n : int
            Rows.
        standardise : bool
            Continuous ones in training standard deviations from the training mean.
        kinds : sequence of str, optional
            Checked against those of the training.

        Returns
        -------
        float64 array, shape (n, n_columns)

        Raises
        ------
        DataError
            A demographic or level that training never saw, or one that is lacking.
        """
        columns = _columns(demo, n)
        if not isinstance(demo, Mapping) and len(columns) == len(self.rows):
            columns = dict(zip(self.names, columns.values(), strict=True))
        for name in columns:
            if name not in self.names:
                raise DataError(
                    f"Demographic {name!r} was never seen in training. "
                    f"{did_you_mean(name, self.names)}"
                )
        lacking = [name for name in self.names if name not in columns]
        if lacking:
            raise DataError(f"Demographics {lacking} are lacking; the model needs {self.names}.")
        if kinds is not None and list(kinds) != [row.kind for row in self.rows]:
            raise DataError(
                f"The kinds {list(kinds)} are not those of the training: "
                f"{[row.kind for row in self.rows]}."
            )
        return np.concatenate(
            [row.encode(columns[row.name], standardise) for row in self.rows], axis=1
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Plain lists, for a file."""
        return [asdict(row) for row in self.rows]

    @classmethod
    def from_json(cls, found: Any) -> "Table":
        """Inverse of `to_json`.

        Raises
        ------
        FileError
            If it is damaged.
        """
        try:
            rows = [
                Demographic(
                    str(row["name"]),
                    {"continuous": "continuous", "categorical": "categorical"}[row["kind"]],  # type: ignore[arg-type]
                    float(row["mean"]),
                    float(row["sd"]),
                    tuple(row["levels"]),
                    tuple(float(s) for s in row["shares"]),
                )
                for row in found
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(f"The saved demographics cannot be used: {error!r}.") from error
        if not rows or any(
            (row.kind == "categorical") != (len(row.levels) > 1)
            or len(row.levels) != len(row.shares)
            or not row.sd > 0
            for row in rows
        ):
            raise FileError("The saved demographics contradict themselves.")
        return cls(tuple(rows))


def facts_of(
    x: Sequence[Recording] | Windows, named: str
) -> tuple[dict[str, AnyArray], list[Kind]]:
    """Demographics that recordings carry as facts.

    Parameters
    ----------
    x : sequence of Recording, or Windows
        One row each.
    named : str
        Facts, separated by commas; "" takes those that are known for all and vary.

    Returns
    -------
    demo : dict of str to array
        Values.
    kinds : list of str
        What they are.

    Raises
    ------
    ConfigError
        A fact that recordings do not have.
    DataError
        Nothing known that varies, or a named fact that some recordings lack.
    """
    recordings = x.recordings if isinstance(x, Windows) else x
    rows = x.recording.tolist() if isinstance(x, Windows) else range(len(recordings))
    wanted = [name.strip() for name in named.split(",") if name.strip()]
    for name in wanted:
        if name not in (*FACTS, *_OTHER_FACTS):
            options = (*FACTS, *_OTHER_FACTS)
            raise ConfigError(f"Recordings have no fact {name!r}. {did_you_mean(name, options)}")
    found: dict[str, list[Any]] = {}
    for name in wanted or FACTS:
        values = [getattr(recordings[i], name) for i in rows]
        unknown = sum(v is None or v == "" for v in values)
        if wanted and unknown:
            raise DataError(f"{name!r} is unknown for {unknown} of {len(values)} rows.")
        if wanted or (not unknown and len(set(values)) > 1):
            found[name] = values
    if not found:
        raise DataError(
            f"None of {', '.join(FACTS)} is known for all recordings and varies between them: give "
            "demo=, name facts in the configuration (demographics='run'), or add them to the "
            "recordings."
        )
    return {k: np.asarray(v) for k, v in found.items()}, [
        FACTS.get(name, "categorical") for name in found
    ]


def _columns(demo: Any, n: int) -> dict[str, AnyArray]:
    """Arrays of n values by name; single values are repeated."""
    if isinstance(demo, Mapping):
        items = [(str(k), v) for k, v in demo.items()]
    elif isinstance(demo, Sequence) and not isinstance(demo, str):
        items = [(str(i), v) for i, v in enumerate(demo)]
    else:
        raise DataError(
            "Demographics are a mapping of names to arrays, or a list of arrays; got a "
            f"{type(demo).__name__}."
        )
    out = {}
    for name, value in items:
        column = np.asarray(value)
        if column.ndim == 0:
            column = np.repeat(column, n)
        if column.shape != (n,):
            raise DataError(f"Demographic {name!r} has shape {column.shape} for {n} rows.")
        out[name] = column
    return out


def _kind(name: str, values: AnyArray, given: str | None) -> Kind:
    if given is not None:
        if given not in ("continuous", "categorical"):
            raise ConfigError(
                f"Kind {given!r} of demographic {name!r} is not known: use 'continuous' or "
                "'categorical'."
            )
        return cast(Kind, given)
    if values.dtype.kind == "f":
        return "continuous"
    if values.dtype.kind in "iu":
        raise DataError(
            f"Demographic {name!r} holds whole numbers, which may be amounts or codes: say which "
            "with kinds, 'continuous' or 'categorical' for every demographic."
        )
    return "categorical"


def _numbers(name: str, values: AnyArray) -> FloatArray:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Demographic {name!r} is continuous and holds no numbers.") from error
    missing = int((~np.isfinite(numbers)).sum())
    if missing:
        raise DataError(
            f"Demographic {name!r} is missing for {missing} of {len(numbers)} rows; leave those "
            "rows out or fill them in."
        )
    return numbers


def _labels(name: str, values: AnyArray) -> list[Any]:
    found: list[Any] = np.asarray(values).tolist()
    if any(v is None or v == "" or v != v for v in found):
        raise DataError(f"Demographic {name!r} has rows without a level; leave them out.")
    return found
