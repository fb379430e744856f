"""``neuro connect``: connectivity of one file, with tables, figures and a report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.cli._show import clean, console, show_json, table
from neuro.cli._sources import read_any, setting
from neuro.data import Irregular, Recording, Regular
from neuro.errors import ConfigError, DataError, NeuroError
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuro.connectivity import Connectivity

__all__ = ["connect", "default_stream"]

# What is asked of a file if the user does not say; the report names it.
_METHOD = {"bold": "correlation", "spikes": "correlation", "calcium": "correlation"}
_SIGNALS = ("eeg", "meg", "ieeg", "lfp", "bold", "spikes", "calcium")
_BIN_S = 0.05
_DENSITY = 0.1
_FIGURES, _EDGES, _STATES = 5, 20, 4


def default_stream(recording: Recording) -> str:
    """The recording's main signal: the one of a brain modality with most rows.

    Raises
    ------
    DataError
        If no stream qualifies.
    """
    found = {
        name: stream
        for name, stream in recording.streams.items()
        if isinstance(stream, Regular | Irregular)
        and stream.modality in _SIGNALS
        and len(stream.axis) > 1
    }
    if not found:
        raise DataError(
            f"No stream of brain signals with two rows or more among {sorted(recording.streams)}. "
            "Name one with --stream."
        )
    order = list(found)
    return min(order, key=lambda n: (_SIGNALS.index(found[n].modality), -len(found[n].axis)))


def connect(
    path: Path,
    out: Path,
    reading: Mapping[str, Any],
    *,
    method: str | None,
    bands: Sequence[str],
    stream: str | None,
    average: str | None,
    bin_s: float | None,
    options: Sequence[str],
    surrogates: int,
    seed: int,
    as_json: bool,
) -> None:
    """Read, compute, test, draw, write; see the command's help."""
    recording = read_any(path, reading)
    name = stream or default_stream(recording)
    source = recording.stream(name)
    inputs = _inputs(source, average, bin_s)
    chosen = method or _METHOD.get(source.modality if source else "", "wpli")
    own = dict(setting(text) for text in options)
    wanted = _bands(bands, chosen, method is None)
    result, p = _computed(recording, name, chosen, wanted, inputs, own, surrogates, seed)
    out.mkdir(parents=True, exist_ok=True)
    views = _views(result, p)
    figures = _figures(result, views)
    rows = _edges(views)
    facts = _facts(path, name, result, surrogates)
    graph = _graph(views, seed)
    _write(out, path, result, p, facts, figures, rows, graph)
    if as_json:
        edges = [dict(zip(_columns(views), row, strict=True)) for row in rows]
        summary = {"method": result.method, "dims": list(result.dims), "facts": dict(facts)}
        notes = result.attrs["notes"]
        show_json(summary | {"notes": notes, "graph": dict(graph), "edges": edges})
        return
    table(repr(result), _columns(views), rows[:10])
    for note in result.attrs["notes"]:
        console.print(f"note: {clean(note)}")
    console.print(f"report: {clean(out / 'report.html')}")


def _inputs(source: Any, average: str | None, bin_s: float | None) -> dict[str, Any]:
    inputs: dict[str, Any] = {"average": average, "bad": "nan"}
    if isinstance(source, Irregular):
        inputs["bin_s"] = bin_s or _BIN_S
    elif bin_s is not None:
        raise ConfigError("--bin-s is for spikes; this stream is sampled already.")
    return inputs


def _bands(bands: Sequence[str], method: str, by_default: bool) -> Any:
    """``alpha`` or ``mine=8:12``, several of them; alpha for a method nobody chose."""
    if not bands:
        return ["alpha"] if by_default and method == "wpli" else None
    out: dict[str, tuple[float, float]] = {}
    for text in bands:
        name, equals, limits = text.partition("=")
        if not equals:
            from neuro.connectivity.front import band_limits

            out |= band_limits(name)
            continue
        low, colon, high = limits.partition(":")
        try:
            out[name] = (float(low), float(high))
        except ValueError:
            colon = ""
        if not colon:
            raise ConfigError(f"--bands takes alpha or name=low:high, got {text!r}.")
    return out


def _computed(
    recording: Recording,
    stream: str,
    method: str,
    bands: Any,
    inputs: Mapping[str, Any],
    own: Mapping[str, Any],
    surrogates: int,
    seed: int,
) -> "tuple[Connectivity, FloatArray | None]":
    from neuro.connectivity import connectivity, significance

    common: dict[str, Any] = {"method": method, "stream": stream, "bands": bands, **inputs, **own}
    if not surrogates:
        return connectivity(recording, **common), None
    found = significance(recording, n=surrogates, seed=seed, **common)
    return found.result, found.p


def _views(
    result: "Connectivity", p: FloatArray | None
) -> "list[tuple[str, Connectivity, FloatArray | None]]":
    """Single matrices to show: each band, or the mean over time or frequency."""
    leading = result.dims[:-2]
    if leading == ():
        return [("", result, p)]
    first = leading[0]
    if leading == ("band",):
        return [
            (str(band), result.select(band=str(band)), None if p is None else p[i])
            for i, band in enumerate(result.coords["band"])
        ]
    averaged, what = result, "mean"
    if result.attrs.get("symmetry") == "antisymmetric":
        # its sign turns with frequency, so that a mean of values would cancel
        attrs = {**result.attrs, "symmetry": "symmetric"}
        averaged = replace(result, values=np.abs(result.values), attrs=attrs)
        what = "mean magnitude"
    for dim in leading:
        averaged = averaged.mean(dim)
    best = None if p is None else p.reshape(-1, *p.shape[-2:]).min(axis=0)
    return [(f"{what} over {first}" if len(leading) == 1 else what, averaged, best)]


def _columns(views: "Sequence[tuple[str, Connectivity, FloatArray | None]]") -> list[str]:
    columns = ["source", "target", "value"]
    columns += ["band"] if len(views) > 1 else []
    return columns + (["p"] if views[0][2] is not None else [])


def _edges(
    views: "Sequence[tuple[str, Connectivity, FloatArray | None]]", most: int = _EDGES
) -> list[list[Any]]:
    """The strongest edges of all views, as rows of a table."""
    rows = []
    for label, view, p in views:
        matrix = np.array(view.matrix())
        np.fill_diagonal(matrix, np.nan)
        if not view.directed:
            matrix[np.tril_indices(len(matrix))] = np.nan
        i, j = np.nonzero(np.isfinite(matrix))
        order = np.argsort(-np.abs(matrix[i, j]), kind="stable")[:most]
        for a, b in zip(i[order], j[order], strict=True):
            row: list[Any] = [view.names[a], view.names[b], float(f"{matrix[a, b]:.4g}")]
            row += [label] if len(views) > 1 else []
            rows.append(row + ([float(f"{p[a, b]:.3g}")] if p is not None else []))
    return sorted(rows, key=lambda r: -abs(r[2]))[:most]


def _facts(
    path: Path, stream: str, result: "Connectivity", surrogates: int
) -> list[tuple[str, str]]:
    attrs = result.attrs
    facts = [
        ("file", path.name),
        ("stream", f"{stream}, {result.n_nodes} rows at {attrs['sfreq']:g} Hz"),
        ("measure", f"{result.method} ({attrs['reference']})"),
        ("direction", attrs["direction"]),
        ("unit", "ratio" if attrs["unit"] == "1" else attrs["unit"]),
        ("averaged over", attrs["average"]),
        ("windows or trials", str(attrs["n_windows"])),
        ("effective sample size", f"{attrs['n_eff']:.4g}"),
        ("estimator", str(attrs["estimator"])),
    ]
    if "band" in result.dims:
        centres = [f"{b} ({f:.3g} Hz)" for b, f in
                   zip(result.coords["band"], attrs["freqs"], strict=True)]  # fmt: skip
        facts.append(("bands (mean frequency)", ", ".join(centres)))
    for key, text in (("length_s", "window"), ("window_s", "window"), ("order", "model order"),
                      ("resolution_hz", "resolution")):  # fmt: skip
        if attrs.get(key) is not None:
            unit = {"length_s": " s", "window_s": " s", "resolution_hz": " Hz"}.get(key, "")
            facts.append((text, f"{attrs[key]:.4g}{unit}"))
    if surrogates:
        facts.append(("null", f"{surrogates} surrogates, p corrected over all pairs"))
    return facts


def _graph(
    views: "Sequence[tuple[str, Connectivity, FloatArray | None]]", seed: int
) -> list[tuple[str, str]]:
    """A few graph measures of the first view, at a fixed density."""
    from neuro.connectivity import graph

    label, view, _ = views[0]
    if view.directed:
        return []
    kept = view.select(nodes=view.usable)
    w = kept.matrix()
    w = np.abs(w) if view.attrs.get("symmetry") == "antisymmetric" else w
    if len(w) < 8:
        return []
    try:
        sparse = np.where(graph.threshold(w, _DENSITY), w, 0.0)
        groups = graph.modularity(sparse, seed=seed)
        efficiency = graph.global_efficiency(sparse)
    except NeuroError as error:
        return [("not computed", str(error))]
    strength = kept.strength()
    top = [kept.names[i] for i in np.argsort(-strength)[:5]]
    return [
        ("of", f"{label or 'the matrix'}, strongest {_DENSITY:.0%} of edges"),
        ("mean node strength (all edges)", f"{np.nanmean(strength):.4g}"),
        ("strongest nodes", ", ".join(top)),
        ("modularity", f"{groups.q:.3f} with {int(groups.labels.max()) + 1} communities"),
        ("global efficiency", f"{efficiency:.4g}"),
    ]


# ---- figures -------------------------------------------------------------------


def _figures(
    result: "Connectivity", views: "Sequence[tuple[str, Connectivity, FloatArray | None]]"
) -> "list[tuple[str, Figure]]":
    from neuro.plot import connectivity as draw

    out: list[tuple[str, Figure]] = []
    for label, view, p in views[:_FIGURES]:
        where = f", {label}" if label else ""
        keep: AnyArray | None = None if p is None else p <= 0.05
        said = " (p ≤ 0.05)" if p is not None else ""
        out.append((f"matrix{where}", draw.connectivity_matrix(view)))
        if keep is not None and not keep.any():
            continue
        out.append((f"strongest connections{where}{said}",
                    draw.connectivity_circle(view, keep=keep)))  # fmt: skip
        located = _located(view)
        if located is not None:
            out.append((f"in space{where}{said}", located))
    if result.dims == ("freq", "source", "target"):
        out.append(("spectra of the strongest pairs", draw.pair_spectra(result)))
    if result.dims == ("window", "source", "target"):
        out += _states(result)
    return out


def _located(view: "Connectivity") -> "Figure | None":
    from neuro.plot import connectivity as draw

    positions, frame = view.attrs.get("positions"), str(view.attrs.get("frame") or "")
    if positions is None or np.isfinite(np.asarray(positions)).all(axis=1).sum() < 3:
        return None
    if view.attrs.get("modality") in ("eeg", "meg") and frame in ("head", ""):
        return draw.connectivity_sensors(view)
    if frame.upper().startswith("MNI") and not view.directed:
        return draw.connectivity_glass_brain(view)
    return None


def _states(result: "Connectivity") -> "list[tuple[str, Figure]]":
    from neuro.connectivity import cluster_states, matrix_of, vector_of
    from neuro.plot import connectivity as draw

    kept = result.select(nodes=result.usable)
    vectors = vector_of(kept.values)
    good = np.asarray(np.isfinite(vectors).all(axis=1))
    if good.sum() < 2 * _STATES:
        return []
    states = cluster_states(vectors[good], _STATES, seed=0)
    run = np.asarray(result.attrs.get("segment", np.zeros(len(good))))[good]
    figure = draw.state_timeline(
        states.labels, result.coords["window"][good], matrix_of(states.centroids, 1.0), run=run
    )
    return [(f"{_STATES} states by k-means (their number is not estimated)", figure)]


# ---- files ---------------------------------------------------------------------


def _write(
    out: Path,
    path: Path,
    result: "Connectivity",
    p: FloatArray | None,
    facts: Sequence[tuple[str, str]],
    figures: "Sequence[tuple[str, Figure]]",
    rows: Sequence[Sequence[Any]],
    graph: Sequence[tuple[str, str]],
) -> None:
    import pandas as pd

    from neuro.io import safe

    result.save(out / "connectivity.npz")
    views = _views(result, p)
    every = pd.DataFrame(_edges(views, most=10_000_000), columns=_columns(views))
    with safe.atomic_path(out / "edges.csv") as temporary:
        every.to_csv(temporary, index=False)
    summary = {"file": path.name, "method": result.method, "dims": list(result.dims),
               "names": list(result.names), "facts": dict(facts), "graph": dict(graph),
               "notes": result.attrs["notes"], "n_edges": len(every)}  # fmt: skip
    safe.write_json(out / "results.json", summary, nan="null")
    page = _page(path, result, facts, figures, rows, graph, _columns(views))
    with safe.atomic_path(out / "report.html") as temporary:
        Path(temporary).write_text(page, encoding="utf-8")


def _page(
    path: Path,
    result: "Connectivity",
    facts: Sequence[tuple[str, str]],
    figures: "Sequence[tuple[str, Figure]]",
    rows: Sequence[Sequence[Any]],
    graph: Sequence[tuple[str, str]],
    columns: Sequence[str],
) -> str:
    from neuro.plot.page import Grid, Section, page

    sections = [
        Section("How it was computed", facts=facts),
        Section("Figures", figures=figures),
        Section(
            "Strongest connections", grid=Grid(columns, [[_cell(c) for c in row] for row in rows])
        ),
    ]
    if graph:
        sections.append(Section("Graph", facts=graph))
    sizes = " x ".join(str(n) for n in result.values.shape)
    return page(
        f"{result.method.replace('_', ' ')} of {path.name}",
        sections,
        subtitle=f"{', '.join(result.dims)}: {sizes}",
        notes=[clean(note) for note in result.attrs["notes"]],
    )


def _cell(value: Any) -> Any:
    return value if isinstance(value, int | float) else clean(value)
