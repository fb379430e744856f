"""The table of a run, how it was made, and what it says."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from neuro.errors import DataError, FileError, did_you_mean
from neuro.evaluate.contenders.sources import versions
from neuro.evaluate.rows import Comparison, Row
from neuro.evaluate.scores.curves import curves
from neuro.evaluate.scores.intervals import Scored, Units, interval, point, statistic
from neuro.evaluate.scores.scoring import Metric
from neuro.evaluate.splitting import Plan
from neuro.evaluate.task import Predicted, Task
from neuro.io.safe import atomic_path, read_json, write_json
from neuro.typing import AnyArray, IntArray, PathLike

if TYPE_CHECKING:
    import pandas as pd

    from neuro.evaluate.contenders.floors import Floor

__all__ = ["Comparison", "Results", "Row", "assemble"]

SCHEMA = "neuro-results/1"
# measured, see neuro.evaluate.scores.intervals
_SHARED_TRAINING = (
    "; folds share training data, which it does not count: without any signal it covers chance in "
    "0.84 to 0.90 of data sets instead of 0.95"
)


class _Recorded(Protocol):
    """What the runner keeps of one fit."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def control(self) -> str: ...
    @property
    def fold(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def said(self) -> Predicted: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Results:
    """Scores of floors, models and controls under one protocol.

    Parameters
    ----------
    rows : tuple of Row
        One a floor, model or control and metric.
    comparisons : tuple of Comparison
        Models against the best floor, their controls and chance.
    meta : mapping
        Task, split and its proof, unit and its caution, floors, options,
        versions, command: what a reader needs to judge and repeat it.
    confusion : mapping of str to nested list
        For classes: label of the row -> counts (true, said), mean over seeds.
    """

    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    confusion: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        primary = self.meta.get("primary")
        shown = [r for r in self.rows if r.metric == primary] or list(self.rows)
        width = max(len(r.label) for r in shown)
        first = shown[0]
        lines = [
            f"{first.dataset}: {first.metric}, {first.n_test} windows, {first.n_units} "
            f"{plural(first.unit, first.n_units)}; {first.split}"
            + ("; LEAKY" if first.leaky else "")
        ]
        lines += [
            f"  {r.kind:8s}{r.label:{width}s}  {r.value:.3f} [{r.lo:.3f}, {r.hi:.3f}]"
            for r in shown
        ]
        return "\n".join(lines)

    def row(self, model: str, metric: str | None = None, *, control: str = "") -> Row:
        """The row of a floor, model or control.

        Parameters
        ----------
        model : str
            Name of the floor or model.
        metric : str, optional
            The primary one if omitted.
        control : str
            ``""`` for the model itself.

        Returns
        -------
        Row

        Raises
        ------
        DataError
            If there is no such row.
        """
        metric = metric or str(self.meta.get("primary"))
        for r in self.rows:
            if (r.model, r.metric, r.control) == (model, metric, control):
                return r
        names = {r.model for r in self.rows}
        hint = did_you_mean(model, names) if model not in names else f"No {metric} {control}."
        raise DataError(f"No row for {model!r}. {hint}")

    def best_floor(self, metric: str | None = None) -> Row:
        """The floor with the best score."""
        metric = metric or str(self.meta.get("primary"))
        floors = [r for r in self.rows if r.kind == "floor" and r.metric == metric]
        if not floors:
            raise DataError("No floor was computed.")
        return max(floors, key=lambda r: r.value if r.higher_is_better else -r.value)

    # ---- out -----------------------------------------------------------------

    def to_dataframe(self) -> "pd.DataFrame":
        """Rows as a table; without the points."""
        import pandas as pd

        return pd.DataFrame([_flat(r) for r in self.rows], columns=_columns())

    def to_csv(self, path: PathLike) -> Path:
        """Write the table as comma-separated values, atomically."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _columns(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {k: "" if v is None else v for k, v in _flat(r).items()} for r in self.rows
        )
        with atomic_path(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")
        return Path(path)

    def to_json(self, path: PathLike | None = None) -> dict[str, Any]:
        """Everything as plain values, written if a path is given.

        The document has the keys ``schema`` ("neuro-results/1"), ``meta``
        (object, see the class), ``rows`` (array of objects with the fields of
        :class:`Row`), ``comparisons`` (fields of :class:`Comparison`) and
        ``confusion``. Numbers that do not exist are ``null``.

        Parameters
        ----------
        path : path, optional
            Where to write it, atomically.

        Returns
        -------
        dict
        """
        out = {
            "schema": SCHEMA,
            "meta": dict(self.meta),
            "rows": [{k: _null(v) for k, v in asdict(r).items()} for r in self.rows],
            "comparisons": [
                {k: _null(v) for k, v in asdict(c).items()} | {"verdict": c.verdict}
                for c in self.comparisons
            ],
            "confusion": dict(self.confusion),
        }
        if path is not None:
            write_json(path, out)
        return out

    @classmethod
    def from_json(cls, source: PathLike | Mapping[str, Any]) -> Self:
        """The results that :meth:`to_json` wrote.

        Raises
        ------
        FileError
            If the document is of another kind or incomplete.
        """
        values = source if isinstance(source, Mapping) else read_json(source)
        if not isinstance(values, Mapping) or values.get("schema") != SCHEMA:
            raise FileError(f"Not a results document of schema {SCHEMA!r}.")
        try:
            rows = tuple(Row(**_filled(r)) for r in values["rows"])
            pairs = [{k: v for k, v in c.items() if k != "verdict"} for c in values["comparisons"]]
            comparisons = tuple(Comparison(**_filled(c)) for c in pairs)
            return cls(rows, comparisons, dict(values["meta"]), dict(values["confusion"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise FileError(f"The results document is incomplete: {error}.") from error

    def to_html(self, path: PathLike, **options: Any) -> Path:
        """Write the report; see :func:`neuro.evaluate.report`."""
        from neuro.evaluate.reporting.report import report

        return report(self, path, **options)

    def save(self, folder: PathLike) -> None:
        """Write results.json, results.csv and report.html into a folder."""
        where = Path(folder)
        self.to_json(where / "results.json")
        self.to_csv(where / "results.csv")
        self.to_html(where / "report.html")


def _columns() -> list[str]:
    return [f.name for f in fields(Row) if f.name not in ("points", "points_of")]


def _flat(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _columns()}


def _null(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return [_null(v) for v in value] if isinstance(value, tuple) else value


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON back to a row: null where a number is needed means NaN."""
    nan = float("nan")
    out = {k: nan if v is None and k != "chance" else v for k, v in values.items()}
    if "points" in out:
        out["points"] = tuple(nan if v is None else float(v) for v in values["points"])
    return out


def plural(word: str, n: int) -> str:
    """The word for `n` of it."""
    if n == 1:
        return word
    return word + ("es" if word.endswith("ch") else "s")


# ---- from predictions --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Line:
    """All fits of one line of the table."""

    name: str
    kind: str
    control: str
    runs: tuple[Scored, ...]
    n_constant: int


def assemble(
    plan: Plan,
    task: Task,
    metrics: Sequence[Metric],
    units: Units,
    records: Sequence[_Recorded],
    *,
    floors: "Sequence[Floor]" = (),
    simulated: bool = False,
    cautions: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Results:
    """Table, comparisons and facts from the predictions of all folds.

    Parameters
    ----------
    plan : Plan
        Windows and folds.
    task : Task
        What was predicted.
    metrics : sequence of Metric
        The first is the primary one.
    units : Units
        What intervals resample.
    records : sequence
        Predictions.
    floors : sequence of Floor
        For their description.
    simulated : bool
        Mark everything as simulated.
    cautions : sequence of str
        What the reader must be told.
    options : mapping, optional
        Arguments of the run.

    Returns
    -------
    Results
    """
    y = task.target(plan.windows)
    lines = _lines(plan, y, units, records)
    code = np.unique(np.concatenate([units.code[f.test] for f in plan.folds]))
    n_units = int(units.code.max()) + 1
    made = _Maker(plan, task, units, code, n_units, y, simulated)
    rows = tuple(made.row(line, metric) for line in lines for metric in metrics)
    rows_of = {(r.model, r.control): r for r in rows if r.metric == metrics[0].name}
    comparisons = tuple(
        c for line in lines if line.kind == "model"
        for c in made.comparisons(line, lines, rows_of, metrics[0])
    )  # fmt: skip
    confusion = {}
    if task.kind == "classification":
        confusion = {_label(line): _confusion(line.runs, task) for line in lines}
    meta = made.meta(metrics, floors, options or {})
    meta["cautions"] = [*([units.caution] if units.caution else []), *cautions]
    drawn = {_label(line): curves(line.runs, task) for line in lines}
    meta["curves"] = {label: found for label, found in drawn.items() if found is not None}
    return Results(rows, comparisons, meta, confusion)


def _label(line: _Line) -> str:
    return line.name + (f", {line.control.replace('_', ' ')}" if line.control else "")


def _lines(plan: Plan, y: AnyArray, units: Units, records: Sequence[_Recorded]) -> list[_Line]:
    order: dict[tuple[str, str, str], list[_Recorded]] = {}
    for record in records:
        order.setdefault((record.name, record.kind, record.control), []).append(record)
    out = []
    for (name, kind, control), found in order.items():
        runs = []
        for r in sorted(found, key=lambda r: (r.seed, r.fold)):
            rows = plan.folds[r.fold].test
            runs.append(Scored(y[rows], r.said, units.code[rows], r.fold, r.seed))
        constant = sum("constant prediction" in r.notes for r in found)
        out.append(_Line(name, kind, control, tuple(runs), constant))
    return out


@dataclass(frozen=True, eq=False)
class _Maker:
    """Turns predictions into rows; holds what all rows share."""

    plan: Plan
    task: Task
    units: Units
    present: IntArray
    n_units: int
    y: AnyArray
    simulated: bool

    @property
    def dataset(self) -> str:
        names = np.unique(self.plan.windows.column("dataset")).tolist()
        return " + ".join(n or "unnamed data" for n in names)

    def row(self, line: _Line, metric: Metric) -> Row:
        value, by_seed = point(metric, self.task, line.runs)
        ends = interval(
            [(1.0, statistic(metric, self.task, line.runs, self.n_units))],
            value,
            self.present,
            self.n_units,
            bounds=metric.bounds,
        )
        tested = np.concatenate([f.test for f in self.plan.folds])
        points, of = self._points(line, metric)
        return Row(
            dataset=self.dataset,
            model=line.name,
            kind=line.kind,
            control=line.control,
            metric=metric.name,
            value=value,
            lo=ends.low,
            hi=ends.high,
            chance=metric.chance(_truth(line, self.y[tested], self.task), self.task),
            higher_is_better=metric.higher_is_better,
            unit=self.units.level,
            n_units=len(self.present),
            n_test=len(np.unique(tested)),
            n_folds=len(self.plan.folds),
            n_seeds=len(by_seed),
            seed_sd=float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else 0.0,
            n_constant=line.n_constant,
            split=self.plan.description,
            leaky=self.plan.leaky,
            simulated=self.simulated,
            points=tuple(points),
            points_of=of,
        )

    def _points(self, line: _Line, metric: Metric) -> tuple[list[float], str]:
        """Scores of units that hold several windows each, else of folds."""
        n_test = len(np.unique(np.concatenate([f.test for f in self.plan.folds])))
        if self.units.level != "window" and n_test >= 4 * len(self.present):
            parts = (self.present[:, None] == np.arange(self.n_units)).astype(np.float64)
            values = statistic(metric, self.task, line.runs, self.n_units)(parts)
            if np.isfinite(values).all():
                return [float(v) for v in values], self.units.level
        if len(self.plan.folds) < 3:
            return [], ""
        values_of: dict[int, list[float]] = {}
        for run in line.runs:
            one = metric.prepare(run.y, run.said, self.task, np.zeros(len(run.y), np.int64), 1)
            values_of.setdefault(run.fold, []).append(float(one(np.ones((1, 1)))[0]))
        return [float(np.mean(v)) for _, v in sorted(values_of.items())], "fold"

    def comparisons(
        self,
        line: _Line,
        lines: Sequence[_Line],
        rows: Mapping[tuple[str, str], Row],
        metric: Metric,
    ) -> list[Comparison]:
        """The model against the best floor, its controls, and chance."""
        mine = rows[line.name, ""]
        floors = [one for one in lines if one.kind == "floor"]
        rivals: list[tuple[_Line, str, str]] = []
        if floors:
            best = max(floors, key=lambda one: metric.better(rows[one.name, ""].value, 0.0))
            rivals.append((best, best.name, "best floor"))
        rivals += [
            (one, _label(one), one.control.replace("_", " "))
            for one in lines
            if one.kind == "control" and (one.name == line.name or one.control == "no_signal")
        ]
        out = [
            self._compared(line, rival, mine, rows[rival.name, rival.control], name, role, metric)
            for rival, name, role in rivals
        ]
        if mine.chance is not None:
            ends = (metric.better(mine.lo, mine.chance), metric.better(mine.hi, mine.chance))
            gain = metric.better(mine.value, mine.chance)
            lo, hi = min(ends), max(ends)
            out.append(
                Comparison(self.dataset, line.name, metric.name, "chance", "chance", gain, lo, hi)
            )
        return out

    def _compared(
        self, line: _Line, rival: _Line, mine: Row, its: Row, name: str, role: str, metric: Metric
    ) -> Comparison:
        a = statistic(metric, self.task, line.runs, self.n_units)
        b = statistic(metric, self.task, rival.runs, self.n_units)
        sign = 1.0 if metric.higher_is_better else -1.0
        gain = metric.better(mine.value, its.value)
        ends = interval([(sign, a), (-sign, b)], gain, self.present, self.n_units)
        return Comparison(
            self.dataset, line.name, metric.name, name, role, gain, ends.low, ends.high
        )

    def meta(
        self, metrics: Sequence[Metric], floors: "Sequence[Floor]", options: Mapping[str, Any]
    ) -> dict[str, Any]:
        w = self.plan.windows
        # names without folders: a path would tell whose machine it was
        words = [Path(a).name if Path(a).is_absolute() else a for a in sys.argv[1:]]
        command = " ".join([Path(sys.argv[0]).name, *words]) if sys.argv else ""
        return {
            "dataset": self.dataset,
            "modality": w.modality,
            "windows": {
                "n": len(w),
                "length_s": w.length_s,
                "sfreq": w.sfreq,
                "channels": len(w.ch_names),
                "unit": w.unit,
                "recordings": len(w.recordings),
            },
            "task": self.task.to_json(),
            "task_text": str(self.task),
            "primary": metrics[0].name,
            "metrics": {m.name: m.label for m in metrics},
            "split": self.plan.description,
            "proof": self.plan.proof,
            "leaky": self.plan.leaky,
            "simulated": self.simulated,
            "unit": self.units.level,
            "interval": "95 %, bootstrap over units and seeds (bias-corrected, 2,000 draws)"
            + (_SHARED_TRAINING if len(self.plan.folds) > 1 else ""),
            "floors": [f.describe() for f in floors],
            "options": dict(options),
            "versions": versions(),
            "command": command,
        }


def _truth(line: _Line, y: AnyArray, task: Task) -> AnyArray:
    """What chance depends on: targets, for retrieval the size of the galleries."""
    return np.concatenate([r.said.label for r in line.runs]) if task.kind == "retrieval" else y


def _confusion(runs: Sequence[Scored], task: Task) -> list[list[float]]:
    seeds = sorted({r.seed for r in runs})
    table = np.zeros((task.n_classes, task.n_classes))
    for r in runs:
        np.add.at(table, (r.y, r.said.label), 1.0 / len(seeds))
    return [[float(v) for v in line] for line in table]


def merged(results: "Results | Sequence[Results]") -> list[Results]:
    """A list of results, whatever was given."""
    return [results] if isinstance(results, Results) else list(results)
