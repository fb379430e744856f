"""What runs inside a Timeflux node: data frames in, events out."""

from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.data.rates import exact_rate
from neuro.stream import Chunk, Live, StreamInfo, load_bundle
from neuro.typing import PathLike

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FrameDecoder"]


class FrameDecoder:
    """A decoder bundle over data frames, as Timeflux passes them on.

    Parameters
    ----------
    bundle : path
        Decoder.
    rate : float
        Rate of the samples in Hz.
    unit : str
        Of the samples.
    label : str
        Column of the events that holds the cue.

    Examples
    --------
    See ``neuro bci export --to timeflux``, which writes a node around it.
    """

    def __init__(
        self, bundle: PathLike, *, rate: float, unit: str = "uV", label: str = "label"
    ) -> None:
        self._decoder = load_bundle(bundle)
        self._rate, self._unit, self._label = rate, unit, label
        self._feed: _Frames | None = None
        self._live: Live | None = None

    def update(
        self, frame: "pd.DataFrame | None", events: "pd.DataFrame | None" = None
    ) -> "pd.DataFrame":
        """Take what came in this cycle; return events with what was decided.

        Parameters
        ----------
        frame : DataFrame, optional
            Samples; index of time stamps, a column a channel.
        events : DataFrame, optional
            Cues; index of time stamps.

        Returns
        -------
        DataFrame
            Columns ``label`` and ``data`` (probabilities), one row a decision, stamped
            with the cycle's last sample.

        Raises
        ------
        ContractError
            If the columns are not the decoder's channels, or the rate is another.
        """
        import pandas as pd

        out = pd.DataFrame(columns=["label", "data"])
        if self._live is None or self._feed is None:
            if frame is None:
                return out
            info = StreamInfo(tuple(map(str, frame.columns)), exact_rate(self._rate), self._unit)
            self._feed = _Frames(info)
            self._live = Live(self._feed, self._decoder)
        self._feed.chunk = _chunk(frame, events, self._label, len(self._feed.info.ch_names))
        told = [d for d in self._live.step() or [] if d.label]
        if not told:
            return out
        stamp = pd.Timestamp(self._feed.clock(), unit="s")
        return pd.DataFrame(
            {"label": [d.label for d in told], "data": [dict(d.probabilities) for d in told]},
            index=[stamp] * len(told),
        )


class _Frames:
    """A source whose one chunk is set from outside."""

    def __init__(self, info: StreamInfo) -> None:
        self.info = info
        self.chunk: Chunk | None = None
        self._now = 0.0

    def pull(self, timeout_s: float = 0.0) -> Chunk | None:
        if self.chunk is not None and len(self.chunk.stamps):
            self._now = float(self.chunk.stamps[-1])
        return self.chunk

    def clock(self) -> float:
        return self._now

    def close(self) -> None: ...


def _chunk(frame: Any, events: Any, label: str, n_chans: int) -> Chunk:
    def seconds(index: Any) -> Any:
        return np.asarray(index.values.astype("datetime64[ns]").astype(np.int64)) / 1e9

    marks: list[tuple[float, str]] = []
    if events is not None and len(events):
        times = seconds(events.index)
        marks = [(float(t), str(c)) for t, c in zip(times, events[label], strict=True)]
    if frame is None:
        return Chunk(np.empty((n_chans, 0)), np.empty(0), tuple(marks))
    return Chunk(frame.to_numpy(np.float64).T, seconds(frame.index), tuple(marks))
