"""What a model accepts, and how a recording is brought to it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from neuro.data.axis import Axis
from neuro.data.channels import canonical_eeg_name, eeg_positions, split_bipolar, standard_montage
from neuro.data.plausible import check_plausible
from neuro.data.rates import exact_rate
from neuro.data.recording import Recording
from neuro.data.streams import Irregular, Regular
from neuro.data.units import unit_name
from neuro.errors import ContractError, DataError, did_you_mean
from neuro.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from neuro.data.batch import Batch

__all__ = ["InputContract"]

Missing = Literal["refuse", "mask", "interpolate"]
Scaling = Literal["none", "zscore", "zscore_segments"]
Gaps = Literal["cut", "mask"]


@dataclass(frozen=True, kw_only=True)
class InputContract:
    """What a model accepts; saved in every checkpoint.

    Parameters
    ----------
    modality : str
        ``"eeg"``, ``"bold"``, ``"spikes"``, ….
    sfreq : Fraction, int, float or str
        Rate in Hz, kept exact.
    unit : str
        Unit of the values before `scaling`; ``"z"`` together with a scaling
        takes any unit, since none survives it.
    ch_names : tuple of str, optional
        Channels, regions or units in order; any if None. A name ``"A-B"`` that
        the recording lacks is made from its channels A and B.
    atlas : str, optional
        Atlas the regions must belong to.
    n_times : int, optional
        Samples in a window; any if None.
    highpass, lowpass : float, optional
        Zero-phase filter edges in Hz.
    reference : {"as recorded", "average"}
        Re-referencing before channels are picked.
    scaling : {"none", "zscore", "zscore_segments"}
        Centres and scales every channel over the recording, or over each of
        its segments (runs of a concatenated scan).
    missing : {"refuse", "mask", "interpolate"}
        What :meth:`conform` does with channels the recording lacks: an error,
        absent rows (masked in batches), or spherical splines (EEG).
    gaps : {"cut", "mask"}
        What becomes of samples between two segments, censored volumes for
        instance: windows end there, or run on with these samples missing. Segments
        that touch, such as runs one after the other, stay apart.

    Examples
    --------
    >>> contract = InputContract(modality="eeg", sfreq=256, unit="uV", ch_names=("Fz", "Cz"))
    >>> InputContract.from_json(contract.to_json()) == contract
    True
    """

    modality: str
    sfreq: Fraction
    unit: str
    ch_names: tuple[str, ...] | None = None
    atlas: str | None = None
    n_times: int | None = None
    highpass: float | None = None
    lowpass: float | None = None
    reference: Literal["as recorded", "average"] = "as recorded"
    scaling: Scaling = "none"
    missing: Missing = "refuse"
    gaps: Gaps = "cut"

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "sfreq", exact_rate(self.sfreq))
        set_(self, "unit", unit_name(self.unit))
        if self.ch_names is not None:
            set_(self, "ch_names", tuple(self.ch_names))
            if len(set(self.ch_names or ())) != len(self.ch_names or ()):
                raise ContractError("The contract names a channel twice.")
        for name, options in (
            ("reference", ("as recorded", "average")),
            ("scaling", ("none", "zscore", "zscore_segments")),
            ("missing", ("refuse", "mask", "interpolate")),
            ("gaps", ("cut", "mask")),
        ):
            if getattr(self, name) not in options:
                raise ContractError(
                    f"{name}={getattr(self, name)!r}. {did_you_mean(getattr(self, name), options)}"
                )
        if self.ch_names is not None and not self.ch_names:
            raise ContractError("The contract names no channel; give ch_names=None for any.")
        if self.n_times is not None and self.n_times < 1:
            raise ContractError(f"n_times={self.n_times}: a window has at least one sample.")
        nyquist = float(self.sfreq) / 2
        for what, edge in (("highpass", self.highpass), ("lowpass", self.lowpass)):
            if edge is not None and not 0 < edge < nyquist:
                raise ContractError(
                    f"{what}={edge} Hz is not between 0 and Nyquist ({nyquist:g} Hz)."
                )
        if self.highpass is not None and self.lowpass is not None and self.highpass >= self.lowpass:
            raise ContractError(f"highpass={self.highpass} Hz is not below lowpass={self.lowpass}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        out = asdict(self)
        out["sfreq"] = str(self.sfreq)
        out["ch_names"] = None if self.ch_names is None else list(self.ch_names)
        return out

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The contract that :meth:`to_json` wrote.

        Raises
        ------
        ContractError
            If a field is unknown or missing.
        """
        known = {f.name for f in fields(cls)}
        for name in values:
            if name not in known:
                raise ContractError(f"Unknown contract field {name!r}. {did_you_mean(name, known)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ContractError(f"The contract is incomplete: {error}.") from error

    @property
    def scaled_unit(self) -> str:
        """Unit of what the model sees: "z" where values are scaled."""
        return self.unit if self.scaling == "none" else "z"

    # ---- checking ------------------------------------------------------------

    def check(self, batch: "Batch") -> None:
        """Refuse a batch that is not what the model was made for.

        Parameters
        ----------
        batch : Batch
            What is about to be fed.

        Raises
        ------
        ContractError
            Naming the first difference and how to mend it.
        """
        for what, have, want in (
            ("modality", batch.modality, self.modality),
            ("unit", batch.unit, self.scaled_unit),
        ):
            if have != want:
                raise ContractError(
                    f"The batch's {what} is {have!r}, the model takes {want!r}. "
                    "Bring recordings there with contract.conform(recording)."
                )
        if abs(batch.sfreq - float(self.sfreq)) > 1e-6 * float(self.sfreq):
            raise ContractError(
                f"The batch is sampled at {batch.sfreq:g} Hz, the model takes "
                f"{float(self.sfreq):g} Hz. Resample with contract.conform(recording)."
            )
        if self.ch_names is not None and batch.ch_names != self.ch_names:
            raise ContractError(_difference(batch.ch_names, self.ch_names))
        if self.n_times is not None and batch.x.shape[-1] != self.n_times:
            raise ContractError(
                f"The windows have {batch.x.shape[-1]} samples, the model takes {self.n_times} "
                f"({self.n_times / float(self.sfreq):g} s)."
            )

    # ---- conforming ----------------------------------------------------------

    def conform(
        self, recording: Recording, stream: str | None = None, *, check: bool = True
    ) -> Recording:
        """Bring a recording to the contract, or say why that cannot be done.

        In order: unit, gaps, names, reference, channels, filter, rate, scaling. Each
        step done is noted in the recording's provenance, and the contract too:
        windows of the result know it, and doing it again changes nothing. A
        segment too short for the filter becomes missing.

        Parameters
        ----------
        recording : Recording
            With a stream of the contract's modality.
        stream : str, optional
            Its name; the only stream of the modality if omitted.
        check : bool
            Refuse amplitudes that are implausible for the unit.

        Returns
        -------
        Recording
            With that stream exchanged.

        Raises
        ------
        ContractError
            If channels are missing and `missing` is ``"refuse"``, the atlas
            differs, or no stream has the modality.
        UnitError
            If the unit cannot be converted or is implausible.
        """
        name = self._pick(recording, stream)
        if self._holds(recording, name):
            return recording
        source = recording.stream(name)
        if isinstance(source, Irregular):
            source = source.bin(float(1 / self.sfreq))
            recording = recording.with_stream(name, source, f"bin {float(1 / self.sfreq):g} s")
        signal = recording.regular(name)
        steps: list[str] = []
        any_unit = self.unit == "z" and self.scaling != "none"
        if signal.unit != self.unit and not any_unit:
            steps.append(f"unit {signal.unit} to {self.unit}")
            signal = signal.to_unit(self.unit)
        if check:
            check_plausible(signal)
        if self.gaps == "mask":
            signal = _joined(signal, steps)
        signal = self._channels(signal, steps)
        signal = self._filter(signal, steps)
        signal = self._resample(signal, steps)
        if self.scaling == "zscore":
            signal = _zscore(signal, signal.segments[None])
            steps.append("z-score by channel over the recording")
        elif self.scaling == "zscore_segments":
            signal = _zscore(signal, signal.segments[:, None])
            steps.append("z-score by channel in each segment")
        out = recording.with_stream(name, signal)
        for step in steps:
            out = out.with_step(step)
        contracts = {**out.provenance.contracts, name: self.to_json()}
        return replace(out, provenance=replace(out.provenance, contracts=contracts))

    def _holds(self, recording: Recording, name: str) -> bool:
        """True if the stream was brought to this contract and not touched since."""
        noted = recording.provenance.contracts.get(name)
        if noted is None:
            return False
        names = recording.stream(name).axis
        done = replace(InputContract.from_json(noted), n_times=self.n_times)
        if done.ch_names is None and names is not None:
            done = replace(done, ch_names=names.names if self.ch_names else None)
        return done == self

    def _pick(self, recording: Recording, stream: str | None) -> str:
        if stream is not None:
            found = recording.stream(stream)
            if found.modality != self.modality:
                raise ContractError(
                    f"Stream {stream!r} is {found.modality}, the model takes {self.modality}."
                )
            return stream
        names = [k for k, s in recording.streams.items() if s.modality == self.modality]
        if len(names) != 1:
            raise ContractError(
                f"{recording.id!r} has {len(names)} {self.modality} streams {names} among "
                f"{sorted(recording.streams)}. Name one: conform(recording, stream='...')."
            )
        return names[0]

    def _channels(self, signal: Regular, steps: list[str]) -> Regular:
        if self.atlas is not None and signal.axis.atlas != self.atlas:
            raise ContractError(
                f"The regions are of atlas {signal.axis.atlas!r}, the model takes {self.atlas!r}. "
                "Extract the series again with that atlas, or say which regions correspond with "
                "neuro.data.map_regions."
            )
        # contacts of depth electrodes are called T3 as well: only scalp names are mended
        rename = self.modality == "eeg" and signal.axis.names != self.ch_names
        if rename:
            signal = _canonical(signal, steps)
        if self.reference == "average" and signal.axis.reference != "average":
            signal = _average_reference(signal)
            steps.append("average reference")
        if self.ch_names is None or signal.axis.names == self.ch_names:
            return signal
        wanted = self.ch_names
        if rename:
            wanted = tuple(_wanted_name(n, signal.axis.names) for n in wanted)
            if len(set(wanted)) < len(wanted):
                raise ContractError(
                    f"The contract names one electrode in two ways: {self.ch_names}. Drop one."
                )
        signal = self._picked(signal, wanted, steps)
        # the model keeps its own spelling of the names
        return replace(signal, axis=signal.axis.replace(names=self.ch_names))

    def _picked(self, signal: Regular, wanted: tuple[str, ...], steps: list[str]) -> Regular:
        have = set(signal.axis.names)
        absent = [n for n in wanted if n not in have and not _both(n, have)]
        if absent and self.missing == "refuse":
            raise ContractError(
                f"Channels missing: {', '.join(absent[:8])}{' …' if len(absent) > 8 else ''}. "
                f"{did_you_mean(absent[0], signal.axis.names[:40])} "
                "To go on without, set missing='mask' or 'interpolate' in the contract."
            )
        if absent and self.missing == "interpolate":
            signal = _interpolate(signal, absent)
            steps.append(f"spherical splines for {', '.join(absent)}")
            have = set(signal.axis.names)
        elif absent:
            steps.append(f"missing, masked: {', '.join(absent)}")
        steps.append(f"channels picked in the model's order ({len(wanted)})")
        return _pick_rows(signal, wanted)

    def _filter(self, signal: Regular, steps: list[str]) -> Regular:
        if self.highpass is None and self.lowpass is None:
            return signal
        from neuro.signal import filter_signal

        x = _filled(signal)
        x = filter_signal(
            x,
            signal.sfreq,
            self.highpass,
            self.lowpass,
            phase="zero",
            segments=signal.segments,
            short="nan",
        )
        steps.append(f"zero-phase filter {self.highpass or 0:g} to {self.lowpass or np.inf:g} Hz")
        lost = [(a, b) for a, b in signal.segments if np.isnan(x[0, a])]
        if len(lost) == len(signal.segments):
            longest = max(b - a for a, b in lost)
            raise ContractError(
                f"Every segment is too short for a zero-phase filter from {self.highpass or 0:g} "
                f"to {self.lowpass or np.inf:g} Hz; the longest has {longest} samples "
                f"({longest / signal.sfreq:g} s). Filter before cutting into trials, or raise the "
                "lowest edge."
            )
        if lost:
            steps.append(f"{len(lost)} segments too short for the filter are missing")
            valid = np.ones(x.shape, dtype=bool) if signal.valid is None else signal.valid.copy()
            for a, b in lost:
                valid[:, a:b] = False
            signal = replace(signal, valid=valid)
        return _with_values(signal, np.asarray(x, dtype=np.float32))

    def _resample(self, signal: Regular, steps: list[str]) -> Regular:
        if signal.rate == self.sfreq:
            return signal
        from neuro.signal import resample

        if signal.unit == "counts":
            return _rebinned(signal, self.sfreq, steps)
        x, segments = resample(_filled(signal), signal.rate, self.sfreq, segments=signal.segments)
        steps.append(f"resample {signal.sfreq:g} to {float(self.sfreq):g} Hz")
        valid: Any = None
        if signal.valid is not None:
            nearest = np.round(np.arange(x.shape[1]) * float(signal.rate / self.sfreq)).astype(int)
            valid = signal.valid[:, np.minimum(nearest, signal.n_times - 1)]
        return Regular(
            np.asarray(x, dtype=np.float32),
            self.sfreq,
            signal.unit,
            signal.axis,
            signal.modality,
            t0_s=signal.t0_s,
            segments=segments,
            valid=valid,
        )


def _difference(have: tuple[str, ...], want: tuple[str, ...]) -> str:
    if set(have) == set(want):
        i = next(i for i, (a, b) in enumerate(zip(have, want, strict=True)) if a != b)
        return (
            f"The channels are in another order: place {i} is {have[i]!r}, the model takes "
            f"{want[i]!r}. Reorder with contract.conform(recording)."
        )
    missing = [n for n in want if n not in have][:5]
    extra = [n for n in have if n not in want][:5]
    return (
        f"The channels are not the model's: missing {missing}, not known to it {extra}. "
        "Bring recordings there with contract.conform(recording)."
    )


def _wanted_name(name: str, have: tuple[str, ...]) -> str:
    """Canonical name; ``"T4-A2"`` is a difference where both electrodes were recorded."""
    sides = tuple(canonical_eeg_name(side) for side in split_bipolar(name) or ())
    return "-".join(sides) if sides and set(sides) <= set(have) else canonical_eeg_name(name)


def _both(name: str, have: set[str]) -> bool:
    sides = split_bipolar(name)
    return sides is not None and sides[0] in have and sides[1] in have


def _canonical(signal: Regular, steps: list[str]) -> Regular:
    names = [canonical_eeg_name(n) for n in signal.axis.names]
    if tuple(names) == signal.axis.names:
        return signal
    if len(set(names)) != len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise ContractError(
            f"Several channels mean the same electrode: {twice[:4]}. Drop all but one of each."
        )
    steps.append("electrode names to the 10-10 system")
    return replace(signal, axis=signal.axis.replace(names=names))


def _joined(signal: Regular, steps: list[str]) -> Regular:
    """One segment where several had gaps between them; what was in the gaps is missing."""
    starts, stops = signal.segments.T
    if not (starts[1:] > stops[:-1]).any():
        return signal
    between = np.zeros(signal.n_times, dtype=bool)
    for a, b in zip(stops[:-1].tolist(), starts[1:].tolist(), strict=True):
        between[a:b] = True
    steps.append(f"{int(between.sum())} samples between segments are missing")
    first = np.concatenate([[True], starts[1:] == stops[:-1]])
    last = np.concatenate([first[1:], [True]])
    valid = np.ones(signal.shape, dtype=bool) if signal.valid is None else signal.valid
    segments = np.stack([starts[first], stops[last]], axis=1)
    return replace(signal, segments=segments, valid=valid & ~between)


def _filled(signal: Regular) -> FloatArray:
    """Values with gaps bridged linearly, so that filters do not spread NaN."""
    x = signal.values()
    if signal.valid is None:
        return x
    x = x.copy()
    grid = np.arange(x.shape[1])
    for row, ok in zip(x, signal.valid, strict=True):
        row[~ok] = np.interp(grid[~ok], grid[ok], row[ok]) if ok.any() else 0.0
    return x


def _with_values(signal: Regular, x: FloatArray) -> Regular:
    return replace(signal, data=x, scale=None, offset=None)


def _average_reference(signal: Regular) -> Regular:
    good = ~signal.axis.bad
    if good.sum() < 2:
        raise ContractError("An average reference needs at least 2 good channels.")
    x = signal.values()
    known = np.isfinite(x[good])
    total = np.where(known, x[good], 0.0).sum(axis=0, dtype=np.float64)
    count = known.sum(axis=0)
    x = x - np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return replace(
        _with_values(signal, x.astype(np.float32)), axis=signal.axis.replace(reference="average")
    )


def _pick_rows(signal: Regular, wanted: tuple[str, ...]) -> Regular:
    where = {n: i for i, n in enumerate(signal.axis.names)}
    if all(n in where for n in wanted):
        return signal.take([where[n] for n in wanted])
    x = signal.values()
    rows = np.full((len(wanted), signal.n_times), np.nan, dtype=np.float32)
    bad = np.ones(len(wanted), dtype=bool)
    types = [signal.axis.types[0]] * len(wanted)
    # standard places may fill in only where the measured ones share their frame
    standard = signal.modality == "eeg" and signal.axis.frame in (None, "mri_ras")
    places = eeg_positions(wanted) if standard else np.full((len(wanted), 3), np.nan, np.float32)
    measured = signal.axis.positions
    for k, name in enumerate(wanted):
        sides = (name,) if name in where else split_bipolar(name) or ()
        if not sides or not all(side in where for side in sides):
            continue
        at = [where[side] for side in sides]
        rows[k] = x[at[0]] if len(at) == 1 else x[at[0]] - x[at[1]]
        bad[k], types[k] = bool(signal.axis.bad[at].any()), signal.axis.types[at[0]]
        if measured is not None and np.isfinite(measured[at]).all():
            places[k] = measured[at].mean(axis=0)
    located = bool(np.isfinite(places).any())
    axis = Axis(
        wanted,
        types,
        positions=places if located else None,
        frame=(signal.axis.frame or "mri_ras") if located else signal.axis.frame,
        atlas=signal.axis.atlas,
        reference=signal.axis.reference,
        bad=bad,
    )
    valid = np.isfinite(rows)
    return replace(signal, data=rows, axis=axis, valid=valid, scale=None, offset=None)


def _interpolate(signal: Regular, absent: list[str]) -> Regular:
    """Add channels by spherical splines from those that are there."""
    import mne

    names = [n for n, bad in zip(signal.axis.names, signal.axis.bad, strict=True) if not bad]
    places = eeg_positions([*names, *absent])
    unknown = [n for n, p in zip([*names, *absent], places, strict=True) if np.isnan(p).any()]
    if [n for n in absent if n in unknown] or len(names) - len(unknown) < 4:
        raise ContractError(
            f"Cannot interpolate {absent[:5]}: it needs standard positions for them and for at "
            f"least 4 recorded channels (unknown: {unknown[:5]}). Use missing='mask'."
        )
    source = [n for n in names if n not in unknown]
    info = mne.create_info([*source, *absent], signal.sfreq, "eeg", verbose="error")
    x = np.zeros((len(source) + len(absent), signal.n_times))
    x[: len(source)] = _filled(signal)[signal.axis.index(source)]
    raw = mne.io.RawArray(x, info, verbose="error")
    raw.set_montage(standard_montage(), verbose="error")
    raw.info["bads"] = list(absent)
    raw.interpolate_bads(verbose="error")
    added = raw.get_data(picks=absent).astype(np.float32)
    axis = Axis(
        [*signal.axis.names, *absent],
        [*signal.axis.types, *["eeg"] * len(absent)],
        positions=eeg_positions([*signal.axis.names, *absent]),
        frame="mri_ras",
        reference=signal.axis.reference,
        bad=np.concatenate([signal.axis.bad, np.zeros(len(absent), bool)]),
    )
    return replace(
        signal,
        data=np.concatenate([signal.values(), added]),
        axis=axis,
        valid=None,
        scale=None,
        offset=None,
    )


def _rebinned(signal: Regular, rate: Fraction, steps: list[str]) -> Regular:
    """Counts in wider bins: sums, never interpolated."""
    ratio = signal.rate / rate
    if ratio.denominator != 1:
        raise ContractError(
            f"Counts in bins of {float(1 / signal.rate):g} s cannot be turned into bins of "
            f"{float(1 / rate):g} s. Bin the spike times again: .bin({float(1 / rate):g})."
        )
    n = ratio.numerator
    x = signal.values()
    inside = np.zeros(signal.n_times // n * n, dtype=bool)
    segments = []
    for a, b in signal.segments.tolist():
        first, last = -(-a // n), b // n
        if last > first:
            segments.append((first, last))
            inside[first * n : last * n] = True
    if not segments:
        raise DataError(f"No segment holds a whole bin of {float(1 / rate):g} s.")
    x = np.where(inside, x[:, : len(inside)], np.nan).reshape(len(x), -1, n).sum(axis=2)
    steps.append(f"sum {n} bins to {float(1 / rate):g} s")
    return replace(
        signal,
        data=x.astype(np.float32),
        rate=rate,
        segments=np.array(segments),
        valid=None,
        scale=None,
        offset=None,
    )


def _zscore(signal: Regular, stretches: IntArray) -> Regular:
    """Centre and scale every channel, over all stretches together or each alone."""
    x = signal.values().astype(np.float64)
    for part in stretches:
        inside = np.concatenate([np.arange(a, b) for a, b in part])
        x[:, inside] = _standardised(x[:, inside], signal)
    return replace(_with_values(signal, x.astype(np.float32)), unit="z")


def _standardised(x: FloatArray, signal: Regular) -> FloatArray:
    with np.errstate(invalid="ignore"):
        known = np.isfinite(x).any(axis=1)
        mean, sd = np.zeros(len(x)), np.ones(len(x))
        mean[known], sd[known] = np.nanmean(x[known], axis=1), np.nanstd(x[known], axis=1)
    flat = known & (sd == 0) & ~signal.axis.bad
    if flat.any():
        names = [n for n, f in zip(signal.axis.names, flat, strict=True) if f]
        raise DataError(
            f"Constant channels cannot be z-scored: {names[:5]}. Mark them bad or drop them."
        )
    return np.asarray((x - mean[:, None]) / np.where(sd == 0, 1.0, sd)[:, None])
