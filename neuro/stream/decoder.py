"""A decoder: chunks of signal in, decisions out, the same live as offline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import ContractError
from neuro.stream.extract import Extracted, Extractor
from neuro.stream.info import StreamInfo
from neuro.stream.rules import LinearRule, Selection
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["Decision", "Decoder", "describe"]


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

    def __init__(self, extractor: Extractor, selection: Selection, rule: LinearRule) -> None:
        self.extractor, self.selection, self.rule = extractor, selection, rule
        n = self._features(np.zeros(_shape(extractor))).size
        needed = rule.weights.shape[1] if rule.whitening is None else rule.whitening.size
        if n != needed:
            raise ContractError(f"{n} features are selected, the rule has weights for {needed}.")

    @property
    def info(self) -> StreamInfo:
        """What a stream must be to be decoded as it is."""
        return self.extractor.info

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the decisions."""
        return self.rule.classes

    def attach(self, info: StreamInfo) -> list[str]:
        """Prepare for a stream, see :meth:`Extractor.attach`."""
        return self.extractor.attach(info)

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
        self.extractor.take(chunk)

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
        return [self.decide(one) for one in self.extractor.replay(recording, stream=stream)]


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
