"""Undirected spectral connectivity: coherence and phase-lag families.

All measures come from one pass over the windows (:func:`spectral_connectivity`).
The cross-spectrum of a window is averaged over its tapers first and over windows
after, as in mne-connectivity, so numbers can be compared. Signs: ``Im S_ij > 0``,
and ``dpli[i, j] > 0.5``, where channel j lags channel i.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.connectivity._bands import Bands, Groups, band_groups, frequency_range
from neuro.connectivity._epochs import Epochs, Trials, as_epochs, check_average, check_sfreq
from neuro.connectivity._sums import Statistics, Sums, unpack
from neuro.connectivity._torch import as_array, full_matrices, is_tensor, like, tensor_sums
from neuro.connectivity.measure import Average, Estimate, Measure
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.signal._segments import check_choice
from neuro.signal.cross import CrossMethod, Tapering, morlet_margin, morlet_spectra, tapering
from neuro.typing import AnyArray

__all__ = ["ALIASES", "SPECTRAL", "Estimator", "finish", "spectral_connectivity", "statistics_of"]

Estimator: TypeAlias = Literal["welch", "multitaper", "morlet", "burg"]

_BLOCK = 1 << 18  # complex numbers of one block of windows: 4 MB, whatever the number of trials
_PART = 1 << 17  # complex numbers of one sum over all pairs and a group of frequencies


def _coherence(s: Any) -> Any:
    return (abs(s.cross) / s.auto).clip(max=1.0)


def _squared_coherence(s: Any) -> Any:
    return _coherence(s) ** 2


def _imaginary_coherence(s: Any) -> Any:
    return s.cross.imag / s.auto


def _plv(s: Any) -> Any:
    return (s.phase_re**2 + s.phase_im**2) ** 0.5 / s.n


def _ciplv(s: Any) -> Any:
    rest = (1 - (s.phase_re / s.n) ** 2).clip(min=0.0) ** 0.5
    return (abs(s.phase_im) / s.n / (rest + (rest == 0))).clip(max=1.0)


def _ppc(s: Any) -> Any:
    return (s.phase_re**2 + s.phase_im**2 - s.n2) / (s.n**2 - s.n2)


def _pli(s: Any) -> Any:
    return abs(s.sign) / s.n


def _unbiased_pli(s: Any) -> Any:
    return (s.sign**2 - s.n2) / (s.n**2 - s.n2)


def _dpli(s: Any) -> Any:
    return 0.5 + s.sign / (2 * s.n)


def _wpli(s: Any) -> Any:
    weight = s.absim + (s.absim == 0)
    return (abs(s.cross.imag) / weight * (s.absim != 0)).clip(max=1.0)


def _debiased_wpli(s: Any) -> Any:
    weight = s.absim**2 - s.im2
    flat = weight <= 0
    return ((s.cross.imag**2 - s.im2) / (weight + flat * (1 - weight)) * ~flat).clip(max=1.0)


_Finish: TypeAlias = Callable[[Any], Any]
_FINISH: Mapping[str, tuple[_Finish, Statistics]] = MappingProxyType(
    {
        "coherence": (_coherence, frozenset({"csd"})),
        "squared_coherence": (_squared_coherence, frozenset({"csd"})),
        "imaginary_coherence": (_imaginary_coherence, frozenset({"csd"})),
        "plv": (_plv, frozenset({"phase"})),
        "ciplv": (_ciplv, frozenset({"phase"})),
        "ppc": (_ppc, frozenset({"phase"})),
        "pli": (_pli, frozenset({"sign"})),
        "unbiased_pli": (_unbiased_pli, frozenset({"sign"})),
        "dpli": (_dpli, frozenset({"sign"})),
        "wpli": (_wpli, frozenset({"csd", "absim"})),
        "debiased_wpli": (_debiased_wpli, frozenset({"csd", "absim", "im2"})),
    }
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "coh": "coherence",
        "cohsq": "squared_coherence",
        "msc": "squared_coherence",
        "imcoh": "imaginary_coherence",
        "pli2_unbiased": "unbiased_pli",
        "wpli2_debiased": "debiased_wpli",
    }
)
"""Names other libraries use, and ours."""


def statistics_of(methods: Sequence[str]) -> Statistics:
    """Which sums over windows the named measures need."""
    return frozenset().union(*(_FINISH[m][1] for m in methods))


def finish(method: str, sums: Any) -> Any:
    """One measure from sums over windows; packed pairs, numpy or torch."""
    return _FINISH[method][0](sums)


@dataclass(frozen=True)
class _Engine:
    """Frequencies, their grouping into bands, and how trials become sums over windows."""

    freqs: NDArray[np.float64]
    groups: Groups  # empty: one value a frequency
    attrs: Mapping[str, Any]
    collect: Callable[[Sequence[AnyArray], slice], Any]  # sums of some of the frequencies
    independent: Callable[[int], float]  # observations that n windows of one trial are worth
    one_is_enough: bool = False
    parts: tuple[slice, ...] = (slice(None),)


@dataclass(frozen=True)
class _Options:
    """What the user asked for, checked where it is used."""

    bands: Bands | None
    fmin: float | None
    fmax: float | None
    length_s: float | None
    overlap: float
    bandwidth_hz: float | None
    freqs: Sequence[float] | None
    n_cycles: float
    order: int | None


def _resolve(methods: Sequence[str]) -> list[str]:
    if isinstance(methods, str) or not methods:
        raise ConfigError("methods must be a sequence of names, for instance ('coherence', 'wpli')")
    names = [ALIASES.get(m, m) for m in methods]
    for name in names:
        if name not in _FINISH:
            raise ConfigError(f"Measure {name!r} is not known. {did_you_mean(name, _FINISH)}")
    return names


_REMEDY = "Use longer windows (length_s), a smaller bandwidth_hz, or a wider band."


def _window(
    epochs: Epochs, fs: float, estimator: str, length_s: float | None, overlap: float
) -> tuple[int, int]:
    """Samples of a window, and from the start of one to the next."""
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap={overlap} must lie in [0, 1).")
    if length_s is None:
        shortest = min(int(t.shape[1]) for t in epochs.trials)
        n = min(shortest, round(2 * fs)) if estimator == "welch" else shortest
    else:
        n = round(length_s * fs)
    if n > epochs.n_times:
        raise DataError(
            f"A window of {n} samples ({length_s:g} s) fits into no trial; the longest has "
            f"{epochs.n_times}."
        )
    return n, max(1, round(n * (1 - overlap)))


def _tapered_blocks(
    trials: Sequence[AnyArray], transform: Tapering, step: int
) -> Iterator[NDArray[np.complex128]]:
    """Spectra of all windows, block by block."""
    n = transform.n_times
    size = trials[0].shape[0] * max(n, transform.n_tapers * len(transform.bins))
    limit, held, count = max(1, _BLOCK // size), [], 0
    for trial in trials:
        if trial.shape[1] < n:
            continue
        cut = np.lib.stride_tricks.sliding_window_view(trial, n, axis=1)[:, ::step]
        windows = cut.transpose(1, 0, 2)
        for start in range(0, len(windows), limit):
            part = windows[start : start + limit]
            held.append(part)
            count += len(part)
            if count >= limit:
                yield transform.spectra(np.concatenate(held))
                held, count = [], 0
    if held:
        yield transform.spectra(np.concatenate(held))


def _morlet_blocks(
    trials: Sequence[AnyArray], fs: float, freqs: NDArray[np.float64], n_cycles: float, step: int
) -> Iterator[NDArray[np.complex128]]:
    """Wavelet coefficients, a stretch at a time; every kept sample is a window, one "taper"."""
    margin = morlet_margin(fs, float(freqs.min()), n_cycles)
    for trial in trials:
        # stretches much longer than their margins, yet small enough for long recordings
        most = max(margin, 4 * _BLOCK // (trial.shape[0] * len(freqs)))
        take = max(1, most // step) * step
        for start in range(0, max(1, trial.shape[1] - 2 * margin), take):
            part = trial[:, start : start + take + 2 * margin]
            z = morlet_spectra(part, fs, freqs, n_cycles=n_cycles, step=step)
            yield z.transpose(2, 0, 1)[:, :, np.newaxis, :]


def _check_enough(methods: Sequence[str], n_windows: int, n_tapers: int, where: str) -> None:
    for name in methods:
        count = n_windows * (n_tapers if SPECTRAL[name].needs == "cross-spectrum" else 1)
        if count < SPECTRAL[name].min_windows:
            raise DataError(
                f"{name} of {n_windows} window{'s' * (n_windows != 1)} {where} is not an "
                "estimate (of a single window it is 1 or undefined whatever the data). Use "
                "shorter windows (length_s), more trials, or the multitaper estimator."
            )


def _tapered_engine(
    epochs: Epochs,
    fs: float,
    estimator: CrossMethod,
    wanted: Statistics,
    o: _Options,
    tensor: Any = None,
) -> _Engine:
    n, step = _window(epochs, fs, estimator, o.length_s, o.overlap)
    low, high = frequency_range(o.bands, o.fmin, o.fmax, fs, fs / n)
    transform = tapering(n, fs, estimator, fmin=low, fmax=high, bandwidth_hz=o.bandwidth_hz)
    attrs = {
        "length_s": n / fs,
        "overlap": o.overlap,
        "n_tapers": transform.n_tapers,
        "resolution_hz": transform.resolution_hz,
    }

    def collect(trials: Sequence[AnyArray], part: slice) -> Any:
        if tensor is not None:
            return tensor_sums(tensor, transform, step, wanted)
        some = transform.part(part)
        sums = Sums(len(some.bins), epochs.n_chans, wanted)
        for z in _tapered_blocks(trials, some, step):
            sums.add(z)
        return sums

    groups = band_groups(o.bands, transform.freqs, transform.resolution_hz, _REMEDY)
    return _Engine(
        transform.freqs,
        groups,
        attrs,
        collect,
        lambda n: transform.independent(n, step),
        parts=(slice(None),) if tensor is not None else _parts(len(transform.bins), epochs.n_chans),
    )


def _parts(n_freqs: int, n_chans: int) -> tuple[slice, ...]:
    """Frequencies done one group after the other, so that sums over all pairs stay small."""
    size = max(1, _PART // n_chans**2)
    return tuple(slice(i, i + size) for i in range(0, n_freqs, size))


def _whole_hz(o: _Options, fs: float) -> NDArray[np.float64]:
    """Frequencies of the estimators that have no bins of their own."""
    low, high = frequency_range(o.bands, o.fmin, o.fmax, fs, 1.0)
    if o.freqs is not None:
        return np.asarray(o.freqs, np.float64)
    grid = np.arange(max(np.ceil(low), 1.0), min(high, fs / 2 * (1 - 1e-9)) + 1e-9)
    if not len(grid):
        raise DataError(f"No whole frequency between {low:g} and {high:g} Hz; pass freqs=.")
    return grid


def _spacing(freqs: NDArray[np.float64]) -> float:
    return float(np.diff(freqs).min()) if len(freqs) > 1 else 0.0


def _morlet_engine(epochs: Epochs, fs: float, wanted: Statistics, o: _Options) -> _Engine:
    freqs = _whole_hz(o, fs)
    step = max(1, int(o.n_cycles / (2 * np.pi * freqs.max()) * fs / 4))
    # samples closer than sqrt(4 pi) standard deviations of the wavelet repeat each other
    spread = np.sqrt(4 * np.pi) * o.n_cycles / (2 * np.pi * freqs.mean()) * fs / step

    def collect(trials: Sequence[AnyArray], part: slice) -> Sums:
        sums = Sums(len(freqs), epochs.n_chans, wanted)
        for z in _morlet_blocks(trials, fs, freqs, o.n_cycles, step):
            sums.add(z)
        return sums

    attrs = {"n_cycles": o.n_cycles, "n_tapers": 1, "length_s": step / fs}
    # the width of a wavelet grows with its frequency, so a band only needs to hold one
    groups = band_groups(o.bands, freqs, _spacing(freqs), "Pass freqs= that lie inside it.")
    return _Engine(freqs, groups, attrs, collect, lambda n: max(1.0, n / spread))


def _burg_engine(epochs: Epochs, fs: float, names: Sequence[str], o: _Options) -> _Engine:
    from neuro.connectivity._pairwise_ar import burg_sums

    other = [m for m in names if _FINISH[m][1] != {"csd"}]
    if other:
        raise ConfigError(
            f"An autoregressive spectrum serves the coherence family only, not {other}; use "
            "'welch', 'multitaper' or 'morlet' for phase-lag measures."
        )
    if o.order is None:
        raise ConfigError("estimator='burg' needs order=: the samples in about 0.04 s suit EEG.")
    n, step = _window(epochs, fs, "burg", o.length_s, o.overlap)
    freqs, order = _whole_hz(o, fs), o.order
    attrs = {"length_s": n / fs, "overlap": o.overlap, "order": order, "n_tapers": 1}
    return _Engine(
        freqs,
        band_groups(o.bands, freqs, _spacing(freqs), "Pass freqs= that lie inside it."),
        attrs,
        lambda trials, part: burg_sums(trials, fs, freqs, order, n, step),
        # 4 coefficients a lag are taken from every window of n samples
        lambda windows: ((windows - 1) * step + n) / (2.0 * order),
        one_is_enough=True,
    )


def _matrices(
    names: Sequence[str],
    engine: _Engine,
    trials: Sequence[AnyArray],
    n_chans: int,
    check: Callable[[float], None],
) -> tuple[dict[str, Any], float]:
    """Every measure of some trials as full matrices, and the number of windows."""
    n_freqs, groups = len(engine.freqs), engine.groups
    share = np.zeros((len(groups), n_freqs))
    for row, (_, bins) in zip(share, groups, strict=True):
        row[bins] = 1 / len(bins)
    out: dict[str, Any] = {}
    n = 0.0
    for part in engine.parts:
        sums = engine.collect(trials, part)
        n = sums.n
        check(n)
        for name in names:
            values = finish(name, sums)
            if groups:
                banded = like(share[:, part], values) @ values
                out[name] = out[name] + banded if name in out else banded
                continue
            full = _expand(name, values, n_chans)
            if len(engine.parts) == 1:
                out[name] = full
                continue
            if name not in out:
                out[name] = np.empty((n_freqs, n_chans, n_chans))
            out[name][part] = full
        del sums  # before the next ones are made
    if groups:
        out = {name: _expand(name, banded, n_chans) for name, banded in out.items()}
    return out, n


def _expand(name: str, packed: Any, n_chans: int) -> Any:
    expand: Callable[..., Any] = full_matrices if is_tensor(packed) else unpack
    return expand(packed, n_chans, SPECTRAL[name].symmetry, SPECTRAL[name].diagonal)


def _estimate(
    name: str, values: Any, n: float, runs: int, engine: _Engine, attrs: Mapping[str, Any]
) -> Estimate:
    """Labels of one measure."""
    groups, freqs = engine.groups, engine.freqs
    n_eff = runs * engine.independent(max(1, round(n / runs)))
    if SPECTRAL[name].needs == "phase":  # tapers are averaged before a phase is taken
        n_eff /= engine.independent(1)
    trial = ("trial",) if attrs["average"] == "time" else ()
    return Estimate(
        values,
        (*trial, "band" if groups else "freq", "source", "target"),
        np.array([freqs[bins].mean() for _, bins in groups]) if groups else freqs,
        tuple(band for band, _ in groups),
        round(n),
        n_eff,
        MappingProxyType(dict(attrs)),
    )


def spectral_connectivity(
    x: Trials,
    sfreq: float,
    methods: Sequence[str],
    *,
    average: Average,
    estimator: Estimator = "welch",
    bands: Bands | None = None,
    fmin: float | None = None,
    fmax: float | None = None,
    length_s: float | None = None,
    overlap: float = 0.5,
    bandwidth_hz: float | None = None,
    freqs: Sequence[float] | None = None,
    n_cycles: float = 7.0,
    order: int | None = None,
    ch_names: Sequence[str] | None = None,
) -> dict[str, Estimate]:
    """Several spectral measures of all pairs from one pass over the data.

    Parameters
    ----------
    x : array or tensor, shape (n_epochs, n_chans, n_times), or list of (n_chans, n_times)
        Trials; windows never cross them. A trial with NaN is left out whole. A torch
        tensor gives tensors of its device and precision, with gradients ("welch" and
        "multitaper", ``average="trials"``).
    sfreq : float
        Sampling rate in Hz.
    methods : sequence of str
        Names in :data:`SPECTRAL` or :data:`ALIASES`.
    average : "trials" or "time"
        Expectation over the windows of all trials (one result), or over the
        windows of each trial (one result a trial).
    estimator : "welch", "multitaper", "morlet" or "burg"
        Hann windows; Slepian tapers; complex wavelets, every 4th part of a
        wavelet's standard deviation being a window; or an autoregressive model of
        each pair and window (coherence family only).
    bands : mapping of name to (low, high), or None
        Half-open bands in Hz over whose bins values are averaged; None keeps every
        frequency.
    fmin, fmax : float or None
        Range of frequencies without bands, both ends included; None is the first
        bin above 0 Hz (1 Hz for wavelets) and the Nyquist frequency.
    length_s : float or None
        Window in seconds; None is the whole trial, for "welch" at most 2 s.
    overlap : float
        Share of a window that the next one repeats.
    bandwidth_hz : float or None
        Multitaper only: full width of the main lobe; None is eight bins.
    freqs : sequence of float or None
        Morlet and Burg only: frequencies in Hz; None is every whole Hz.
    n_cycles : float
        Morlet only: cycles of a wavelet.
    order : int or None
        Burg only, required: order of the model in samples.
    ch_names : sequence of str or None
        Names for messages.

    Returns
    -------
    dict of str to Estimate
        By our name of each measure; values (n_freqs or n_bands, source, target),
        with a leading trial axis where ``average="time"``. The relation of the two
        halves of each matrix is in ``SPECTRAL[name].symmetry``.

    Raises
    ------
    DataError
        Too few windows, no window fits, a constant channel, NaN in every trial, a
        band above the Nyquist frequency or narrower than the resolution.
    ConfigError
        An option is unknown or does not belong to the estimator.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> source = rng.standard_normal((100, 203))
    >>> x = np.stack([source[:, 3:], source[:, :-3]], axis=1) + rng.standard_normal((100, 2, 200))
    >>> found = spectral_connectivity(x, 200, ["coherence", "dpli"], average="trials",
    ...                               bands={"alpha": (8, 13)}, length_s=1)
    >>> bool(abs(found["coherence"].values[0, 0, 1] - 0.5) < 0.1)
    True
    >>> bool(found["dpli"].values[0, 0, 1] > 0.7)  # channel 1 lags channel 0
    True
    """
    names = _resolve(methods)
    check_average(average)
    check_choice("estimator", estimator, ("welch", "multitaper", "morlet", "burg"))
    fs = check_sfreq(sfreq)
    options = _Options(bands, fmin, fmax, length_s, overlap, bandwidth_hz, freqs, n_cycles, order)
    given: Any = x
    tensor = given.reshape(-1, *given.shape[-2:]) if is_tensor(x) else None
    epochs = as_epochs(x if tensor is None else as_array(tensor), ch_names=ch_names)
    if tensor is not None and (
        estimator not in ("welch", "multitaper") or average == "time" or epochs.n_dropped
    ):
        raise ConfigError(
            "Tensors go through 'welch' or 'multitaper' with average='trials' and without NaN; "
            "pass x.numpy() otherwise."
        )
    if estimator == "burg":
        engine = _burg_engine(epochs, fs, names, options)
    elif estimator == "morlet":
        engine = _morlet_engine(epochs, fs, statistics_of(names), options)
    else:
        wanted = statistics_of(names)
        engine = _tapered_engine(epochs, fs, estimator, wanted, options, tensor)
    attrs = {**engine.attrs, "estimator": estimator, "average": average}
    attrs["n_dropped"], attrs["kept_trials"] = epochs.n_dropped, tuple(epochs.kept.tolist())
    by_trial = average == "time"

    def check(n: float) -> None:
        if not engine.one_is_enough or n < 1:
            where = "in a trial" if by_trial else "in all"
            _check_enough(names, int(n), int(attrs["n_tapers"]), where)

    split = [[t] for t in epochs.trials] if by_trial else [epochs.trials]
    found = [_matrices(names, engine, trials, epochs.n_chans, check) for trials in split]
    n, runs = min(n for _, n in found), 1 if by_trial else len(epochs.trials)
    return {
        m: _estimate(
            m,
            np.stack([values[m] for values, _ in found]) if by_trial else found[0][0][m],
            n,
            runs,
            engine,
            attrs,
        )
        for m in names
    }


def _single(x: Trials, sfreq: float, *, name: str, **options: Any) -> Estimate:
    return spectral_connectivity(x, sfreq, (name,), **options)[name]


def _measure(
    name: str,
    reference: str,
    *,
    needs: Literal["cross-spectrum", "phase"],
    symmetry: Literal["symmetric", "antisymmetric", "complement"] = "symmetric",
    low: float = 0.0,
    diagonal: float = 0.0,
    directed: bool = False,
) -> Measure:
    return Measure(
        name,
        partial(_single, name=name),
        directed,
        "1",
        (low, 1.0),
        low < 0,
        needs,
        2,
        reference,
        symmetry,
        diagonal,
    )


SPECTRAL: Mapping[str, Measure] = MappingProxyType(
    {
        m.name: m
        for m in (
            _measure("coherence", "|S_ij| / sqrt(S_ii S_jj)", needs="cross-spectrum", diagonal=1.0),
            _measure(
                "squared_coherence",
                "|S_ij|^2 / (S_ii S_jj), what scipy.signal.coherence returns",
                needs="cross-spectrum",
                diagonal=1.0,
            ),
            _measure(
                "imaginary_coherence",
                "Nolte et al. 2004, sign kept",
                needs="cross-spectrum",
                symmetry="antisymmetric",
                low=-1.0,
            ),
            _measure("plv", "Lachaux et al. 1999", needs="phase", diagonal=1.0),
            _measure("ciplv", "Bruna et al. 2018", needs="phase"),
            _measure("ppc", "Vinck et al. 2010", needs="phase", low=-1.0, diagonal=1.0),
            _measure("pli", "Stam et al. 2007", needs="phase"),
            _measure("unbiased_pli", "Vinck et al. 2011, squared PLI", needs="phase", low=-1.0),
            _measure(
                "dpli",
                "Stam & van Straaten 2012",
                needs="phase",
                symmetry="complement",
                diagonal=0.5,
                directed=True,
            ),
            _measure("wpli", "Vinck et al. 2011", needs="phase"),
            _measure("debiased_wpli", "Vinck et al. 2011, squared", needs="phase", low=-1.0),
        )
    }
)
"""Measures by name."""
