"""A decoder: chunks of signal in, decisions out, the same live as offline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.data.rates import exact_rate
from neuro.data.units import conversion_factor, unit_name
from neuro.errors import ContractError, DataError
from neuro.stream.chain import matched
from neuro.stream.extract import Extracted, Extractor
from neuro.stream.rules import LinearRule, Selection
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["Decision", "Decoder", "StreamInfo", "describe"]


@dataclass(frozen=True)
class StreamInfo:
    """What a source says about its samples.

    Parameters
    ----------
    ch_names : tuple of str
        Channels of every chunk, in order.
    sfreq : Fraction
        Rate in Hz.
    unit : str
        Unit of the samples.
    name, source_id : str
        Of the stream, for messages and status.
    """

    ch_names: tuple[str, ...]
    sfreq: Fraction
    unit: str
    name: str = ""
    source_id: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ch_names", tuple(self.ch_names))
        object.__setattr__(self, "sfreq", exact_rate(self.sfreq))
        object.__setattr__(self, "unit", unit_name(self.unit))


@dataclass(frozen=True, eq=False)
class Decision:
    """What the decoder says about a trial, or about the last seconds.

    Parameters
    ----------
    label : str
        Most probable class; "" where nothing usable was seen: then nothing is
        claimed.
    probabilities : mapping of str to float
        One a class.
    cue : str
        What the cue said; "" for running decisions.
    start, stop : int
        Samples of the decoder's own rate since the last gap, half-open.
    segment : int
        Gaps before it.
    features : ndarray, shape (n_features,)
        What the rule saw.
    n_windows, n_dropped : int
        Windows used, and left out because samples were missing.
    """

    label: str
    probabilities: Mapping[str, float]
    cue: str
    start: int
    stop: int
    segment: int
    features: FloatArray = field(repr=False)
    n_windows: int = 0
    n_dropped: int = 0


class Decoder:
    """Extractor, selection and rule in a row; the thing that a bundle holds.

    Parameters
    ----------
    extractor : Extractor
        Signal chain, plan and family of features.
    selection : Selection
        Features the rule reads.
    rule : LinearRule
        From features to classes.
    unit : str
        Unit of the samples the decoder was trained on.

    Examples
    --------
    >>> from neuro.stream import Chain, Plan, Power
    >>> extractor = Extractor(Chain(["C3", "C4"], 250), Plan(0, 1), Power(fmin=8, fmax=12))
    >>> rule = LinearRule(("left", "right"), np.array([[1.0, -1.0]]), np.zeros(1))
    >>> decoder = Decoder(extractor, Selection(("C3;10", "C4;10")), rule)
    >>> decoder.mark(0, "left")
    >>> x = np.random.default_rng(0).standard_normal((2, 300)) * [[4], [1]]
    >>> decoder.push(x)[0].label
    'right'
    """

    def __init__(
        self, extractor: Extractor, selection: Selection, rule: LinearRule, *, unit: str = "uV"
    ) -> None:
        self.extractor, self.selection, self.rule = extractor, selection, rule
        self.unit = unit_name(unit)
        n = self._features(np.zeros(_shape(extractor))).size
        if rule.whitening is None and n != rule.weights.shape[1]:
            raise ContractError(
                f"{n} features are selected, the rule has weights for {rule.weights.shape[1]}."
            )
        self._rows: list[int] | None = None
        self._width = 0
        self._factor = 1.0

    @property
    def info(self) -> StreamInfo:
        """What a stream must be to be decoded as it is."""
        chain = self.extractor.chain
        return StreamInfo(chain.ch_names_in, chain.sfreq_in, self.unit)

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the decisions."""
        return self.rule.classes

    def attach(self, info: StreamInfo) -> list[str]:
        """Prepare for a stream: channels are found by name, units converted.

        Parameters
        ----------
        info : StreamInfo
            Of the stream.

        Returns
        -------
        list of str
            What is done to its samples; empty if nothing.

        Raises
        ------
        ContractError
            Missing channels, another rate, or a unit that cannot be converted.
        """
        wanted = self.info
        if info.sfreq != wanted.sfreq:
            raise ContractError(
                f"The stream has {float(info.sfreq):g} Hz, the decoder was trained at "
                f"{float(wanted.sfreq):g} Hz. Set the amplifier to that rate, or train again."
            )
        try:
            self._factor = conversion_factor(info.unit, wanted.unit)
        except ValueError as error:
            raise ContractError(
                f"The stream is in {info.unit!r}, the decoder was trained in {wanted.unit!r}: "
                f"{error}"
            ) from error
        try:
            found = matched(info.ch_names, wanted.ch_names)
        except DataError as error:
            raise ContractError(
                f"The stream does not have the decoder's channels. {error} The decoder needs "
                f"{', '.join(wanted.ch_names[:12])}{' …' if len(wanted.ch_names) > 12 else ''}."
            ) from error
        self._width = len(info.ch_names)
        self._rows = [info.ch_names.index(name) for name in found]
        done = []
        if self._rows != list(range(len(info.ch_names))):
            done.append(f"takes {len(self._rows)} of {len(info.ch_names)} channels by name")
        if self._factor != 1:
            done.append(f"converts {info.unit} to {wanted.unit}")
        self.reset()
        return done

    def reset(self) -> None:
        """Start anew, at a gap or for another run."""
        self.extractor.reset()

    def mark(self, sample: int, label: str) -> None:
        """A cue at a sample of the stream, counted since the last gap."""
        self.extractor.mark(sample, label)

    def push(self, chunk: AnyArray) -> list[Decision]:
        """Take the next samples of the stream; return the decisions they complete.

        Parameters
        ----------
        chunk : array, shape (n_chans, n)
            Of the stream that was attached, or as `info` says.
        """
        self.take(chunk)
        return [self.decide(one) for one in self.extractor.finished()]

    def take(self, chunk: AnyArray) -> None:
        """First half of :meth:`push`: samples into the chain and the buffer."""
        x = np.asarray(chunk, dtype=np.float64)
        if self._rows is not None:
            if x.ndim != 2 or len(x) != self._width:
                raise DataError(f"Expected a chunk of {self._width} channels, got {x.shape}.")
            x = x[self._rows] * self._factor
        self.extractor.take(x)

    def decide(self, one: Extracted) -> Decision:
        """The rule applied to features."""
        features = self._features(one.values)
        if one.usable:
            p = self.rule.probabilities(features)
            label = self.rule.classes[int(p.argmax())]
        else:
            p, label = np.full(len(self.classes), np.nan), ""
        return Decision(
            label, dict(zip(self.classes, p.tolist(), strict=True)), one.label,
            one.start, one.stop, one.segment, features, one.n_windows, one.n_dropped,
        )  # fmt: skip

    def _features(self, values: FloatArray) -> FloatArray:
        return self.selection.apply(values, self.extractor.table)

    def replay(self, recording: "Recording", *, stream: str | None = None) -> list[Decision]:
        """Decisions on a whole recording, its events as cues; the offline reference.

        Parameters
        ----------
        recording : Recording
            With a signal that fits, see :meth:`attach`.
        stream : str, optional
            Which; needed if there are several signals.

        Returns
        -------
        list of Decision
            Of all segments, in order.
        """
        from neuro.stream.sources import recorded_segments

        info, segments = recorded_segments(recording, stream)
        self.attach(info)
        out = []
        for data, cues, _ in segments:
            for sample, label in cues:
                self.mark(sample, label)
            out += self.push(data)
            self.reset()
        return out


def _shape(extractor: Extractor) -> tuple[int, int]:
    return len(extractor.table.rows), len(extractor.table.columns)


def describe(decision: Decision) -> dict[str, Any]:
    """Plain values of a decision, for a log or an outlet."""
    return {
        "label": decision.label,
        "probabilities": {
            name: None if np.isnan(p) else p for name, p in decision.probabilities.items()
        },
        "cue": decision.cue,
        "start": decision.start,
        "stop": decision.stop,
        "segment": decision.segment,
        "n_windows": decision.n_windows,
        "n_dropped": decision.n_dropped,
    }
