"""The report of an EEG-to-BOLD evaluation: one file, no scripts, nothing fetched."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.evaluate.crossmodal.results import CrossmodalResults, number, span
from neuro.evaluate.reporting.report import embedded
from neuro.io.safe import atomic_path
from neuro.stats import benjamini_hochberg
from neuro.typing import PathLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuro.evaluate.crossmodal.occlusion import Occlusion
    from neuro.evaluate.crossmodal.predicted import ConnectomeSimilarity

__all__ = ["crossmodal_page"]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_FALSE = 0.05
_MOST_VOLUMES = 200
_OCCLUDED = {"lag": "Which second", "channel": "Which electrode", "band": "Which rhythm"}


def crossmodal_page(
    results: CrossmodalResults,
    path: PathLike,
    *,
    occlusions: "Sequence[Occlusion]" = (),
    connectome: "ConnectomeSimilarity | None" = None,
    audit: Sequence[Any] | None = None,
    title: str = "EEG to BOLD",
) -> Path:
    """Write one HTML page without scripts and without external requests.

    Parameters
    ----------
    results : CrossmodalResults
        What :func:`neuro.evaluate.crossmodal.evaluate_pairs` returned.
    path : path
        Where; written atomically.
    occlusions : sequence of Occlusion, optional
        What the predictions rest on.
    connectome : ConnectomeSimilarity, optional
        Of predicted and measured scans.
    audit : sequence of object, optional
        Findings about the recordings, shown as text.
    title : str
        Of the page.

    Returns
    -------
    Path
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from neuro import plot
    from neuro.evaluate.contenders.sources import versions

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    drawn = {
        f"r by region, protocol {p}": plot.region_scores(results, p) for p in results.protocols
    }
    drawn |= _courses(results)
    shown = {f"{_OCCLUDED[o.what]} it rests on": plot.occlusion(o) for o in occlusions}
    text = environment.get_template("crossmodal.html").render(
        title=title,
        meta=results.meta,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        facts=_facts(results),
        verdicts=_verdicts(results),
        figures=[embedded(figure, name) for name, figure in drawn.items()],
        occluded=[embedded(figure, name) for name, figure in shown.items()],
        connectome=str(connectome) if connectome is not None else "",
        tables=[_table(results, p) for p in results.protocols],
        audit=None if audit is None else [str(f) for f in audit],
        versions=sorted(versions().items()),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _facts(results: CrossmodalResults) -> list[tuple[str, str]]:
    m = results.meta
    w: Mapping[str, Any] = m.get("windows", {})
    out = []
    if w:
        out.append((
            "Windows",
            f"{w['n']} of {w['length_s']:g} s, {w['channels']} channels at {w['sfreq']:g} Hz; "
            f"TR {w['tr_s']:g} s",
        ))  # fmt: skip
    if "n_scans" in m:
        out.append(("Tested", f"{m['n_scans']} scans of {m['n_subjects']} people"))
        out.append(("Intervals", f"95 %, bootstrap over {m['interval_unit']}s"))
    out.append(("Split", str(m.get("split", ""))))
    if "lowpass_hz" in m:
        edge = m["lowpass_hz"]
        out.append(("Target", f"low-pass {edge:g} Hz" if edge else "no low-pass"))
        out.append(("Null", f"{m['n_null']} draws; p with the +1 rule"))
    return [(k, v) for k, v in out if v]


def _verdicts(results: CrossmodalResults) -> list[dict[str, str]]:
    """For every model (the baselines, if there is none): regions above null and above the ridge."""
    first = results.protocols[0]
    named = dict.fromkeys(r.model for r in results.rows if r.kind == "model")
    ridge = "lagged_ridge" if "lagged_ridge" in results.models else None
    out = []
    for model in named or [m for m in results.models if m != "constant"]:
        rows = [results.row(model, roi, first) for roi in results.rois]
        above = int(
            benjamini_hochberg(np.array([r.p_shifted for r in rows]), _FALSE).rejected.sum()
        )
        entry = {
            "model": model,
            "r": number(float(np.mean([r.r for r in rows]))),
            "global": number(float(np.mean([r.r_global_removed for r in rows]))),
            "null": f"{above} of {len(rows)} regions above the null (FDR {_FALSE:g})",
            "ridge": "",
            "state": "good" if above == len(rows) else "unclear" if above else "bad",
        }
        if results.meta.get("leaky"):
            entry |= {"state": "unclear", "null": "leaky split: not to be read as skill"}
        if ridge and model != ridge:
            gain = float(np.mean([r.r - results.row(ridge, r.roi, first).r for r in rows]))
            entry["ridge"] = f"{gain:+.3f} against {ridge}"
        out.append(entry)
    return out


def _table(results: CrossmodalResults, protocol: str) -> dict[str, Any]:
    ridge = "lagged_ridge" if "lagged_ridge" in results.models else None
    groups = []
    for roi in results.rois:
        rows, notes = [], []
        for model in results.models:
            r = results.row(model, roi, protocol)
            gain = r.r - results.row(ridge, roi, protocol).r if ridge else float("nan")
            rows.append({
                "model": model,
                "kind": "model" if r.kind == "model" else "floor",
                "r": number(r.r),
                "span": span(r.lo, r.hi),
                "null": span(r.null_lo, r.null_hi),
                "p": number(r.p_shifted),
                "p_other": number(r.p_other),
                "ridge": "" if model == ridge or not np.isfinite(gain) else f"{gain:+.3f}",
                "global": number(r.r_global_removed),
                "ceiling": number(r.ceiling),
                "n_eff": f"{r.n_eff:.0f}",
            })  # fmt: skip
            if np.isfinite(r.r_same_subject) and not r.n_constant:
                notes.append(
                    f"{model} with the same person's other scans: r {r.r_same_subject:.3f}"
                )
            if r.n_constant and model != "constant":
                notes.append(f"{model} did not vary in {r.n_constant} of {r.n_scans} scans")
        groups.append({"roi": roi, "rows": rows, "notes": notes})
    return {"protocol": protocol, "groups": groups}


def _courses(results: CrossmodalResults) -> "dict[str, Figure]":
    """Course of the best region in the first tested scan, by the last model or the ridge."""
    from neuro import plot

    named = [r.model for r in results.rows if r.kind == "model"] or ["lagged_ridge"]
    said = results.predictions.get((results.protocols[0], named[-1]))
    if said is None:
        return {}
    k = int(said.r.mean(axis=0).argmax())
    rows = np.flatnonzero(said.scan == 0)[:_MOST_VOLUMES]
    tr = float(results.meta["windows"]["tr_s"])
    name = f"{results.rois[k]}, {said.recordings[0]}, {named[-1]}"
    figure = plot.predicted_course(said.said[rows, k], said.true[rows, k], tr=tr, name=name)
    return {"Predicted and measured course": figure}
