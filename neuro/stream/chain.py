"""The causal signal chain: the filters and references of `neuro.signal`, in a row.

The same object runs over a whole recording and over the chunks of a live stream;
where a chunk ends changes no bit of the output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np

from neuro.data.channels import canonical_eeg_name
from neuro.data.rates import exact_rate
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.signal import (
    CausalFilter,
    Resampler,
    bandpass,
    highpass,
    lowpass,
    notch,
    settling_samples,
)
from neuro.typing import AnyArray, BoolArray, FloatArray

_FASTEST = 1_000_000  # Hz

__all__ = ["Chain", "Filter", "Pick", "Rate", "Reference", "Samples", "Step"]


@dataclass(frozen=True)
class Pick:
    """Keep these channels, in this order.

    Parameters
    ----------
    ch_names : tuple of str
        Names; upper and lower case and the dots of some recorders make no
        difference.
    """

    ch_names: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_names(self.ch_names)


@dataclass(frozen=True)
class Reference:
    """Subtract the mean of all channels ("average") or of the named ones.

    Parameters
    ----------
    scheme : "average" or tuple of str
        What is subtracted.
    bads : tuple of str
        Channels that take no part in the mean.
    """

    scheme: str | tuple[str, ...] = "average"
    bads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_names(self.bads)
        if not isinstance(self.scheme, str):
            _check_names(self.scheme)


@dataclass(frozen=True)
class Filter:
    """Causal Butterworth filter; ``notch`` alone removes a line frequency.

    Parameters
    ----------
    l_freq, h_freq : float, optional
        Edges in Hz.
    notch : float, optional
        Line frequency in Hz.
    order : int
        Order of the edges.
    phase : "causal"
        A zero-phase filter needs the future: it is refused.
    """

    l_freq: float | None = None
    h_freq: float | None = None
    notch: float | None = None
    order: int = 4
    phase: str = "causal"

    def __post_init__(self) -> None:
        if self.phase != "causal":
            raise ConfigError(
                f"phase={self.phase!r}: a live chain has no future to filter backwards from. "
                "Use phase='causal', offline too, so that training sees what the loop will see."
            )
        if isinstance(self.order, bool) or self.order not in range(1, 21):
            raise ConfigError(f"order={self.order!r}: a whole number from 1 to 20.")
        if self.l_freq is None and self.h_freq is None and self.notch is None:
            raise ConfigError("A filter needs l_freq, h_freq or notch.")

    def designs(self, sfreq: Fraction) -> list[AnyArray]:
        """Second-order sections, one array a filter."""
        out: list[AnyArray] = []
        if self.l_freq is not None and self.h_freq is not None:
            out.append(bandpass(self.l_freq, self.h_freq, sfreq, order=self.order))
        elif self.l_freq is not None:
            out.append(highpass(self.l_freq, sfreq, order=self.order))
        elif self.h_freq is not None:
            out.append(lowpass(self.h_freq, sfreq, order=self.order))
        if self.notch is not None:
            out.append(notch(self.notch, sfreq))
        return out


@dataclass(frozen=True)
class Rate:
    """Resample, band-limited; output follows with the delay of the kernel.

    Parameters
    ----------
    sfreq : Fraction, int, float or str
        New rate in Hz.
    """

    sfreq: Fraction | float | str

    def __post_init__(self) -> None:
        object.__setattr__(self, "sfreq", exact_rate(self.sfreq))


Step: TypeAlias = Pick | Reference | Filter | Rate
_STEPS: Mapping[str, type[Step]] = {
    "pick": Pick,
    "reference": Reference,
    "filter": Filter,
    "rate": Rate,
}


class Samples(NamedTuple):
    """What a chain gives for a chunk."""

    data: FloatArray  # (n_chans, n), float64; finite
    valid: BoolArray  # (n,): False where the input was missing or a filter has not settled


class Chain:
    """Signal steps in a row, with the state they carry from chunk to chunk.

    A missing sample (NaN) is bridged with the last value of its channel, and the
    output is marked invalid until every filter has forgotten it, so that no window
    is ever computed from an invented value.

    Parameters
    ----------
    ch_names : sequence of str
        Channels of every chunk, in order.
    sfreq : Fraction, int, float or str
        Rate of the input in Hz.
    steps : sequence of Pick, Reference, Filter or Rate
        Applied in order.

    Raises
    ------
    ConfigError
        A step that does not fit the rate.
    DataError
        A channel that does not exist.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 500))
    >>> def chain():
    ...     return Chain(["C3", "Cz", "C4"], 250, [Reference(), Filter(8, 30)])
    >>> live, whole = chain(), chain().push(x)
    >>> parts = [live.push(x[:, :123]), live.push(x[:, 123:])]
    >>> bool(np.array_equal(np.concatenate([p.data for p in parts], axis=1), whole.data))
    True
    """

    def __init__(
        self, ch_names: Sequence[str], sfreq: Fraction | float | str, steps: Sequence[Step] = ()
    ) -> None:
        self.ch_names_in = tuple(ch_names)
        self.sfreq_in = exact_rate(sfreq)
        self.steps = tuple(steps)
        _check_names(self.ch_names_in)
        if self.sfreq_in > _FASTEST:
            raise ConfigError(f"{float(self.sfreq_in):g} Hz is faster than any amplifier.")
        if not self.ch_names_in or len(set(self.ch_names_in)) != len(self.ch_names_in):
            raise DataError("A chain needs channels with different names.")
        self.ch_names, self.sfreq = self.ch_names_in, self.sfreq_in
        self._run: list[_Picked | _Filtered | _Resampled] = []
        for step in self.steps:
            self._add(step)
        self.reset()

    def _add(self, step: Step) -> None:
        n = len(self.ch_names)
        match step:
            case Pick(ch_names=wanted):
                rows = [self.ch_names.index(c) for c in matched(self.ch_names, wanted)]
                self._run.append(_Picked(rows))
                self.ch_names = tuple(wanted)
            case Reference(scheme=scheme, bads=bads):
                self._run.append(_Referenced(_reference_rows(self.ch_names, scheme, bads)))
            case Filter():
                try:
                    self._run += [_Filtered(d, n) for d in step.designs(self.sfreq)]
                except np.linalg.LinAlgError as error:
                    raise ConfigError(
                        f"A filter with edges {step.l_freq}, {step.h_freq} Hz has no steady state "
                        f"at {float(self.sfreq):g} Hz: move the edges, or lower the order."
                    ) from error
            case Rate(sfreq=rate):
                new = exact_rate(rate)
                if not 1e-3 <= new / self.sfreq <= 1e3:
                    raise ConfigError(f"{self.sfreq} Hz cannot be brought to {rate} Hz live.")
                if new != self.sfreq:
                    self._run.append(_Resampled(self.sfreq, new, n))
                self.sfreq = new

    def reset(self) -> None:
        """Forget everything: the next sample is the first (use it at a gap)."""
        self._last: FloatArray = np.zeros(len(self.ch_names_in))
        for part in self._run:
            part.reset()

    def push(self, chunk: AnyArray) -> Samples:
        """Run the next samples through all steps.

        Parameters
        ----------
        chunk : array, shape (n_chans, n), n >= 0
            The samples that follow those pushed before; NaN where missing.

        Returns
        -------
        Samples
            `data` (n_chans_out, n_out) and which of it is `valid`.

        Raises
        ------
        DataError
            Another number of channels.
        """
        x: FloatArray = np.asarray(chunk, dtype=np.float64)
        if x.ndim != 2 or len(x) != len(self.ch_names_in):
            raise DataError(
                f"Expected a chunk of shape ({len(self.ch_names_in)}, n), got {np.shape(chunk)}."
            )
        if not x.shape[1]:
            return Samples(np.empty((len(self.ch_names), 0)), np.empty(0, dtype=bool))
        missing = ~np.isfinite(x)
        valid: BoolArray = np.asarray(~missing.any(axis=0))
        if not valid.all():
            x = self._bridged(x, missing)
        self._last = x[:, -1].copy()
        for part in self._run:
            x, valid = part.push(x, valid)
        return Samples(x, valid)

    def _bridged(self, x: FloatArray, missing: BoolArray) -> FloatArray:
        """Hold the last value of a channel where there is none."""
        whole = np.concatenate([self._last[:, None], x], axis=1)
        place = np.where(missing, 0, np.arange(1, whole.shape[1]))
        place = np.maximum.accumulate(place, axis=1)
        return np.asarray(np.take_along_axis(whole, place, axis=1))

    @property
    def delay_s(self) -> float:
        """Seconds of input a sample of the output waits for (resampling looks ahead)."""
        return sum(part.delay_s for part in self._run)

    def state_dict(self) -> dict[str, AnyArray]:
        """State as arrays, enough to continue in another process."""
        out: dict[str, AnyArray] = {"last": self._last.copy()}
        for i, part in enumerate(self._run):
            out |= {f"{i}.{name}": value for name, value in part.state_dict().items()}
        return out

    def load_state_dict(self, state: Mapping[str, AnyArray]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        self._last = np.array(state["last"], dtype=np.float64)
        for i, part in enumerate(self._run):
            own = f"{i}."
            part.load_state_dict(
                {k.removeprefix(own): v for k, v in state.items() if k.startswith(own)}
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values that :meth:`from_json` reads."""
        names = {kind: name for name, kind in _STEPS.items()}
        steps = [{"step": names[type(s)]} | _plain(s) for s in self.steps]
        return {"ch_names": list(self.ch_names_in), "sfreq": str(self.sfreq_in), "steps": steps}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The chain that :meth:`to_json` wrote.

        Raises
        ------
        ConfigError
            Unknown steps or fields.
        """
        try:
            steps = [_step(one) for one in values["steps"]]
            return cls(values["ch_names"], values["sfreq"], steps)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"The signal chain is incomplete: {error}.") from error


def _check_names(names: Sequence[str]) -> None:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"Channels are a list of names, got {names!r}.")


def matched(have: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The channels meant by these names, as they are written in the stream.

    Case and a recorder's dots ("C3..") make no difference.

    Raises
    ------
    DataError
        A name that is not there, or that could mean two.
    """
    by_form: dict[str, list[str]] = {}
    for name in have:
        by_form.setdefault(_form(name), []).append(name)
    out = []
    for name in wanted:
        found = [one for one in have if one == name] or by_form.get(_form(name), [])
        if len(found) != 1:
            what = f"could mean {found}." if found else f"is not there. {did_you_mean(name, have)}"
            raise DataError(f"Channel {name!r} {what}")
        out.append(found[0])
    return out


def _reference_rows(
    have: Sequence[str], scheme: str | Sequence[str], bads: Sequence[str]
) -> list[int]:
    if isinstance(scheme, str) and scheme != "average":
        raise ConfigError(
            f"Reference {scheme!r} is not known. Use 'average', or channel names in a tuple."
        )
    out = matched(have, have if isinstance(scheme, str) else scheme)
    bad = matched(have, bads)
    rows = [have.index(name) for name in out if name not in bad]
    if not rows:
        raise ConfigError(f"No good channel is left to refer to: {list(bads)} are bad.")
    return rows


def _form(name: str) -> str:
    return canonical_eeg_name(name.strip(". ")).casefold()


def _plain(step: Step) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Fraction) else value
        for name, value in asdict(step).items()
    }


def _step(values: Mapping[str, Any]) -> Step:
    name = values["step"]
    if name not in _STEPS:
        raise ConfigError(f"No signal step {name!r}. {did_you_mean(str(name), _STEPS)}")
    kind: Any = _STEPS[name]
    rest = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "step"}
    known = {f.name for f in fields(kind)}
    for key in rest:
        if key not in known:
            raise ConfigError(f"Step {name!r} has no field {key!r}. {did_you_mean(key, known)}")
    step: Step = kind(**rest)
    return step


# ---- the steps at work: push(x, valid) -> (x, valid) ---------------------------


class _Picked:
    """Some of the rows, in another order; has no state."""

    delay_s = 0.0

    def __init__(self, rows: Sequence[int]) -> None:
        self._rows = list(rows)

    def push(self, x: FloatArray, valid: BoolArray) -> tuple[FloatArray, BoolArray]:
        return x[self._rows], valid

    def reset(self) -> None: ...

    def state_dict(self) -> dict[str, AnyArray]:
        return {}

    def load_state_dict(self, state: Mapping[str, AnyArray]) -> None: ...


class _Referenced(_Picked):
    """All rows less the mean of some of them."""

    def push(self, x: FloatArray, valid: BoolArray) -> tuple[FloatArray, BoolArray]:
        # row by row: numpy's own mean and a matrix product add in an order that depends on
        # the length of the chunk, and the same sample must come out bit for bit the same
        total = np.zeros(x.shape[1])
        for row in self._rows:
            total += x[row]
        return x - total / len(self._rows), valid


class _Filtered:
    """One causal filter; invalid until it has forgotten what was missing."""

    delay_s = 0.0

    def __init__(self, design: AnyArray, n_chans: int) -> None:
        self._filter = CausalFilter(design, n_chans)
        self._settling = settling_samples(design)
        self._since = self._settling + 1  # valid samples since the last missing one

    def push(self, x: FloatArray, valid: BoolArray) -> tuple[FloatArray, BoolArray]:
        here = np.arange(len(valid))
        missing = np.where(valid, -1 - self._since, here)
        since = here - np.maximum.accumulate(missing)
        self._since = min(int(since[-1]), self._settling + 1)
        return self._filter.push(x), since > self._settling

    def reset(self) -> None:
        self._filter.reset()
        self._since = self._settling + 1

    def state_dict(self) -> dict[str, AnyArray]:
        return self._filter.state_dict() | {"since": np.array(self._since)}

    def load_state_dict(self, state: Mapping[str, AnyArray]) -> None:
        rest = dict(state)
        self._since = int(rest.pop("since"))
        self._filter.load_state_dict(rest)


class _Resampled:
    """Band-limited resampling; missingness goes through as a further channel."""

    def __init__(self, old: Fraction, new: Fraction, n_chans: int) -> None:
        self._resampler = Resampler(old, new, n_chans + 1)
        # the kernel looks ahead 25 samples of the slower rate
        self.delay_s = 25 / float(min(old, new))

    def push(self, x: FloatArray, valid: BoolArray) -> tuple[FloatArray, BoolArray]:
        out = self._resampler.push(np.concatenate([x, ~valid[None]], axis=0, dtype=np.float64))
        return out[:-1], np.abs(out[-1]) < 1e-9

    def reset(self) -> None:
        self._resampler.reset()

    def state_dict(self) -> dict[str, AnyArray]:
        return self._resampler.state_dict()

    def load_state_dict(self, state: Mapping[str, AnyArray]) -> None:
        self._resampler.load_state_dict(state)
