"""For PsychoPy, or any script that shows stimuli: markers out, decisions in, over LSL."""

import json
from typing import Any, Self

from neuro.stream.lsl import resolved

__all__ = ["Experiment"]


class Experiment:
    """Markers and feedback of an experiment script.

    Parameters
    ----------
    name : str
        Of the stream of markers, ``NAME markers``.
    decisions : str, optional
        Beginning of the name of the decoder's streams; None if there is no feedback.
    timeout_s : float
        How long to look for the decoder.

    Examples
    --------
    In a PsychoPy script::

        from neuro.bci.adapters.psychopy import Experiment

        with Experiment("paradigm", decisions="neuro") as link:
            arrow.draw()
            win.callOnFlip(link.mark, "left")  # stamped when the picture appears
            win.flip()
            core.wait(4.5)
            decision = link.decision(timeout_s=1.0)
            bar.size = 0 if decision is None else decision["probabilities"]["left"]
    """

    def __init__(
        self, name: str = "paradigm", decisions: str | None = "neuro", *, timeout_s: float = 10.0
    ) -> None:
        from neuro.stream.lsl import library

        self._lsl: Any = library()
        info = self._lsl.StreamInfo(
            f"{name} markers", "Markers", 1, 0.0, self._lsl.cf_string, f"{name}-markers"
        )
        self._outlet: Any = self._lsl.StreamOutlet(info)
        self._inlet: Any = None
        if decisions is not None:
            found = resolved({"name": f"{decisions} decisions"}, timeout_s)
            self._inlet = self._lsl.StreamInlet(found, max_buflen=60)
            self._inlet.open_stream(timeout_s)

    def mark(self, label: str) -> float:
        """Send a marker now; returns its time stamp."""
        now = float(self._lsl.local_clock())
        self._outlet.push_sample([label], now)
        return now

    def decision(self, timeout_s: float = 0.0) -> dict[str, Any] | None:
        """The oldest decision that has not been read yet; None if there is none."""
        if self._inlet is None:
            return None
        sample, _ = self._inlet.pull_sample(timeout_s)
        if sample is None:
            return None
        found: dict[str, Any] = json.loads(sample[0])
        return found

    def latest(self) -> dict[str, Any] | None:
        """The newest decision; older ones are dropped."""
        out = None
        while (found := self.decision()) is not None:
            out = found
        return out

    def close(self) -> None:
        """Leave the streams."""
        if self._inlet is not None:
            self._inlet.close_stream()
        self._outlet = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
