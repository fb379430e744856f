"""The one door to every measure: any input, any method, one labelled result."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Literal

import numpy as np

from neuro.connectivity._source import Bad, Source, gather, is_many
from neuro.connectivity.measure import Estimate, Measure
from neuro.connectivity.result import Connectivity
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.typing import AnyArray, FloatArray

__all__ = ["band_limits", "connectivity", "evaluate", "measures", "prepare"]

# where each family keeps its table
_TABLES = (
    ("static", "STATIC"),
    ("dynamic", "DYNAMIC"),
    ("spectral", "SPECTRAL"),
    ("envelope", "ENVELOPE"),
    ("directed", "DIRECTED"),
    ("granger", "GRANGER"),
    ("entropy", "ENTROPY"),
)
_WHOLE = ("static", "dynamic")  # families that take one stretch with its segments
_EEG_BANDS = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 45.0),
}
_SHORT_S, _SHORT_VOLUMES = 300.0, 100


def _families() -> dict[str, tuple[str, Measure]]:
    out: dict[str, tuple[str, Measure]] = {}
    for module, table in _TABLES:
        found: dict[str, Measure] = getattr(import_module(f"neuro.connectivity.{module}"), table)
        out |= {name: (module, measure) for name, measure in found.items()}
    return out


def measures() -> dict[str, Measure]:
    """Every measure by name, with what it declares about itself.

    Returns
    -------
    dict of str to Measure

    Examples
    --------
    >>> measures()["correlation"].directed
    False
    """
    return {name: measure for name, (_, measure) in _families().items()}


def _find(method: str) -> tuple[str, Measure]:
    from neuro.connectivity.spectral import ALIASES

    families = _families()
    name = ALIASES.get(method, method)
    if name not in families:
        raise ConfigError(f"method={method!r} is not known. {did_you_mean(str(method), families)}")
    return families[name]


def connectivity(
    x: Any,
    sfreq: float | None = None,
    *,
    method: str,
    average: Literal["trials", "time"] | None = None,
    bands: Mapping[str, tuple[float, float]] | Sequence[str] | str | None = None,
    stream: str | None = None,
    tr: float | None = None,
    bin_s: float | None = None,
    ch_names: Sequence[str] | None = None,
    segments: AnyArray | None = None,
    bad: Bad = "refuse",
    **options: Any,
) -> Connectivity:
    """Connectivity between all rows of a signal.

    Parameters
    ----------
    x : array, Recording, stream, Windows, MNE Raw or Epochs, or list of Recording
        Array: (n_chans, n_times) or (n_trials, n_chans, n_times), time last. A
        list of recordings gives one matrix each.
    sfreq : float, optional
        Hz; for arrays only.
    method : str
        A name in :func:`measures`, such as ``"correlation"``, ``"wpli"``,
        ``"pdc"``, ``"sliding_window"``.
    average : "trials" or "time"
        What the expectation runs over. "trials": all trials together, one
        result (of a recording: its segments are the trials). "time": each
        trial, recording or stretch by itself; the segments of a censored run
        are one stretch with gaps that nothing crosses. Required for trials; a
        single stretch leaves no choice.
    bands : mapping of name to (low, high), names of EEG bands, or None
        Half-open bands in Hz over which spectral measures are averaged.
    stream : str, optional
        Stream of a recording that has several.
    tr : float, optional
        Seconds a volume, in place of `sfreq`.
    bin_s : float, optional
        Bin width for spikes, seconds.
    ch_names : sequence of str, optional
        Names of an array's rows; also the statement that rows are channels.
    segments : int array, shape (n, 2), optional
        Half-open kept sample ranges of a continuous array.
    bad : "refuse" or "nan"
        Rows that are constant or without a number: an error, or NaN rows in the
        result. Rows marked bad are NaN rows always.
    **options
        Of the measure.

    Returns
    -------
    Connectivity
        Row = source, column = target.

    Raises
    ------
    ConfigError
        Unknown method or option; averaging axis, rate or bands missing.
    DataError
        The data cannot support the measure; says which rule is broken.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((4, 500))
    >>> found = connectivity(x, method="correlation")
    >>> found.dims, found.values.shape, found.attrs["average"]
    (('source', 'target'), (4, 4), 'time')
    """
    inputs = {
        "stream": stream,
        "tr": tr,
        "bin_s": bin_s,
        "ch_names": ch_names,
        "segments": segments,
        "bad": bad,
    }
    if is_many(x) and method != "tangent":
        shared = {"average": average, "bands": bands, **inputs, **options}
        return _stacked(x, [connectivity(one, sfreq, method=method, **shared) for one in x])
    family, measure, source, average, options = prepare(
        x, sfreq, method, average, bands, inputs, options
    )
    return evaluate(family, measure, source, average, options)


def _stacked(x: Sequence[Any], found: Sequence[Connectivity]) -> Connectivity:
    """One result of several recordings, a leading recording axis in front."""
    first = found[0]
    if any(c.names != first.names or c.values.shape != first.values.shape for c in found):
        raise DataError(
            "The recordings' results differ in nodes or shape (other rows, or another number of "
            "windows): conform the recordings to one InputContract, or compute them one by one."
        )
    labels = [getattr(one, "id", str(i)) for i, one in enumerate(x)]
    notes = [f"{label}: {note}" for label, c in zip(labels, found, strict=True)
             for note in c.attrs["notes"]]  # fmt: skip
    n_eff = float(np.mean([c.attrs["n_eff"] for c in found]))
    return Connectivity(
        np.stack([c.values for c in found]),
        ("recording", *first.dims),
        {**first.coords, "recording": np.array(labels)},
        {**first.attrs, "notes": notes, "n_eff": n_eff, "source": {"recordings": labels}},
    )


def prepare(
    x: Any,
    sfreq: float | None,
    method: str,
    average: Literal["trials", "time"] | None,
    bands: Any,
    inputs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> tuple[str, Measure, Source, Literal["trials", "time"], dict[str, Any]]:
    """Everything that can be wrong before a number is computed."""
    family, measure = _find(method)
    if is_many(x) and family != "static":
        raise ConfigError(f"{measure.name} of several recordings is tested one by one.")
    given = dict(inputs)
    source = gather(x, _rate(sfreq, given.pop("tr", None)), average=average, **given)
    checked = dict(options)
    if bands is not None:
        checked["bands"] = band_limits(bands)
    _check_options(measure, checked, family)
    return family, measure, source, _average(average, source), checked


def evaluate(
    family: str,
    measure: Measure,
    source: Source,
    average: Literal["trials", "time"],
    options: Mapping[str, Any],
) -> Connectivity:
    """One measure of a gathered source; the part behind the door."""
    if source.sfreq is None and family != "static":
        raise ConfigError(
            f"{measure.name} needs the sampling rate: pass sfreq= in Hz, or tr= in seconds for "
            "fMRI. It is never guessed."
        )
    if family in _WHOLE:
        estimate = _whole(measure, source, average, options)
    else:
        estimate = _by_trial(measure, source, average, options)
    return _wrapped(measure, estimate, source, average, options)


def _rate(sfreq: float | None, tr: float | None) -> float | None:
    if sfreq is not None and tr is not None:
        raise ConfigError("Give sfreq= or tr=, not both.")
    value = sfreq if tr is None else tr
    if value is None:
        return None
    if not np.isfinite(float(value)) or float(value) <= 0:
        raise ConfigError(f"{'tr' if sfreq is None else 'sfreq'}={value} must be above 0.")
    if tr is not None and tr > 100:
        raise ConfigError(f"tr={tr:g} s looks like milliseconds: divide by 1000.")
    return float(value) if tr is None else 1 / float(value)


def _average(
    average: Literal["trials", "time"] | None, source: Source
) -> Literal["trials", "time"]:
    if average not in ("trials", "time", None):
        raise ConfigError(
            f"average={average!r} is not known. {did_you_mean(str(average), ('trials', 'time'))}"
        )
    if average is None:
        if source.kind == "trial":
            raise ConfigError(
                f"{len(source.blocks)} trials: say average='trials' (one result over all trials) "
                "or average='time' (one result a trial). They answer different questions."
            )
        return "time"
    if average == "trials" and source.kind != "trial":
        what = "one continuous stretch" if source.kind == "continuous" else "whole recordings"
        raise ConfigError(
            f"average='trials', but the input is {what}. Use average='time', or cut trials first "
            "(neuro.data.windows)."
        )
    return average


def band_limits(
    bands: Mapping[str, tuple[float, float]] | Sequence[str] | str,
) -> dict[str, tuple[float, float]]:
    """Limits in Hz of named EEG bands, or of the user's own.

    Examples
    --------
    >>> band_limits("alpha")
    {'alpha': (8.0, 13.0)}
    """
    if isinstance(bands, Mapping):
        return {str(k): (float(v[0]), float(v[1])) for k, v in bands.items()}
    names = [bands] if isinstance(bands, str) else list(bands)
    for name in names:
        if name not in _EEG_BANDS:
            raise ConfigError(
                f"No band {name!r}. {did_you_mean(str(name), _EEG_BANDS)} Or give limits: "
                "bands={'mine': (8, 12)}."
            )
    return {name: _EEG_BANDS[name] for name in names}


_MAIN = {"spectral": "spectral_connectivity", "directed": "directed_connectivity"}
_SET_HERE = {"x", "sfreq", "average", "segments", "methods", "ch_names"}


def _parameters(measure: Measure, family: str) -> dict[str, inspect.Parameter]:
    """Keyword options of a measure."""
    function = measure.function
    if isinstance(function, partial):  # one of several measures of a common pass
        function = getattr(import_module(f"neuro.connectivity.{family}"), _MAIN[family])
    function = getattr(function, "options_of", function)
    found = inspect.signature(function).parameters
    return {
        name: p
        for name, p in found.items()
        if name not in _SET_HERE and p.kind is not p.VAR_KEYWORD
    }


def _check_options(measure: Measure, options: Mapping[str, Any], family: str) -> None:
    allowed = _parameters(measure, family)
    if "bands" in options and "bands" not in allowed:
        raise ConfigError(
            f"{measure.name} has no frequency axis. Filter first (neuro.signal.filter_signal), "
            "use band=(low, high) with a phase measure, or choose a spectral measure."
        )
    for name in options:
        if name not in allowed:
            raise ConfigError(
                f"{measure.name} has no option {name!r}. {did_you_mean(name, allowed)}"
            )
    for name, parameter in allowed.items():
        if parameter.default is parameter.empty and name not in options:
            raise ConfigError(f"{measure.name} needs {name}=.")


def _whole(
    measure: Measure,
    source: Source,
    average: Literal["trials", "time"],
    options: Mapping[str, Any],
) -> Estimate:
    """Static and dynamic families: one stretch with its segments."""
    rate = 1.0 if source.sfreq is None else source.sfreq
    if source.kind == "continuous":
        _note_short(source)
        return measure.function(
            source.blocks[0][np.newaxis], rate, average=average, segments=source.segments, **options
        )
    lengths = {b.shape[1] for b in source.blocks}
    if average == "trials" or (len(lengths) == 1 and len(source.blocks) > 0):
        stack = _finite(np.stack(source.blocks)) if len(lengths) == 1 else None
        if stack is None:
            raise DataError(f"Trials have {len(lengths)} different lengths; cut them to one.")
        return measure.function(stack, rate, average=average, **options)
    if measure.name == "tangent":
        shortest = min(lengths)
        source.notes.append(f"recordings cut to the shortest, {shortest} samples")
        stack = np.stack([b[:, :shortest] for b in source.blocks])
        return measure.function(stack, rate, average=average, **options)
    parts = [measure.function(b[np.newaxis], rate, average=average, **options)
             for b in source.blocks]  # fmt: skip
    return Estimate(
        np.stack([p.values for p in parts]),
        ("trial", *parts[0].dims),
        n_windows=len(parts),
        n_eff=float(np.mean([p.n_eff for p in parts])),
        attrs=parts[0].attrs,
    )


def _finite(stack: FloatArray) -> FloatArray:
    good = np.isfinite(stack).all(axis=(1, 2))
    if not good.all():
        raise DataError(
            f"{int((~good).sum())} of {len(stack)} trials hold NaN: leave them out "
            "(windows.select, epochs.drop) so that the result says what it is made of."
        )
    return stack


def _note_short(source: Source) -> None:
    if source.facts.get("modality") != "bold" or source.sfreq is None:
        return
    kept = int((source.segments[:, 1] - source.segments[:, 0]).sum())
    if kept < _SHORT_VOLUMES or kept / source.sfreq < _SHORT_S:
        source.notes.append(
            f"only {kept} volumes ({kept / source.sfreq:.0f} s) are left: below 100 volumes or "
            "5 minutes functional connectivity is hardly reliable"
        )


def _by_trial(
    measure: Measure,
    source: Source,
    average: Literal["trials", "time"],
    options: Mapping[str, Any],
) -> Estimate:
    """Spectral, directed and information measures: epochs, or stretches as epochs."""
    rate = float(source.sfreq or 0.0)  # the door has refused a missing one
    trials: Any = source.stretches
    if source.kind == "continuous":
        # the stretches of one run are averaged into one result, and nothing crosses a gap
        options = _with_window(measure, options, [t.shape[1] for t in trials], rate)
        return measure.function(trials, rate, average="trials", **options)
    if len({t.shape[1] for t in trials}) == 1:
        trials = np.stack(trials)
    return measure.function(trials, rate, average=average, **options)


def _with_window(
    measure: Measure, options: Mapping[str, Any], lengths: Sequence[int], rate: float
) -> dict[str, Any]:
    """A window for spectral measures of a stretch, or its shortest piece would set it."""
    out = dict(options)
    tapered = out.get("estimator", "welch") in ("welch", "multitaper")
    if measure.needs in ("cross-spectrum", "phase") and tapered and rate > 0:
        # 2 s for EEG; 64 samples where a sample is as long as that
        out.setdefault("length_s", min(max(2.0, 64 / rate), max(lengths) / 4 / rate))
    return out


def _filled(values: FloatArray, usable: AnyArray) -> FloatArray:
    """The full matrix, NaN for nodes that were left out."""
    if usable.all():
        return np.asarray(values)
    n = len(usable)
    dtype = np.result_type(values, np.float32)
    out = np.full((*values.shape[:-2], n, n), np.nan, dtype=dtype)
    rows = np.flatnonzero(usable)
    out[..., rows[:, np.newaxis], rows] = values
    return out


def _wrapped(
    measure: Measure,
    estimate: Estimate,
    source: Source,
    average: str,
    options: Mapping[str, Any],
) -> Connectivity:
    extra = dict(estimate.attrs)
    coords: dict[str, AnyArray] = dict(extra.pop("coords", {}))
    names = np.array(source.names)
    coords |= {"source": names, "target": names}
    dims = tuple("recording" if d == "trial" and source.kind == "recording" else d
                 for d in estimate.dims)  # fmt: skip
    leading = dims[0]
    if leading in ("trial", "recording"):
        kept = extra.get("kept_trials")
        coords[leading] = source.labels if kept is None else source.labels[list(kept)]
    if "freq" in dims and estimate.freqs is not None:
        coords["freq"] = estimate.freqs
    if "band" in dims:
        coords["band"] = np.array(estimate.bands)
    if "window" in coords:
        coords["window"] = coords["window"] + source.t0_s
    notes = [*source.notes, *([extra.pop("note")] if "note" in extra else [])]
    extra.pop("average", None)
    attrs: dict[str, Any] = {
        "method": measure.name,
        "estimator": str(extra.pop("estimator", options.get("estimator", ""))),
        "unit": measure.unit.replace("unit", str(source.facts.get("signal_unit", "unit"))),
        "range": list(measure.range),
        "signed": measure.signed,
        "directed": measure.directed,
        "symmetry": measure.symmetry,
        "direction": "row = source, column = target" if measure.directed else "undirected",
        "diagonal": measure.diagonal,
        "average": average,
        "n_windows": estimate.n_windows,
        "n_eff": estimate.n_eff,
        "sfreq": source.sfreq,
        "reference": measure.reference,
        "options": {k: v for k, v in options.items() if not callable(v)},
        **source.facts,
        **extra,
        "notes": notes,
    }
    if "band" in dims and estimate.freqs is not None:
        attrs["freqs"] = np.asarray(estimate.freqs)
    return Connectivity(_filled(estimate.values, source.usable), dims, coords, attrs)
