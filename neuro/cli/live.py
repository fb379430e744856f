"""The commands of ``neuro bci`` that run for a while: online, simulate."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuro.cli._show import clean, console, problems, show_json
from neuro.errors import ConfigError

if TYPE_CHECKING:
    from neuro.data import Recording
    from neuro.stream import Decision, Status

__all__ = ["play", "run_live"]


class _Screen:
    """Decisions and messages as lines."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def decision(self, decision: "Decision", time_s: float) -> None:
        if not self._quiet and decision.label:
            cue = f"  (cue: {decision.cue})" if decision.cue else ""
            p = decision.probabilities[decision.label]
            console.print(clean(f"{decision.label}  {p:.2f}{cue}"))

    def status(self, status: "Status") -> None:
        if not self._quiet:
            console.print(clean(f"[{status.kind}] {status.text}"))


def run_live(
    workspace: Path,
    *,
    attempt: int | None,
    file: Path | None,
    speed: float,
    source_id: str | None,
    running: float | None,
    seconds: float | None,
    calibrate: bool,
    control: int | None,
    lsl_session: str | None,
    as_json: bool,
) -> None:
    """Calibrate or decide until the stream ends, the time is over or Ctrl-C."""
    from neuro.bci import Workspace
    from neuro.bci.session import Session
    from neuro.stream.control import ControlServer

    if lsl_session is not None:
        _private(lsl_session)
    over_lsl = file is None

    def source() -> Any:
        if file is not None:
            import neuro
            from neuro.stream import Replay

            return Replay(neuro.read(file), speed=speed)
        from neuro.stream.lsl import LSLSource

        return LSLSource(source_id=source_id)

    def sinks(n_features: int) -> list[Any]:
        out: list[Any] = [_Screen(as_json)]
        if over_lsl:
            from neuro.stream.lsl import LSLOutlets

            out.append(LSLOutlets("neuro", n_features))
        return out

    session = Session(Workspace.open(workspace), source, sinks)
    server = None
    told = problems if as_json else console  # standard output is one JSON document
    if control is not None:
        server = ControlServer(session.commands, port=control)
        told.print(f"control port {server.port}, token {server.token}", soft_wrap=True)
    try:
        if control is None:
            if calibrate:
                session.start_calibration()
            else:
                session.start_online(attempt, running)
        _wait(session, seconds, forever=control is not None)
    except KeyboardInterrupt:
        told.print("stopping")
    finally:
        if server is not None:
            server.close()
        if session.state != "idle":
            session.stop()
    facts = session.snapshot()
    if facts["error"]:
        raise ConfigError(facts["error"])
    if as_json:
        show_json(facts)
    else:
        console.print(f"{facts['samples']} samples, {facts['decisions']} decisions")


def _wait(session: Any, seconds: float | None, *, forever: bool) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    while (forever or session.state != "idle") and (end is None or time.monotonic() < end):
        time.sleep(0.05)


def play(
    file: Path | None,
    *,
    name: str,
    speed: float,
    unit: str | None,
    wait: float,
    seed: int,
    lsl_session: str | None,
) -> None:
    """Send a recording over LSL, until its end or Ctrl-C."""
    from neuro.stream.lsl import Amplifier

    if lsl_session is not None:
        _private(lsl_session)
    recording = _recording(file, unit, seed)
    amplifier = Amplifier(recording, name=name, speed=speed)
    info = amplifier.info
    told = "" if file is not None else " (simulated data)"
    console.print(
        clean(
            f"{name!r}{told}: {len(info.ch_names)} channels, {float(info.sfreq):g} Hz, {info.unit}"
        )
    )
    try:
        sent = amplifier.play(wait_s=wait)
        console.print(f"{sent} samples sent")
    except KeyboardInterrupt:
        console.print("stopped")
    finally:
        amplifier.close()


def _recording(file: Path | None, unit: str | None, seed: int) -> "Recording":
    if file is not None:
        import neuro

        return neuro.read(file, unit=unit)
    from neuro.datasets import synthetic

    return synthetic.eeg(seed, n_subjects=1).recordings[0]


def _private(name: str) -> None:
    from neuro.stream.lsl import private_session

    private_session(name)
