"""How long each stage of the loop takes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

import numpy as np

from neuro.typing import FloatArray

__all__ = ["STAGES", "Latency"]

STAGES = ("receive", "buffer", "features", "decide", "send", "total")
"""Age of a chunk when it arrives; chain and buffer; features; rule; outlets; and, for
decisions, from the stamp of the last sample they saw to the moment they were sent."""

_KEPT = 100_000


class Latency:
    """Seconds of every stage, the last 100,000 of each.

    Examples
    --------
    >>> latency = Latency()
    >>> with latency.of("features"):
    ...     _ = sum(range(10))
    >>> latency.summary()["features"]["n"]
    1
    """

    def __init__(self) -> None:
        self._kept: dict[str, FloatArray] = {stage: np.empty(_KEPT) for stage in STAGES}
        self._n = dict.fromkeys(STAGES, 0)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Time what happens inside."""
        begin = perf_counter()
        yield
        self.add(stage, perf_counter() - begin)

    def add(self, stage: str, seconds: float) -> None:
        """Keep a duration."""
        self._kept[stage][self._n[stage] % _KEPT] = seconds
        self._n[stage] += 1

    def seconds(self, stage: str) -> FloatArray:
        """What is kept of a stage."""
        return self._kept[stage][: min(self._n[stage], _KEPT)].copy()

    def summary(self) -> dict[str, dict[str, float]]:
        """Number, median, 95th and 99th percentile and maximum of each stage, in ms."""
        out = {}
        for stage in STAGES:
            found = 1000 * self.seconds(stage)
            if len(found):
                p50, p95, p99 = np.percentile(found, [50, 95, 99])
                out[stage] = {
                    "n": self._n[stage],
                    "p50_ms": float(p50),
                    "p95_ms": float(p95),
                    "p99_ms": float(p99),
                    "max_ms": float(found.max()),
                }
        return out

    def histogram(self, stage: str, n_bins: int = 40) -> Mapping[str, list[float]]:
        """Counts over logarithmic bins from 10 us to 10 s."""
        edges = np.logspace(-5, 1, n_bins + 1)
        counts, _ = np.histogram(np.clip(self.seconds(stage), 1e-5, 10), edges)
        return {"edges_s": edges.tolist(), "counts": counts.tolist()}
