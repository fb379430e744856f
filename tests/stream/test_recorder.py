import numpy as np
import pytest

import neuro
from neuro.stream import Chunk, Extractor, Plan, Power, StreamInfo, XDFRecorder
from neuro.stream.chain import Chain
from neuro.stream.sources import recorded_segments

INFO = StreamInfo(("C3", "C4"), 250, "uV")


def write(path, stamps, cues=(), info=INFO):
    x = np.random.default_rng(0).standard_normal((2, len(stamps)))
    with XDFRecorder(path, info) as recorder:
        for i in range(0, len(stamps), 100):
            part = slice(i, i + 100)
            recorder(Chunk(x[:, part], stamps[part], cues if i == 0 else ()))
    return neuro.read(path)


@pytest.mark.parametrize(
    ("name", "read"), [("<&>", "<&>"), ("é漢", "é漢"), ("a\x00\x1bb", "a??b"), ("\ud800", "?")],
    ids=["markup", "unicode", "control", "surrogate"],
)  # fmt: skip
def test_any_name_makes_a_file_that_can_be_read(tmp_path, name, read):
    info = StreamInfo((name, "C4"), 250, "uV", name=name)
    found = write(tmp_path / "r.xdf", np.arange(500) / 250, ((0.5, "l\ud800é<"),), info)
    assert found.streams["eeg"].axis.names == (read, "C4")
    assert found.events.type.tolist() == ["l?é<"]


@pytest.mark.parametrize("lost_s", [0.302, 3.002], ids=["short", "long"])
def test_a_gap_is_one_in_the_file_too(tmp_path, lost_s):
    # half a sample off the grid: no rounding of it fits both sides
    stamps = 50 + np.arange(5000) / 250
    stamps[2500:] += lost_s
    cues = ((stamps[1000], "a"), (stamps[4000], "b"))
    recording = write(tmp_path / "r.xdf", stamps, cues)
    _, segments = recorded_segments(recording)
    assert [s.data.shape[1] for s in segments] == [2500, 2500]
    found = [[s for s, _ in one.cues] for one in segments]
    assert found[0] == [1000]
    assert found[1][0] == pytest.approx(1500, abs=1)  # half a sample lies between two


def test_a_killed_program_leaves_what_was_streamed(tmp_path):
    recorder = XDFRecorder(tmp_path / "r.xdf", INFO)
    for i in range(0, 1000, 50):
        recorder(Chunk(np.ones((2, 50)), np.arange(i, i + 50) / 250, ()))
    written = (tmp_path / "r.xdf").read_bytes()  # never closed
    recorder.close()
    for lost, n in ((0, 1000), (500, 950)):
        (tmp_path / f"k{lost}.xdf").write_bytes(written[: len(written) - lost])
        found = neuro.read(tmp_path / f"k{lost}.xdf").streams["eeg"].values()
        np.testing.assert_array_equal(found, np.ones((2, n)))


def test_a_clock_that_drifts_is_no_other_amplifier(tmp_path):
    # 100 parts per million over 100 s are two and a half samples
    stamps = np.arange(25_000) / 250.025
    cues = tuple((float(stamps[s]), "a") for s in (500, 12_000, 24_000))
    recording = write(tmp_path / "r.xdf", stamps, cues)
    extractor = Extractor(Chain(INFO.ch_names, 250), Plan(0, 1), Power())
    found = extractor.replay(recording)
    assert [one.start for one in found] == [500, 12_000, 24_000]
    info, _ = recorded_segments(recording)
    assert extractor.attach(info) == ["takes 250.025 Hz as 250 Hz"]
