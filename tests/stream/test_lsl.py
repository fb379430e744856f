"""Over the loopback, with the real library and an amplifier in a process of its own."""

import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from neuro.errors import ConfigError, DataUnavailableError
from neuro.stream import Chain, Decoder, Extractor, LinearRule, Live, Plan, Power, Selection

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lsl")]

AMPLIFIER = """
import sys
from neuro.datasets import synthetic
from neuro.stream.lsl import Amplifier, private_session
private_session(sys.argv[1])
recording = synthetic.eeg(seed=0, n_subjects=1, n_trials=8, n_motifs=3).recordings[0]
Amplifier(recording, name=sys.argv[2], speed=4.0).play(wait_s=30)
"""


def amplifier(session, name):
    return subprocess.Popen([sys.executable, "-c", AMPLIFIER, session, name])


def decoder(info):
    extractor = Extractor(Chain(info.ch_names, info.sfreq), Plan(0.5, 1.5), Power(fmax=14))
    n = len(extractor.table.rows) * len(extractor.table.columns)
    weights = np.random.default_rng(0).standard_normal((1, n)) / n
    return Decoder(extractor, Selection(), LinearRule(("left", "right"), weights, np.zeros(1)))


def test_decisions_over_the_network_are_the_offline_ones(lsl_session):
    from neuro.datasets import synthetic
    from neuro.stream.lsl import LSLOutlets, LSLSource

    pylsl = pytest.importorskip("pylsl")
    recording = synthetic.eeg(seed=0, n_subjects=1, n_trials=8, n_motifs=3).recordings[0]
    child = amplifier(lsl_session, "amp")
    try:
        source = LSLSource(source_id="amp", timeout_s=30)
        own = decoder(source.info)
        outlets = LSLOutlets("test")
        listener = pylsl.StreamInlet(
            pylsl.resolve_bypred("name='test decisions'", 1, 10)[0], max_buflen=60
        )
        listener.open_stream(5)
        live = Live(source, own, [outlets])
        found, end = [], time.monotonic() + 60
        while len(found) < 8 and time.monotonic() < end:
            found += live.step() or []
        heard = []
        while len(heard) < len(found) and time.monotonic() < end:
            rows, _ = listener.pull_chunk(timeout=0.2)
            heard += [json.loads(row[0]) for row in rows]
        source.close()
    finally:
        child.terminate()
        child.wait(10)
    offline = decoder(source.info).replay(recording)
    assert [(d.cue, d.label, d.start) for d in found] == [
        (d.cue, d.label, d.start) for d in offline
    ]
    for a, b in zip(found, offline, strict=True):
        np.testing.assert_array_equal(a.features, b.features)
    assert [h["label"] for h in heard] == [d.label for d in offline]
    assert source.corrections
    assert not [m for m in live.messages if m.kind == "gap"]


def test_streams_that_cannot_be_told_apart_are_refused(lsl_session):
    from neuro.datasets import synthetic
    from neuro.stream.lsl import Amplifier, LSLSource

    recording = synthetic.eeg(seed=0, n_subjects=1, n_trials=2, n_motifs=1).recordings[0]
    with pytest.raises(DataUnavailableError, match=r"No LSL stream with type='EEG' and name='no'"):
        LSLSource(name="no", timeout_s=1)
    twins = [Amplifier(recording, name="twin") for _ in range(2)]
    with pytest.raises(ConfigError, match="2 LSL streams with type='EEG' and name='twin'"):
        LSLSource(name="twin", timeout_s=5)
    for twin in twins:
        twin.close()


def test_a_stream_without_names_is_refused(lsl_session):
    pylsl = pytest.importorskip("pylsl")
    from neuro.stream.lsl import LSLSource

    outlet = pylsl.StreamOutlet(pylsl.StreamInfo("bare", "EEG", 2, 100, "float32", "bare"))
    with pytest.raises(ConfigError, match="does not name its 2 channels"):
        LSLSource(name="bare", timeout_s=5)
    del outlet


def test_a_stream_that_stops_and_jumps_is_said_and_nothing_is_invented(lsl_session):
    pylsl = pytest.importorskip("pylsl")
    from neuro.stream.lsl import LSLSource

    info = pylsl.StreamInfo("jumper", "EEG", 2, 100, "float32", "jumper")
    info.set_channel_labels(["C3", "C4"])
    info.set_channel_units(["uV", "uV"])
    outlet = pylsl.StreamOutlet(info)
    source = LSLSource(name="jumper", markers=None, timeout_s=10)
    live = Live(source, decoder(source.info))
    feeder = threading.Thread(target=_with_a_jump, args=(pylsl, outlet), daemon=True)
    feeder.start()
    end = time.monotonic() + 20
    while live.n_samples < 200 and time.monotonic() < end:
        live.step()
    feeder.join(5)
    gaps = [m.text for m in live.messages if m.kind == "gap"]
    assert len(gaps) == 1
    assert "+3.000 s" in gaps[0]
    source.close()


def _with_a_jump(pylsl, outlet):
    zero = pylsl.local_clock()
    for i in range(20):
        late = 3.0 if i >= 10 else 0.0
        outlet.push_chunk(np.zeros((10, 2), np.float32), zero + (10 * i + 9) / 100 + late)
        time.sleep(0.02)


def test_an_experiment_script_marks_and_hears(lsl_session):
    from neuro.bci.adapters.psychopy import Experiment
    from neuro.stream import Decision
    from neuro.stream.lsl import LSLOutlets

    pylsl = pytest.importorskip("pylsl")
    outlets = LSLOutlets("scripted")
    with Experiment("paradigm", decisions="scripted") as link:
        found = pylsl.resolve_bypred("name='paradigm markers'", 1, 10)[0]
        inlet = pylsl.StreamInlet(found)
        inlet.open_stream(5)
        stamp = link.mark("left")
        sample, heard = inlet.pull_sample(5)
        assert (sample, heard) == (["left"], pytest.approx(stamp))
        assert link.decision() is None
        for label in ("left", "right"):
            outlets.decision(Decision(label, {label: 0.9}, "left", 0, 1, 0, np.zeros(1)), stamp)
        assert link.decision(5)["probabilities"] == {"left": 0.9}
        assert link.decision(5)["label"] == "right"
        assert link.latest() is None
