import json
import time

import numpy as np
import pytest

import neuro
from neuro.bci import Workspace
from neuro.bci.report import session_report
from neuro.bci.session import Session
from neuro.errors import ConfigError, DataError
from neuro.stream import Array, Replay, StreamInfo
from neuro.stream.control import ControlServer, ask


def settled(session, seconds=30):
    end = time.monotonic() + seconds
    while session.state != "idle" and time.monotonic() < end:
        time.sleep(0.01)
    return session.status()


@pytest.fixture
def empty(tmp_path, settings):
    out = Workspace.create(tmp_path / "live", classes=("left", "right"))
    out.settings = settings
    return out


def playing(paths):
    waiting = iter(paths)
    return lambda: Replay(neuro.read(next(waiting)), speed=np.inf)


def test_calibrate_train_decide(empty, runs):
    session = Session(empty, playing(runs))
    for _ in range(3):
        session.start_calibration()
        assert settled(session)["error"] == ""
    assert [r.cues for r in empty.runs] == [{"left": 5, "right": 5}] * 3
    session.select(n=2, fmin=8, fmax=20)
    assert session.train()["scores"]["nested"] >= 0.9
    session.start_online()
    status = settled(session)
    assert (status["decisions"], status["samples"], status["error"]) == (10, 5250, "")
    lines = (empty.folder / "online" / "001" / "decisions.jsonl").read_text().splitlines()
    told = [one for one in map(json.loads, lines) if "label" in one]
    assert [(d["cue"], d["label"]) for d in told] == [
        (d.cue, d.label) for d in empty.decoder().replay(neuro.read(runs[3]))
    ]


def test_what_was_streamed_is_a_run_that_gives_the_same_decisions(empty, runs):
    session = Session(empty, playing([*runs[:3], runs[3]]))
    for _ in range(3):
        session.start_calibration()
        settled(session)
    session.train()
    session.start_online()
    settled(session)
    run = empty.add_run(empty.folder / "online" / "001" / "recording.xdf")
    again, _ = empty.replay(run.id)
    lines = (empty.folder / "online" / "001" / "decisions.jsonl").read_text().splitlines()
    live = [one for one in map(json.loads, lines) if "label" in one]
    assert [d.label for d in again] == [d["label"] for d in live]
    for a, b in zip(again, live, strict=True):
        assert a.probabilities == pytest.approx(b["probabilities"], abs=1e-6)


def test_cues_by_hand(empty, runs):
    signal = neuro.read(runs[0]).streams["eeg"]
    info = StreamInfo(signal.axis.names, 250, "uV")
    session = Session(empty, lambda: Slow(signal.values(), info))
    session.start_calibration()
    for label in ("left", "right"):
        session.mark(label)
        time.sleep(0.05)
    settled(session)
    assert empty.runs[0].cues == {"left": 1, "right": 1}


class Slow(Array):
    """Takes a moment for every chunk, so that somebody can act meanwhile."""

    def pull(self, timeout_s=0.1):
        time.sleep(0.002)
        return super().pull()


def test_one_thing_at_a_time(workspace, runs):
    signal = neuro.read(runs[3]).streams["eeg"]
    info = StreamInfo(signal.axis.names, 250, "uV")
    session = Session(workspace, lambda: Slow(signal.values(), info, [(100, "left")]))
    with pytest.raises(DataError, match="Nothing has been trained"):
        session.start_online()
    with pytest.raises(ConfigError, match="Nothing runs"):
        session.stop()
    with pytest.raises(ConfigError, match="needs a running"):
        session.mark("left")
    session.start_calibration()
    with pytest.raises(ConfigError, match=r"Stop what runs \(calibrating\)"):
        session.start_calibration()
    while session.status()["cues"] == 0:
        time.sleep(0.01)
    session.stop()
    assert session.state == "idle"
    assert workspace.runs[-1].name == "recording.xdf"


def test_an_error_of_any_kind_is_said_and_leaves_a_report(workspace, runs):
    workspace.train(("C3;12",))

    class Broken(Replay):
        def pull(self, timeout_s=0.1):
            if self._last > 3:
                raise OSError("No space left on device")
            return super().pull()

    session = Session(workspace, lambda: Broken(neuro.read(runs[3]), speed=np.inf))
    session.start_online()
    assert "No space left" in settled(session)["error"]
    report = json.loads((workspace.folder / "online" / "001" / "report.json").read_text())
    assert 700 < report["samples"] < 800


def test_a_choice_that_cannot_be_is_not_kept(empty):
    session = Session(empty, lambda: None)
    for wrong in (
        {"features": "C3;12"}, {"features": [3]}, {"n": "x"}, {"n": 0}, {"kind": "svm"},
        {"fmin": float("nan")},
    ):  # fmt: skip
        with pytest.raises((ConfigError, TypeError)):
            session.select(**wrong)
    assert Workspace.open(empty.folder).choice == empty.choice
    assert empty.choice.features is None


def test_a_run_without_cues_is_kept_on_disk_and_said(empty, runs):
    signal = neuro.read(runs[0]).streams["eeg"]
    info = StreamInfo(signal.axis.names, 250, "uV")
    session = Session(empty, lambda: Array(signal.values(), info))
    session.start_calibration()
    assert "no cue of left, right" in settled(session)["error"]
    assert empty.runs == ()
    assert (empty.folder / "recordings" / "001" / "recording.xdf").stat().st_size > 50_000


def test_another_stream_than_the_decoder_s_never_goes_online(workspace, runs):
    workspace.train(("C3;12", "C4;12"))
    info = StreamInfo(("C3", "Cz", "C4", "O2"), 250, "uV")
    session = Session(workspace, lambda: Array(np.zeros((4, 1000)), info))
    with pytest.raises(DataError, match="'O1' is not there"):
        session.start_online()
    assert session.state == "idle"


def test_the_control_port_runs_a_session(empty, runs):
    session = Session(empty, playing(runs))
    with ControlServer(session.commands) as server:

        def do(name, **arguments):
            return ask(server.port, server.token, name, **arguments)

        for n in range(3):
            do("start_calibration")
            while do("status")["state"] != "idle":
                time.sleep(0.01)
            assert do("status")["runs"] == n + 1
        do("select", features=["C3;12", "C4;12"], kind="shrinkage_lda")
        assert do("train")["attempt"] == 1
        do("load", attempt=1)
        do("start_online")
        while do("status")["state"] != "idle":
            time.sleep(0.01)
        found = do("snapshot")
        assert found["decisions"] == 10
        assert found["latency"]["total"]["n"] == 10


def test_the_page_of_a_session(workspace, runs, tmp_path):
    workspace.train(("C3;12", "C4;12"))
    session = Session(workspace, playing([runs[3]]))
    session.start_online()
    settled(session)
    text = session_report(workspace, tmp_path / "session.html").read_text(encoding="utf-8")
    for part in ("run0.h5", "C3;12, C4;12", "Online 1", "From the last sample", "<img"):
        assert part in text
    assert str(tmp_path) not in text


def test_a_page_without_runs_says_so(empty, tmp_path):
    text = session_report(empty, tmp_path / "session.html").read_text(encoding="utf-8")
    assert "add one first" in text
