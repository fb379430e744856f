"""What runs inside OpenViBE's Python 3 box: chunks and stimulations in, stimulations out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuro.data.rates import exact_rate
from neuro.errors import ConfigError
from neuro.stream import Chunk, Live, StreamInfo, load_bundle
from neuro.stream.decoder import Decision
from neuro.typing import FloatArray, PathLike

__all__ = ["OpenViBEDecoder"]


class OpenViBEDecoder:
    """A decoder bundle as OpenViBE sees it.

    OpenViBE hands over headers, buffers and stimulations one by one; decisions come
    back as numbers of stimulations. The script of the box (``neuro bci export
    --to openvibe``) only passes them on.

    Parameters
    ----------
    bundle : path
        Decoder.
    cues : mapping of int to str
        Number of each stimulation that is a cue, and its label.
    answers : mapping of str to int
        Stimulation that is sent for each class.
    unit : str
        Of the samples; OpenViBE does not say. Drivers mostly give microvolts.

    Raises
    ------
    ConfigError
        If a class has no stimulation.
    """

    def __init__(
        self,
        bundle: PathLike,
        *,
        cues: Mapping[int, str],
        answers: Mapping[str, int],
        unit: str = "uV",
    ) -> None:
        self._decoder = load_bundle(bundle)
        missing = [c for c in self._decoder.classes if c not in answers]
        if missing:
            raise ConfigError(
                f"No stimulation for {', '.join(missing)}: give one for each of "
                f"{', '.join(self._decoder.classes)}."
            )
        self._cues, self._answers, self._unit = dict(cues), dict(answers), unit
        self._feed: _Feed | None = None
        self._live: Live | None = None

    def header(self, ch_names: Sequence[str], sfreq: float) -> None:
        """The signal's header; another signal than the decoder's is refused here."""
        names = tuple(name.strip() for name in ch_names)
        self._feed = _Feed(StreamInfo(names, exact_rate(sfreq), self._unit, "OpenViBE"))
        self._live = Live(self._feed, self._decoder)

    def buffer(self, values: Sequence[float], start_s: float) -> None:
        """A chunk, channel after channel, and the time of its first sample."""
        if self._feed is None:
            raise ConfigError("Samples came before the signal's header.")
        self._feed.add(values, start_s)

    def stimulation(self, number: int, time_s: float) -> None:
        """A stimulation; those that are no cues are ignored."""
        if self._feed is not None and number in self._cues:
            self._feed.marks.append((time_s, self._cues[number]))

    def decide(self) -> list[tuple[int, Decision]]:
        """Stimulations to send now, with the decisions behind them."""
        if self._live is None:
            return []
        found = self._live.step() or []
        return [(self._answers[d.label], d) for d in found if d.label]

    @property
    def messages(self) -> list[str]:
        """What the experimenter must know, oldest first."""
        return [] if self._live is None else [m.text for m in self._live.messages]


class _Feed:
    """A source that is filled by hand."""

    def __init__(self, info: StreamInfo) -> None:
        self.info = info
        self._data: list[FloatArray] = []
        self._stamps: list[FloatArray] = []
        self.marks: list[tuple[float, str]] = []
        self._now = 0.0

    def add(self, values: Sequence[float], start_s: float) -> None:
        block = np.asarray(values, dtype=np.float64).reshape(len(self.info.ch_names), -1)
        stamps = start_s + np.arange(block.shape[1]) / float(self.info.sfreq)
        self._data.append(block)
        self._stamps.append(stamps)
        self._now = float(stamps[-1])

    def pull(self, timeout_s: float = 0.0) -> Chunk | None:
        empty: Any = np.empty((len(self.info.ch_names), 0))
        chunk = Chunk(
            np.concatenate([empty, *self._data], axis=1),
            np.concatenate([np.empty(0), *self._stamps]),
            tuple(self.marks),
        )
        self._data, self._stamps, self.marks = [], [], []
        return chunk

    def clock(self) -> float:
        return self._now

    def close(self) -> None: ...
