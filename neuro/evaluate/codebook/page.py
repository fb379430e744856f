"""The code book's page: one file, no scripts, nothing fetched."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.evaluate.codebook.evidence import Evidence, mean_of
from neuro.evaluate.codebook.prototypes import BANDS
from neuro.evaluate.reporting.report import embedded
from neuro.io.safe import atomic_path
from neuro.typing import PathLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuro.evaluate.codebook.inspecting import CodebookReport

__all__ = ["codebook_page"]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_MOST_CHANNELS = 12
# below this share of codes in use, with ten tokens or more a code, it is called collapsed
_COLLAPSED = 0.25


def codebook_page(report: "CodebookReport", path: PathLike) -> Path:
    """Write one HTML page without scripts and without external requests.

    Parameters
    ----------
    report : CodebookReport
        What :func:`neuro.evaluate.codebook.inspect_codebook` returned.
    path : path
        Where; written atomically.

    Returns
    -------
    Path
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from neuro.evaluate.contenders.sources import versions

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    text = environment.get_template("codebook.html").render(
        model=report.model,
        data=", ".join(sorted({r.dataset or r.id for r in report.windows.recordings})),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        simulated=report.simulated,
        facts=_facts(report),
        collapsed=_collapsed(report),
        pictures=_pictures(report),
        agreement=_agreement(report),
        bands=_bands(report),
        evidence=None if report.evidence is None else _evidence(report, report.evidence),
        notes=report.notes,
        versions=sorted(versions().items()),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"


def _facts(report: "CodebookReport") -> list[tuple[str, str, str]]:
    """Name, value and what to compare it with."""
    w = report.windows
    n_chans, n_tokens = report.grid.ids.shape[1:]
    out = [
        (
            "Tokens",
            f"{int(report.counts.sum()):,}",
            f"{len(w)} windows of {w.length_s:g} s, {n_chans} channels at {w.sfreq:g} Hz, "
            f"{n_tokens} tokens of {report.grid.length_s:g} s a channel",
        ),
        (
            "Codes in use",
            f"{report.n_used} of {report.n_codes}",
            f"perplexity {report.perplexity:.1f} over the whole set",
        ),
    ]
    out += [
        (f"Stable under {s.name}", f"{s.kept:.1%}", f"two tokens at random agree in {s.chance:.1%}")
        for s in report.stability
    ]
    if report.truth is not None:
        t = report.truth
        out.append(
            ("Purity", _number(t.purity), f"exchanged labels {_number(t.purity_shuffled)}, "
             f"one code for all {_number(t.chance)}")
        )  # fmt: skip
    if report.evidence is not None:
        e = report.evidence
        out.append(
            (f"Windows of “{e.positive}” told by n-grams", f"AUROC {_number(mean_of(e.auroc))}",
             f"held out by {e.by}; exchanged labels {_number(mean_of(e.auroc_shuffled))}")
        )  # fmt: skip
        if e.place_auroc:
            out.append(
                ("Places found by evidence", f"AUROC {_number(mean_of(e.place_auroc))}",
                 f"exchanged labels {_number(mean_of(e.place_auroc_shuffled))}")
            )  # fmt: skip
    return out


def _collapsed(report: "CodebookReport") -> str:
    enough = report.counts.sum() >= 10 * report.n_codes
    if report.n_used >= _COLLAPSED * report.n_codes or not enough:
        return ""
    return (
        f"Only {report.n_used} of {report.n_codes} codes are ever used. A collapsed code book can "
        "still have a fair loss and a fair NMI: look at the number of codes and their purity."
    )


# ---- pictures ---------------------------------------------------------------------


def _pictures(report: "CodebookReport") -> dict[str, dict[str, str] | None]:
    from neuro import plot

    means = _meanings(report)
    n = len(report.prototypes.codes)
    out: dict[str, dict[str, str] | None] = {
        "usage": embedded(plot.code_usage(report.counts), "How often each code is used"),
        "labels": None,
        "prototypes": _two_widths(
            plot.code_prototypes(report.prototypes, means),
            plot.code_prototypes(report.prototypes, means, columns=1, most=min(n, 16)),
            "One stretch and the mean spectrum of each code",
        ),
    }
    if report.truth is not None:
        table, names = report.truth.table, report.truth.names
        narrow = plot.code_labels(table, names, most=24)
        narrow.set_size_inches(4.4, narrow.get_size_inches()[1])
        out["labels"] = _two_widths(
            plot.code_labels(table, names), narrow, "What the tokens of each code are"
        )
    return out


def _two_widths(wide: "Figure", narrow: "Figure", text: str) -> dict[str, str]:
    return {**embedded(wide, text), "narrow": embedded(narrow, text)["source"]}


def _meanings(report: "CodebookReport") -> list[str]:
    """Most frequent label of each code that is drawn; none where nothing is known."""
    if report.truth is None:
        return []
    table = report.truth.table[report.prototypes.codes]
    names = report.truth.names
    return [names[int(row.argmax())] if row.sum() else "unknown" for row in table]


# ---- tables -----------------------------------------------------------------------


def _agreement(report: "CodebookReport") -> dict[str, Any] | None:
    if report.truth is None:
        return None
    rows = [
        (name, str(a.n_used), _number(a.purity), _number(a.held_out), _number(a.purity_shuffled),
         _number(a.nmi))
        for name, a in (
            (report.model, report.truth),
            (f"k-means, {report.yardstick_centres} centres", report.yardstick),
        )
        if a is not None
    ]  # fmt: skip
    each = zip(report.truth.names, report.truth.codes_per_label, strict=True)
    return {"rows": rows, "codes": [(n.replace("_", " "), k) for n, k in each]}


def _bands(report: "CodebookReport") -> dict[str, Any] | None:
    bands = [b for b in BANDS if any(e.band == b for e in report.bands)]
    if not bands:
        return None
    found = {(e.label, e.band): e for e in report.bands}
    lines = []
    for label in dict.fromkeys(e.label for e in report.bands):
        cells = [(b, f"{found[label, b].error:.2f}", _number(found[label, b].r2)) for b in bands]
        lines.append((label.replace("_", " ") or "all tokens", cells))
    return {"bands": bands, "lines": lines}


def _evidence(report: "CodebookReport", e: Evidence) -> dict[str, Any]:
    names = [c for c in report.windows.classes or () if c != e.positive]
    other = f"“{names[0]}”" if len(names) == 1 else "the others"
    means = {}
    if report.truth is not None:
        table = report.truth.table
        for code in {c for t in e.top for c in t.codes}:
            if table[code].sum():
                means[code] = report.truth.names[int(table[code].argmax())].replace("_", " ")
    top = [
        (
            " → ".join(f"{c} ({means[c]})" if c in means else str(c) for c in t.codes)
            + (f" at {t.channel}" if t.channel else ""),
            f"{t.evidence:+.2f}",
            str(t.in_positive),
            str(t.in_other),
        )
        for t in e.top
    ]
    return {
        "positive": e.positive,
        "other": other,
        "by": e.by,
        "folds": ", ".join(_number(v) for v in e.auroc),
        "auroc": _number(mean_of(e.auroc)),
        "shuffled": _number(mean_of(e.auroc_shuffled)),
        "place": _number(mean_of(e.place_auroc)) if e.place_auroc else "",
        "place_shuffled": _number(mean_of(e.place_auroc_shuffled)),
        "n": f"{len(e.rows)} windows, {int(e.is_positive.sum())} of “{e.positive}”",
        "top": top,
        "maps": _maps(report, e),
        "framed": e.place is not None,
    }


def _maps(report: "CodebookReport", e: Evidence) -> list[dict[str, str]]:
    """The surest right window, the most doubtful one of the class, the nearest false alarm."""
    yes, no = np.flatnonzero(e.is_positive), np.flatnonzero(~e.is_positive)
    wanted = {
        f"The surest window of “{e.positive}”": int(yes[e.score[yes].argmax()]),
        f"The most doubtful window of “{e.positive}”": int(yes[e.score[yes].argmin()]),
        "The nearest to a false alarm": int(no[e.score[no].argmax()]),
    }
    full = float(np.quantile(np.abs(e.map), 0.99)) or 1.0
    return [
        _two_widths(_map(report, e, row, full, 8.2), _map(report, e, row, full, 4.4), text)
        for text, row in wanted.items()
    ]


def _map(report: "CodebookReport", e: Evidence, row: int, full: float, width: float) -> "Figure":
    from neuro import plot

    w = report.windows
    x = w.batch([int(e.rows[row])]).x[0].numpy()
    # of many channels those that say most, in their usual order
    said = np.abs(e.map[row]).max(axis=1)
    chosen: Sequence[int] = np.sort(np.argsort(-said, kind="stable")[:_MOST_CHANNELS]).tolist()
    figure = plot.code_evidence(
        x[chosen],
        e.map[row][chosen],
        report.grid.start_s,
        report.grid.length_s,
        sfreq=w.sfreq,
        names=[w.ch_names[i] for i in chosen],
        truth=None if e.place is None else e.place[row][chosen],
        limit=full,
    )
    figure.set_size_inches(width, figure.get_size_inches()[1])
    return figure
