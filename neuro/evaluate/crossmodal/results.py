"""The table of an EEG-to-BOLD evaluation: one line a protocol, model and region."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from neuro.errors import DataError, FileError, did_you_mean
from neuro.io.safe import atomic_path, read_json
from neuro.typing import FloatArray, IntArray, PathLike

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CrossmodalResults", "Prediction", "RegionScore"]

SCHEMA = "neuro-crossmodal/1"


@dataclass(frozen=True)
class RegionScore:
    """One model on one region under one protocol; NaN where a figure does not exist.

    Parameters
    ----------
    protocol, model, kind, roi : str
        `kind` is ``"baseline"`` or ``"model"``.
    r, lo, hi : float
        Mean over scans of the correlation in each, and its 95 % interval.
    null_lo, null_hi, p_shifted : float
        95 % of the same mean with targets rotated in time, and the share of
        rotations that reach `r`.
    p_other : float
        The same for targets of other people's scans.
    r_same_subject : float
        Mean correlation with other scans of the same person.
    r_global_removed : float
        Mean correlation once the global signal is regressed out.
    ceiling : float
        What the noise-free course reaches; simulations only.
    n_eff : float
        Independent volumes a scan is worth.
    mse : float
        Mean squared error, in the prepared target's unit.
    n_scans, n_constant : int
        Scans tested, and scans in which the prediction did not vary (their r
        is 0).
    """

    protocol: str
    model: str
    kind: str
    roi: str
    r: float
    lo: float
    hi: float
    null_lo: float
    null_hi: float
    p_shifted: float
    p_other: float
    r_same_subject: float
    r_global_removed: float
    ceiling: float
    n_eff: float
    mse: float
    n_scans: int
    n_constant: int


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model said about the tested windows of one protocol.

    Parameters
    ----------
    rows : ndarray of int, shape (n,)
        Tested windows, by row of the windows that were evaluated.
    said, true : ndarray, shape (n, roi)
        Prediction and prepared target.
    r : ndarray, shape (scan, roi)
        Correlation in each tested scan.
    scan : ndarray of int, shape (n,)
        Scan of each tested window: a row of `r`.
    recordings : tuple of str
        Ids of the scans.
    """

    rows: IntArray
    said: FloatArray
    true: FloatArray
    r: FloatArray
    scan: IntArray
    recordings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CrossmodalResults:
    """Scores of one evaluation, with what is needed to read them.

    Parameters
    ----------
    rows : tuple of RegionScore
        Baselines first.
    meta : mapping
        Split, units of the intervals, cautions, whether simulated or leaky.
    predictions : mapping of (protocol, model) to Prediction
        Not saved.
    """

    rows: tuple[RegionScore, ...]
    meta: Mapping[str, Any]
    predictions: Mapping[tuple[str, str], Prediction] = field(default_factory=dict)

    def row(self, model: str, roi: str, protocol: str | None = None) -> RegionScore:
        """One line; the first protocol's if none is named.

        Raises
        ------
        DataError
            If there is no such line.
        """
        protocol = protocol or self.protocols[0]
        for r in self.rows:
            if (r.model, r.roi, r.protocol) == (model, roi, protocol):
                return r
        hint = did_you_mean(model, self.models)
        if model in self.models:
            hint = did_you_mean(roi, self.rois) if roi not in self.rois else f"Not {protocol!r}."
        raise DataError(f"No line of {model!r} on {roi!r} under {protocol!r}. {hint}")

    def mean_r(self, model: str, protocol: str | None = None) -> float:
        """Mean over regions of a model's r."""
        return float(np.mean([self.row(model, roi, protocol).r for roi in self.rois]))

    @property
    def protocols(self) -> tuple[str, ...]:
        """Protocols, in the order computed."""
        return tuple(dict.fromkeys(r.protocol for r in self.rows))

    @property
    def models(self) -> tuple[str, ...]:
        """Baselines and models, in the order computed."""
        return tuple(dict.fromkeys(r.model for r in self.rows))

    @property
    def rois(self) -> tuple[str, ...]:
        """Regions."""
        return tuple(dict.fromkeys(r.roi for r in self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        marks = [w for w in ("simulated", "leaky") if self.meta.get(w)]
        stamp = f"  [{', '.join(marks).upper()}]" if marks else ""
        lines = [
            f"{self.meta.get('dataset', '')}: EEG to BOLD, {self.meta.get('split', '')}{stamp}"
        ]
        width = max(len(r.model) for r in self.rows) + 2
        for protocol in self.protocols:
            for roi in self.rois:
                lines.append(f"{roi}, protocol {protocol}")
                head = f"  {'':{width}}{'r':>6} {'95 %':>16} {'null 95 %':>16} {'p':>7}"
                lines.append(f"{head} {'no global':>10} {'ceiling':>8} {'n eff':>6}")
                for r in self.rows:
                    if (r.protocol, r.roi) == (protocol, roi):
                        lines.append(_line(r, width))
        lines += [f"! {caution}" for caution in self.meta.get("cautions", [])]
        return "\n".join(lines)

    # ---- out -----------------------------------------------------------------

    def to_dataframe(self) -> "pd.DataFrame":
        """Rows as a table."""
        import pandas as pd

        return pd.DataFrame([asdict(r) for r in self.rows])

    def to_json(self, path: PathLike | None = None) -> dict[str, Any]:
        """Everything but the predictions as plain values, written if a path is given."""
        rows = [{k: _null(v) for k, v in asdict(r).items()} for r in self.rows]
        out = {"schema": SCHEMA, "meta": dict(self.meta), "rows": rows}
        if path is not None:
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(out, indent=1, allow_nan=False), encoding="utf-8")
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
        names = {f.name for f in fields(RegionScore)}
        try:
            rows: list[dict[str, Any]] = [
                {k: float("nan") if v is None else v for k, v in r.items() if k in names}
                for r in values["rows"]
            ]
            return cls(tuple(RegionScore(**r) for r in rows), dict(values["meta"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise FileError(f"The results document is incomplete: {error}.") from error

    def to_html(self, path: PathLike, **options: Any) -> Path:
        """Write the report; see :func:`neuro.evaluate.crossmodal.crossmodal_page`."""
        from neuro.evaluate.crossmodal.page import crossmodal_page

        return crossmodal_page(self, path, **options)

    def save(self, folder: PathLike, **options: Any) -> None:
        """Write crossmodal.json, crossmodal.csv and report.html into a folder."""
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        self.to_json(where / "crossmodal.json")
        with atomic_path(where / "crossmodal.csv") as temporary:
            self.to_dataframe().to_csv(temporary, index=False)
        self.to_html(where / "report.html", **options)


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _line(r: RegionScore, width: int) -> str:
    return (
        f"  {r.model:{width}}{r.r:6.3f} {span(r.lo, r.hi):>16} {span(r.null_lo, r.null_hi):>16} "
        f"{number(r.p_shifted):>7} {number(r.r_global_removed):>10} {number(r.ceiling):>8} "
        f"{r.n_eff:6.1f}" + (f"  {r.n_constant} constant" if r.n_constant else "")
    )


def number(value: float) -> str:
    """Three decimals, or a dash."""
    return f"{value:.3f}" if np.isfinite(value) else "–"


def span(lo: float, hi: float) -> str:
    """An interval, or a dash."""
    return f"[{lo:.3f}, {hi:.3f}]" if np.isfinite(lo) and np.isfinite(hi) else "–"
