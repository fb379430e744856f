"""The report: one self-contained page that answers first and explains after."""

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import DataError
from neuro.evaluate.results import Comparison, Results, Row, merged, plural
from neuro.evaluate.scores.metrics import METRICS
from neuro.io.safe import atomic_path
from neuro.typing import PathLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuro.evaluate.measures import FeatureShare, ModelMeasures

__all__ = ["embedded", "report", "verdicts"]

_TEMPLATES = Path(__file__).parents[1] / "templates"


def report(
    results: Results | Sequence[Results],
    path: PathLike,
    *,
    figures: "Mapping[str, Mapping[str, Figure]] | None" = None,
    audit: Mapping[str, Any] | None = None,
    label_curves: Mapping[str, Sequence[Results]] | None = None,
    measures: "Mapping[str, Sequence[ModelMeasures]] | None" = None,
    simulated: bool = False,
    title: str = "Evaluation",
    command: str | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write one HTML page without scripts and without external requests.

    Parameters
    ----------
    results : Results or sequence of Results
        One a data set or task.
    path : path
        Where; written atomically.
    figures : mapping of str to mapping of str to Figure, optional
        Data set -> title -> figure; see :func:`neuro.evaluate.figures`.
    audit : mapping of str to object, optional
        Data set -> findings of `neuro.datasets.audit`: an iterable (each is
        shown as text) or one object.
    label_curves : mapping of str to sequence of Results, optional
        Data set -> what :func:`neuro.evaluate.label_curve` returned.
    measures : mapping of str to sequence of ModelMeasures, optional
        Data set -> what :func:`neuro.evaluate.measures.measure` returned.
    simulated : bool
        Stamp every section, whatever the results say themselves.
    title : str
        Of the page.
    command : str, optional
        What reproduces the run; by default as recorded in the results.
    notes : sequence of str
        Paragraphs for the first screen.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If there is no result.

    Examples
    --------
    >>> import tempfile
    >>> from neuro.evaluate.results import Row
    >>> row = Row("demo", "time_bins", "floor", "", "accuracy", 0.8, 0.7, 0.9, 0.5, True, "block",
    ...           40, 40, 4, 1, 0.0, 0, "4 folds by block", False, False)
    >>> page = report(Results((row,), meta={"primary": "accuracy"}),
    ...               Path(tempfile.mkdtemp(), "report.html"))
    >>> "0.800" in page.read_text()
    True
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    every = merged(results)
    if not every or not any(len(r) for r in every):
        raise DataError("There is no result to report.")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    sections = []
    for i, r in enumerate(r for r in every if len(r)):
        section = _section(i, r, (figures or {}), (audit or {}), simulated)
        name = section["name"]
        section["skill"] = _skill(r, (label_curves or {}).get(name, ()))
        section["measures"] = [_measured(m) for m in (measures or {}).get(name, ())]
        sections.append(section)
    commands = [command] if command else [str(r.meta.get("command", "")) for r in every]
    text = environment.get_template("report.html").render(
        title=title,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        sections=sections,
        simulated=simulated or all(s["simulated"] for s in sections),
        leaky=any(s["leaky"] for s in sections),
        compared=any(v["floor"] for s in sections for v in s["verdicts"]),
        commands=[c for c in dict.fromkeys(commands) if c],
        versions=_versions(every),
        notes=list(notes),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _versions(every: Sequence[Results]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for r in every:
        found.update(r.meta.get("versions", {}))
    return sorted(found.items())


def _section(
    number: int,
    results: Results,
    figures: "Mapping[str, Mapping[str, Figure]]",
    audit: Mapping[str, Any],
    simulated: bool,
) -> dict[str, Any]:
    from neuro import plot

    meta = results.meta
    name = results.rows[0].dataset
    primary = str(meta.get("primary") or results.rows[0].metric)
    drawn: dict[str, Any] = {f"Scores on {name}": plot.scores(results, primary)}
    drawn.update(figures.get(name, {}))
    metrics = list(dict.fromkeys(r.metric for r in results.rows))
    return {
        "id": f"set-{number}",
        "name": name,
        "simulated": simulated or any(r.simulated for r in results.rows),
        "leaky": any(r.leaky for r in results.rows),
        "task": str(meta.get("task_text", "")),
        "facts": _facts(results),
        "verdicts": verdicts(results),
        "primary": _words(primary),
        "tables": [_table(results, m) for m in [primary, *(m for m in metrics if m != primary)]],
        "scores": embedded(drawn[f"Scores on {name}"], f"Scores on {name}"),
        "narrow": embedded(_narrowed(drawn.pop(f"Scores on {name}")), "")["source"],
        "figures": [embedded(figure, text) for text, figure in drawn.items()],
        "confusion": _confusions(results),
        "audit": _findings(audit[name]) if name in audit else None,
        "cautions": [_sentence(str(c)) for c in meta.get("cautions", [])],
        "floors": [str(f) for f in meta.get("floors", [])],
        "proof": _proof(meta.get("proof")),
    }


def _narrowed(figure: "Figure") -> "Figure":
    """The figure laid out anew for a phone; shrinking it would make its text unreadable."""
    _, height = figure.get_size_inches()
    figure.set_size_inches(4.4, height)
    return figure


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _words(name: str) -> str:
    return METRICS[name].label if name in METRICS else name.replace("_", " ")


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _signed(value: float) -> str:
    return "–" if not np.isfinite(value) else ("+" if value > 0 else "") + _number(value)


def _span(lo: float, hi: float) -> str:
    return f"[{_number(lo)}, {_number(hi)}]" if np.isfinite(lo) and np.isfinite(hi) else "[–]"


# ---- first screen ------------------------------------------------------------------


def verdicts(results: Results) -> list[dict[str, str]]:
    """For every model: does it beat the floor, by how much, is it above the null.

    Without models the best floor takes their place and only the null is
    asked for.

    Parameters
    ----------
    results : Results
        Of one run.

    Returns
    -------
    list of dict
        Texts, and a ``state`` of ``"good"``, ``"unclear"`` or ``"bad"`` each.
    """
    metric = str(results.meta.get("primary") or results.rows[0].metric)
    rows = [r for r in results.rows if r.metric == metric and not r.control]
    models = [r for r in rows if r.kind == "model"]
    out = []
    for row in models or [results.best_floor(metric)]:
        mine = {c.role: c for c in results.comparisons if c.model == row.model}
        entry = {
            "model": row.model,
            "score": _number(row.value),
            "span": _span(row.lo, row.hi),
            "n": f"{row.n_test} windows, {row.n_units} {plural(row.unit, row.n_units)}",
            "floor": "",
            "gain": "",
            "floor_state": "none",
            "floor_text": "this is the best floor; no model was given",
        }
        floor = mine.get("best floor")
        if floor is not None:
            entry["floor"] = f"{floor.against} {_number(_rival(results, row, floor))}"
            entry["gain"] = f"{_signed(floor.gain)} {_span(floor.lo, floor.hi)}"
            entry["floor_state"], entry["floor_text"] = _beats(floor)
        entry["null_state"], entry["null_text"] = _above_null(row, mine)
        if row.leaky:
            entry["floor_state"] = entry["null_state"] = "unclear"
            entry["null_text"] = "leaky split: not to be read as skill"
        out.append(entry)
    return out


def _rival(results: Results, row: Row, comparison: Comparison) -> float:
    return results.row(comparison.against, row.metric).value


def _beats(c: Comparison) -> tuple[str, str]:
    return {
        "above": ("good", "beats the floor"),
        "below": ("bad", "below the floor"),
        "not told apart": ("unclear", "not told apart from the floor"),
    }[c.verdict]


def _above_null(row: Row, mine: Mapping[str, Comparison]) -> tuple[str, str]:
    asked: list[tuple[str, bool]] = []
    if row.chance is not None and np.isfinite(row.lo):
        above = row.lo > row.chance if row.higher_is_better else row.hi < row.chance
        asked.append(("chance", above))
    for role in ("shuffled labels", "random weights"):
        if role in mine:
            asked.append((role, mine[role].lo > 0))
    if not asked:
        return "unclear", "no null to compare with"
    failed = [name for name, above in asked if not above]
    null = [name for name in failed if name != "random weights"]
    if null:
        return "bad", "not above " + " or ".join(null)
    if failed:
        return "unclear", "above chance, not above random weights"
    return "good", "above " + ", ".join(name for name, _ in asked)


# ---- sections ------------------------------------------------------------------------


def _facts(results: Results) -> list[tuple[str, str]]:
    meta, row = results.meta, results.rows[0]
    w = meta.get("windows", {})
    out = []
    if w:
        out.append(
            (
                "Windows",
                f"{w['n']} of {w['length_s']:g} s, {w['channels']} channels at {w['sfreq']:g} Hz, "
                f"{w['unit']}, {w['recordings']} recordings ({meta.get('modality', '')})",
            )
        )
    out += [
        ("Task", str(meta.get("task_text", ""))),
        ("Split", row.split),
        ("Tested", f"{row.n_test} windows in {row.n_folds} {plural('fold', row.n_folds)}"),
        (
            "Intervals",
            f"{meta.get('interval', '95 %')}; unit: {row.unit}, n = {row.n_units}",
        ),
    ]
    options = meta.get("options", {})
    if options:
        shown = ", ".join(f"{k} {_option(v)}" for k, v in options.items())
        out.append(("Options", shown))
    return [(k, v) for k, v in out if v]


def _option(value: Any) -> str:
    return (
        " and ".join(map(str, value)).replace("_", " ") if isinstance(value, list) else str(value)
    )


def _proof(proof: Any) -> list[str]:
    if not isinstance(proof, Mapping):
        return []
    n = proof.get("folds", 0)
    shared = proof.get("folds_that_share", {})
    apart = [level for level, k in shared.items() if not k]
    both = [f"{level} (in {k} of {n})" for level, k in shared.items() if k]
    out = [f"{proof.get('checked', '')}; {proof.get('folds_that_leak', 0)} of {n} folds failed."]
    if apart:
        out.append("Never on both sides: " + ", ".join(apart) + ".")
    if both:
        out.append("On both sides, by the nature of the split: " + ", ".join(both) + ".")
    return out


def _table(results: Results, metric: str) -> dict[str, Any]:
    rows = [r for r in results.rows if r.metric == metric]
    better = "higher is better" if rows[0].higher_is_better else "lower is better"
    chance = "" if rows[0].chance is None else f"; chance {_number(rows[0].chance)}"
    return {
        "metric": _words(metric)[:1].upper() + _words(metric)[1:],  # keeps ROC in capitals
        "about": better + chance,
        "rows": [
            {
                "label": r.label,
                "kind": r.kind,
                "value": _number(r.value),
                "span": _span(r.lo, r.hi),
                "n": f"{r.n_test} / {r.n_units} {plural(r.unit, r.n_units)}",
                "seeds": str(r.n_seeds) + (f" (sd {r.seed_sd:.3f})" if r.n_seeds > 1 else ""),
                "note": _remark(r),
            }
            for r in rows
        ],
    }


def _remark(row: Row) -> str:
    if not row.n_constant or row.model == "constant":
        return ""
    of = row.n_folds * row.n_seeds
    return f"{row.n_constant} of {of} {plural('fit', of)} said the same for every window"


def _confusions(results: Results) -> list[dict[str, Any]]:
    classes = [str(c) for c in results.meta.get("task", {}).get("classes", [])]
    if not 2 <= len(classes) <= 12:
        return []
    shown = []
    floor = results.best_floor().label if any(r.kind == "floor" for r in results.rows) else ""
    for label in [floor, *dict.fromkeys(r.label for r in results.rows if r.kind == "model")]:
        if label not in results.confusion:
            continue
        table = np.asarray(results.confusion[label], dtype=float)
        share = table / np.maximum(table.sum(1, keepdims=True), 1)
        cells = [
            [(f"{n:.4g}", f"{s:.0%}", round(float(s) * 0.5, 3)) for n, s in zip(a, b, strict=True)]
            for a, b in zip(table, share, strict=True)
        ]
        lines = list(zip(classes, cells, strict=True))
        shown.append({"label": label, "classes": classes, "lines": lines})
    return shown


def _skill(results: Results, parts: Sequence[Results]) -> list[dict[str, str]]:
    """ROC, calibration and learning curves, as far as there are any."""
    from neuro.evaluate.reporting.pictures import curve_figures, label_figure

    name = results.rows[0].dataset
    floor = results.best_floor().label if any(r.kind == "floor" for r in results.rows) else ""
    models = [r.label for r in results.rows if r.kind == "model"]
    shown = [*dict.fromkeys(models), floor]
    drawn = curve_figures(results.meta.get("curves", {}), [label for label in shown if label])
    if len(parts) > 1:
        drawn["Learning curve: score for fewer labels"] = label_figure(parts)
    return [embedded(figure, f"{text} on {name}") for text, figure in drawn.items()]


def _measured(m: "ModelMeasures") -> dict[str, Any]:
    """One model's measures in words and tables."""
    facts = [
        ("Size", f"{m.n_parameters:,} trainable values"),
        (
            "Embedding",
            f"{m.d_embedding} values of {m.n_windows} windows, effective rank "
            f"{m.effective_rank:.1f}",
        ),
    ]
    if m.sparsity is not None:
        s = m.sparsity
        facts.append((
            "Activation sparsity",
            f"{s.sparsity:.1%} of hidden activations can be left out at {s.increase:.2%} more loss "
            f"(tolerated: {s.tolerance:.0%}; measured on held-out batches)",
        ))  # fmt: skip
    if m.information is not None:
        i = m.information
        told = (
            f"{i.value:.3f} bits; shuffled labels {i.null:.3f}; p = {i.p:.3f} "
            f"({i.method}, {i.n_features} of the embedding's components)"
        )
        if np.isfinite(i.lo):
            told += (
                f". Beyond the shuffled: {i.value - i.null:.3f} {_span(i.lo, i.hi)}, 95 % over "
                f"{i.n_units} {plural(m.unit, i.n_units)}"
            )
        if i.saturated:
            told += ". SATURATED: the sample is too small for so many bins, do not read it"
        facts.append(("Information about the target", told))
    layers = [
        (x.name, str(x.n_units), f"{x.sparsity:.1%}", f"{x.zeros:.1%}", f"{x.hoyer:.2f}",
         str(x.dead))
        for x in (m.sparsity.layers if m.sparsity is not None else ())
    ]  # fmt: skip
    shares = [
        (x.name, f"{x.share:.1%}{_of_units(x, m.unit)}", f"{x.null:.1%}", f"{x.unique:.1%}",
         f"{_number(x.decoding)} ({'r' if x.metric == 'r' else f'chance {x.chance:.2f}'})")
        for x in m.variance
    ]  # fmt: skip
    notes = [_sentence(n) for n in m.notes]
    return {"model": m.model, "facts": facts, "layers": layers, "shares": shares, "notes": notes}


def _of_units(x: "FeatureShare", unit: str) -> str:
    """Interval of a share, where there is one."""
    if not np.isfinite(x.lo):
        return ""
    return f" [{x.lo:.1%}, {x.hi:.1%}] ({x.n_units} {plural(unit, x.n_units)})"


def _findings(found: Any) -> list[str]:
    if isinstance(found, str) or not isinstance(found, Iterable):
        return [str(found)] if str(found) else []
    return [str(f) for f in found]


def embedded(figure: "Figure", text: str) -> dict[str, str]:
    """A figure as an image inside a page: it cannot run or fetch anything.

    Parameters
    ----------
    figure : Figure
        To be shown.
    text : str
        Its title.

    Returns
    -------
    dict of str
        ``source`` (a data address), ``title``, ``alt``, and ``wide``: a class
        of the page's style.
    """
    from neuro.plot.page import figure_source

    width, _ = figure.get_size_inches()
    return {
        "source": figure_source(figure, "svg"),
        "title": text,
        "alt": html.unescape(text),
        "wide": "wide" if width > 5.2 else "small",
    }
