"""Lab streaming layer: a source of live samples, outlets for decisions, a played amplifier.

Needs the extra ``lsl`` (pylsl, whose wheel carries the library).
"""

import json
import threading
import time
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.errors import ConfigError, DataUnavailableError, MissingDependencyError
from neuro.stream.decoder import Decision, describe
from neuro.stream.info import StreamInfo
from neuro.stream.live import Status
from neuro.stream.sources import Chunk, Replay

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["Amplifier", "LSLOutlets", "LSLSource", "library", "private_session", "resolved"]

_CORRECT_EVERY_S = 5.0
_UNITS = {"microvolts": "uV", "microvolt": "uV", "volts": "V", "millivolts": "mV", "": "uV"}
_MOST_SAMPLES = 4096


def library() -> Any:
    """pylsl, or an error that says how to get it."""
    try:
        import pylsl
    except ImportError as error:
        raise MissingDependencyError(
            "Live streams need pylsl 1.18 or later: pip install 'neuro-fm[lsl]'."
        ) from error
    return pylsl


def resolved(wanted: Mapping[str, str | None], timeout_s: float) -> Any:
    """The one LSL stream with these properties.

    Parameters
    ----------
    wanted : mapping of str to str
        ``type``, ``name``, ``source_id``; None and "" are not asked for.
    timeout_s : float
        How long to look.

    Returns
    -------
    pylsl.StreamInfo

    Raises
    ------
    DataUnavailableError
        If none answers.
    ConfigError
        If several do.
    """
    lsl = library()
    asked = {key: value for key, value in wanted.items() if value}
    for key, value in asked.items():
        if any(c in value for c in "'\"<>&"):
            raise ConfigError(f"{key}={value!r}: quotes and angle brackets cannot be searched.")
    text = " and ".join(f"{key}='{value}'" for key, value in asked.items())
    end = time.monotonic() + timeout_s
    found: list[Any] = []
    while not found and time.monotonic() < end:
        found = lsl.resolve_bypred(text, 1, min(1.0, timeout_s))
    # all that answer within a second, not the first: two amplifiers of one name must not be
    # mistaken for each other
    found = lsl.resolve_bypred(text, 99, 1.0) if found else []
    if not found:
        raise DataUnavailableError(
            f"No LSL stream with {text} within {timeout_s:g} s. Is the amplifier started, and "
            "on the same network and LSL session?"
        )
    if len(found) > 1:
        told = ", ".join(f"{s.name()!r} (source id {s.source_id()!r})" for s in found)
        raise ConfigError(f"{len(found)} LSL streams with {text}: {told}. Give source_id=.")
    return found[0]


def private_session(name: str) -> None:
    """See only streams of this machine that were started under the same name.

    Must come before anything else touches the library, once a process.

    Parameters
    ----------
    name : str
        Letters, digits, "-" and "_".

    Raises
    ------
    ConfigError
        If the name holds anything else.
    """
    if not name or not all(c.isalnum() or c in "-_" for c in name):
        raise ConfigError(f"Session name {name!r}: use letters, digits, '-' and '_' only.")
    library().set_config_content(
        f"[lab]\nSessionID = {name}\nKnownPeers = {{127.0.0.1}}\n"
        "[multicast]\nResolveScope = machine\n[ports]\nIPv6 = disable\n[log]\nlevel = -2\n"
    )


class LSLSource:
    """Samples and cues from the network.

    Stamps are brought to this machine's clock; the correction is measured again
    every five seconds and kept in `corrections`.

    Parameters
    ----------
    type : str
        Of the stream of samples, mostly "EEG".
    name, source_id : str, optional
        Needed if there are several of that type.
    markers : str, optional
        Type of the stream of cues; None for none.
    unit : str, optional
        True unit, where the stream is silent or wrong.
    timeout_s : float
        How long to look for the streams.

    Raises
    ------
    DataUnavailableError
        If no such stream is found.
    ConfigError
        If several are, or their facts do not suffice.
    MissingDependencyError
        If pylsl is not installed.
    """

    def __init__(
        self,
        type: str = "EEG",
        *,
        name: str | None = None,
        source_id: str | None = None,
        markers: str | None = "Markers",
        unit: str | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self._lsl = library()
        found = resolved({"type": type, "name": name, "source_id": source_id}, timeout_s)
        self._inlet = self._lsl.StreamInlet(found, max_buflen=60, as_numpy=True)
        self.info = _facts(self._inlet.info(timeout_s), unit)
        self._markers = None
        if markers is not None:
            cues = resolved({"type": markers}, timeout_s)
            # raw bytes: a label that is no UTF-8 must not end the session
            self._markers = self._lsl.StreamInlet(cues, max_buflen=60, as_numpy=True)
        self.corrections: list[tuple[float, float, float]] = []
        self._correct(timeout_s)
        self._inlet.open_stream(timeout_s)
        if self._markers is not None:
            self._markers.open_stream(timeout_s)

    def _correct(self, timeout_s: float = 0.2) -> None:
        """Offsets of both clocks to ours, the last known where no answer comes."""
        offsets: list[float] = []
        for i, inlet in enumerate((self._inlet, self._markers)):
            try:
                offsets.append(0.0 if inlet is None else inlet.time_correction(timeout_s))
            except self._lsl.util.TimeoutError:
                offsets.append(self.corrections[-1][1 + i] if self.corrections else 0.0)
        self.corrections.append((self.clock(), offsets[0], offsets[1]))

    def pull(self, timeout_s: float = 0.1) -> Chunk | None:
        """What has arrived; waits for a first sample, not for a full chunk."""
        if self.clock() - self.corrections[-1][0] > _CORRECT_EVERY_S:
            self._correct()
        _, own, of_markers = self.corrections[-1]
        try:
            x, stamps = self._inlet.pull_chunk(
                timeout=timeout_s, max_samples=_MOST_SAMPLES, min_samples=1
            )
        except self._lsl.util.LostError:
            return None
        marks: list[tuple[float, str]] = []
        if self._markers is not None:
            rows, times = self._markers.pull_chunk(timeout=0.0)
            marks = [(t + of_markers, _label(row[0])) for row, t in zip(rows, times, strict=True)]
        data = np.asarray(x, dtype=np.float64).reshape(len(stamps), len(self.info.ch_names)).T
        return Chunk(data, np.asarray(stamps) + own, tuple(marks))

    def clock(self) -> float:
        """Now, on this machine's LSL clock."""
        return float(self._lsl.local_clock())

    def close(self) -> None:
        """Leave the streams."""
        self._inlet.close_stream()
        if self._markers is not None:
            self._markers.close_stream()


def _label(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return f"{value:g}" if isinstance(value, np.floating) else str(value)


def _facts(info: Any, unit: str | None) -> StreamInfo:
    names = [n or "" for n in info.get_channel_labels() or []]
    n = info.channel_count()
    if len(names) != n or not all(names):
        raise ConfigError(
            f"The LSL stream {info.name()!r} does not name its {n} channels; a decoder cannot "
            "know which is which. Name them in the amplifier's program."
        )
    rate = info.nominal_srate()
    if not 0 < rate < 1e6:
        raise ConfigError(f"The LSL stream {info.name()!r} has no fixed rate.")
    told = {u or "" for u in info.get_channel_units() or [""]}
    if unit is None and len(told) > 1:
        raise ConfigError(f"The channels of {info.name()!r} have different units: {sorted(told)}.")
    held = unit or _UNITS.get(next(iter(told)).lower(), next(iter(told)))
    return StreamInfo(
        tuple(names), Fraction(rate).limit_denominator(10_000), held, info.name(), info.source_id()
    )


class LSLOutlets:
    """Decisions, features and messages as LSL streams; a sink of the loop.

    Streams are called ``NAME decisions`` (type "Decisions", JSON), ``NAME features``
    (type "Features", numbers) and ``NAME status`` (type "Status", JSON). A decision
    carries the stamp of the last sample it saw.

    Parameters
    ----------
    name : str
        Beginning of the names.
    n_features : int
        Width of the stream of features.
    """

    def __init__(self, name: str = "neuro", n_features: int = 0) -> None:
        lsl = library()

        def outlet(what: str, kind: str, width: int, form: int) -> Any:
            info = lsl.StreamInfo(f"{name} {what}", kind, width, 0.0, form, f"{name}-{what}")
            return lsl.StreamOutlet(info)

        self._decisions = outlet("decisions", "Decisions", 1, lsl.cf_string)
        self._status = outlet("status", "Status", 1, lsl.cf_string)
        self._features = None
        if n_features:
            self._features = outlet("features", "Features", n_features, lsl.cf_float32)

    def decision(self, decision: Decision, time_s: float) -> None:
        """Send a decision; unusable trials send none."""
        if decision.label:
            self._decisions.push_sample([json.dumps(describe(decision))], time_s)
        if self._features is not None:
            self._features.push_sample(decision.features.astype(np.float32).tolist(), time_s)

    def status(self, status: Status) -> None:
        """Send a message."""
        self._status.push_sample([json.dumps({"kind": status.kind, "text": status.text})])


class Amplifier:
    """A recording played as LSL streams: samples, and its events as markers.

    Parameters
    ----------
    recording : Recording
        What is played.
    name : str
        Of the streams, ``NAME`` and ``NAME markers``; also their source id.
    stream : str, optional
        Which signal; needed if there are several.
    speed : float
        1 is real time.
    chunk_s : float
        Seconds sent at a time.
    """

    def __init__(
        self,
        recording: "Recording",
        *,
        name: str = "simulated",
        stream: str | None = None,
        speed: float = 1.0,
        chunk_s: float = 0.02,
    ) -> None:
        self._lsl = library()
        self._source = Replay(recording, stream=stream, speed=speed, chunk_s=chunk_s)
        self._speed = speed
        self.info = self._source.info
        if not np.isfinite(speed):
            raise ConfigError("An amplifier plays at a finite speed.")
        n = len(self.info.ch_names)
        rate = float(self.info.sfreq)
        facts = self._lsl.StreamInfo(name, "EEG", n, rate, self._lsl.cf_float32, name)
        facts.set_channel_labels(list(self.info.ch_names))
        facts.set_channel_units([self.info.unit] * n)
        self._samples = self._lsl.StreamOutlet(facts)
        cues = self._lsl.StreamInfo(
            f"{name} markers", "Markers", 1, 0.0, self._lsl.cf_string, f"{name}-markers"
        )
        self._markers = self._lsl.StreamOutlet(cues)

    def play(self, stop: threading.Event | None = None, *, wait_s: float = 0.0) -> int:
        """Send everything; blocks until the end or `stop`.

        Parameters
        ----------
        stop : threading.Event, optional
            Set it to end early.
        wait_s : float
            Seconds to wait for somebody who listens to both streams.

        Returns
        -------
        int
            Samples sent.
        """
        end = time.monotonic() + wait_s
        for outlet in (self._samples, self._markers):
            outlet.wait_for_consumers(max(0.0, end - time.monotonic()))
        zero: float | None = None
        sent = 0
        while not (stop and stop.is_set()) and (chunk := self._source.pull()) is not None:
            if zero is None:
                # a chunk is handed out when its last sample has been measured: that is now
                zero = self._lsl.local_clock() - float(chunk.stamps[-1])
            for time_s, label in chunk.markers:
                self._markers.push_sample([label], zero + time_s)
            block = np.ascontiguousarray(chunk.data.T, dtype=np.float32)
            # LSL takes the stamp of the last sample and counts back at the nominal rate
            self._samples.push_chunk(block, zero + float(chunk.stamps[-1]))
            sent += len(block)
        return sent

    def close(self) -> None:
        """End the streams."""
        del self._samples, self._markers
