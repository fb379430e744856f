import json

import numpy as np
import pytest

from neuro.data import Axis, Events, Recording, Regular
from neuro.errors import ConfigError, ContractError, FileError
from neuro.stream import (
    Array,
    Chain,
    Decoder,
    Extractor,
    Filter,
    Live,
    Plan,
    Power,
    Rate,
    Reference,
    Replay,
    Selection,
    StreamInfo,
    fit_rule,
    load_bundle,
    save_bundle,
)  # fmt: skip
from neuro.stream.timeline import Timeline

NAMES = ("C3", "Cz", "C4", "O1")
INFO = StreamInfo(NAMES, 250, "uV", "amp")
N_TRIALS = 12


def run(seed=0):
    """Cues every two seconds; C3 is louder at 10 Hz after "left"."""
    rng = np.random.default_rng(seed)
    x = 5 * rng.standard_normal((4, 500 * N_TRIALS + 250))
    cues = [(100 + 500 * i, ("left", "right")[i % 2]) for i in range(N_TRIALS)]
    t = np.arange(400) / 250
    for start, label in cues:
        if label == "left":
            x[0, start : start + 400] += 8 * np.sin(2 * np.pi * 10 * t)
    return x, cues


def extractor(running_s=None):
    chain = Chain(NAMES, 250, [Reference(), Filter(2, 45)])
    return Extractor(chain, Plan(0.2, 1.5, 0.5, 0.25, running_s), Power(fmax=30))


def trained(running_s=None):
    x, cues = run()
    selection, own = Selection(("C3;10", "C4;10")), extractor()
    for cue in cues:
        own.mark(*cue)
    found = own.push(x)
    features = selection.apply(np.stack([f.values for f in found]), own.table)
    rule = fit_rule("lda", features, [f.label for f in found])
    return Decoder(extractor(running_s), selection, rule)


def recording(seed=1):
    x, cues = run(seed)
    signal = Regular(x.astype(np.float32), 250, "uV", Axis(NAMES, "eeg"), "eeg")
    events = Events.make([s / 250 for s, _ in cues], [c for _, c in cues])
    return Recording({"eeg": signal}, events, id="r1")


@pytest.fixture(scope="module")
def decoder():
    return trained()


@pytest.fixture(scope="module")
def offline(decoder):
    return decoder.replay(recording())


def same(a, b):
    return (
        a.label == b.label
        and (a.cue, a.start, a.stop) == (b.cue, b.start, b.stop)
        and np.array_equal(a.features, b.features)
    )


def test_the_effect_that_was_planted_is_decoded(offline):
    assert [d.cue for d in offline] == ["left", "right"] * 6
    assert sum(d.label == d.cue for d in offline) >= 11
    assert sum(offline[0].probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize("chunk", [1, 3, 8, 32, 100, 250, 1000, 6250])
def test_live_decisions_are_the_offline_ones(decoder, offline, chunk):
    x, cues = run(1)
    live = Live(Array(x.astype(np.float32), INFO, cues, chunk=chunk), decoder)
    found = live.run()
    assert len(found) == len(offline)
    assert all(same(a, b) for a, b in zip(found, offline, strict=True))
    assert live.n_samples == x.shape[1]


def test_running_decisions_come_without_cues():
    x, _ = run(1)
    decoder = trained(running_s=1.5)
    found = Live(Array(x, INFO, chunk=7), decoder).run()
    again = Live(Array(x, INFO, chunk=500), decoder).run()
    assert len(found) > 80
    assert all(same(a, b) for a, b in zip(found, again, strict=True))
    left = np.mean([d.probabilities["left"] for d in found if 400 <= d.stop % 1000 <= 500])
    right = np.mean([d.probabilities["left"] for d in found if d.stop % 1000 >= 900])
    assert left > right + 0.3


def test_a_replayed_recording_gives_the_same(decoder, offline):
    found = Live(Replay(recording(), speed=np.inf), decoder).run()
    assert all(same(a, b) for a, b in zip(found, offline, strict=True))


def test_a_gap_is_flagged_and_later_trials_are_those_of_a_fresh_start(decoder, offline):
    x, cues = run(1)
    x = x.astype(np.float32)  # as the recording keeps it
    live = Live(Array(x, INFO, cues, chunk=40, gaps=[(2200, 300)]), decoder)
    found = live.run()
    gaps = [m for m in live.messages if m.kind == "gap"]
    assert len(gaps) == 1
    assert "+1.200 s" in gaps[0].text
    assert "1 trial(s) are lost" in gaps[0].text
    assert [d.segment - found[0].segment for d in found] == [0] * 4 + [1] * 7
    fresh = Live(
        Array(x[:, 2500:], INFO, [(s - 2500, c) for s, c in cues if s >= 2500]), decoder
    ).run()
    assert [d.cue for d in found[4:]] == [d.cue for d in fresh]
    assert all(same(a, b) for a, b in zip(found[4:], fresh, strict=True))
    assert all(same(a, b) for a, b in zip(found[:4], offline, strict=False))


def test_cues_without_samples_are_refused_and_said(decoder):
    x, _ = run(1)
    source = Array(x, INFO, [(10, "left"), (2300, "right"), (9000, "left")], gaps=[(2200, 300)])
    live = Live(source, decoder)
    found = live.run()
    assert [d.cue for d in found] == ["left"]
    refused = [m.text for m in live.messages if m.kind == "cue refused"]
    assert ["'right'" in refused[0], "'left'" in refused[1]] == [True, True]
    assert "before the data, or in a gap" in refused[0]
    assert "ended before it" in refused[1]


def test_a_cue_may_arrive_before_its_sample(decoder, offline):
    x, cues = run(1)

    class Early(Array):
        def pull(self, timeout_s=0.1):
            chunk = super().pull()
            early = tuple((s / 250, c) for s, c in cues) if self._at == 40 else ()
            return chunk and chunk._replace(markers=early)

    live = Live(Early(x.astype(np.float32), INFO, chunk=40), decoder)
    assert all(same(a, b) for a, b in zip(live.run(), offline, strict=True))
    assert [m.kind for m in live.messages] == ["attached", "ended"]


def test_cues_at_the_edges_of_gaps_are_those_of_the_recording(decoder):
    # gaps of 60 ms, and cues on both sides of every edge and inside
    x, _ = run(1)
    gaps = [(1500, 15), (3000, 15)]
    near = [s + k for s, n in gaps for k in (-1, 0, 1, n // 2, n - 1, n, n + 1)]
    cues = [(s, "left") for s in near]
    kept = np.array([[0, 1500], [1515, 3000], [3015, x.shape[1]]])
    x32 = x.astype(np.float32)
    signal = Regular(x32, 250, "uV", Axis(NAMES, "eeg"), "eeg", segments=kept)
    events = Events.make([s / 250 for s, _ in cues], ["left"] * len(cues))
    expected = decoder.replay(Recording({"eeg": signal}, events))
    assert len(expected) == 4
    found = Live(Array(x32, INFO, cues, chunk=7, gaps=gaps), decoder).run()
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))


def test_a_trial_that_begins_before_the_data_is_left_out_on_both_sides(decoder):
    own = Extractor(Chain(NAMES, 250), Plan(-1, 1), Power(fmax=30))
    early = recording().replace(events=Events.make([0.4, 4.0], ["left", "right"]))
    assert [one.label for one in own.replay(early)] == ["right"]
    rule = fit_rule("lda", np.random.default_rng(0).standard_normal((20, 108)), ["a", "b"] * 10)
    live = Live(Replay(early, speed=np.inf), Decoder(own, Selection(), rule))
    assert [d.cue for d in live.run()] == ["right"]
    assert [m.kind for m in live.messages].count("cue refused") == 1


def test_only_markers_that_are_cues_begin_trials(decoder):
    x, cues = run(1)
    others = sorted([*cues, *((s + 30, "beep") for s, _ in cues)])
    live = Live(Array(x, INFO, others), decoder, cues=("left", "right"))
    assert {d.cue for d in live.run()} == {"left", "right"}


def test_a_decision_carries_the_stamp_of_the_last_sample_it_saw():
    times = []

    class Sink:
        def decision(self, decision, time_s):
            times.append((decision.stop, time_s))

        def status(self, status): ...

    own = Extractor(Chain(NAMES, 250, [Rate(50)]), Plan(0, 1), Power(fmax=20))
    rule = fit_rule("lda", np.random.default_rng(0).standard_normal((20, 68)), ["a", "b"] * 10)
    source = Array(run(1)[0], INFO, [(1000, "left")], chunk=25)
    Live(source, Decoder(own, Selection(), rule), [Sink()]).run()
    ((stop, time_s),) = times
    assert time_s == pytest.approx((stop - 1) / 50)


def test_a_trial_of_missing_samples_makes_no_decision(decoder):
    x, cues = run(1)
    x[0, 1100:1400] = np.nan
    sent = []

    class Sink:
        def decision(self, decision, time_s):
            sent.append(decision)

        def status(self, status): ...

    live = Live(Array(x, INFO, cues), decoder, [Sink()])
    live.run()
    assert sent[2].label == ""
    assert np.isnan(list(sent[2].probabilities.values())).all()
    assert "unusable" in [m.kind for m in live.messages]
    assert all(d.label for i, d in enumerate(sent) if i != 2)


def test_channels_come_by_name_and_units_are_converted(decoder, offline):
    x, cues = run(1)
    order = [3, 2, 0, 1]
    info = StreamInfo((*(NAMES[i] for i in order), "EOG"), 250, "V")
    data = np.concatenate([x[order], np.zeros((1, x.shape[1]))]) * 1e-6
    live = Live(Array(data, info, cues), decoder)
    found = live.run()
    assert "4 of 5 channels by name; converts V to uV" in live.messages[0].text
    for a, b in zip(found, offline, strict=True):
        # the recording is float32, and volts round elsewhere than microvolts
        np.testing.assert_allclose(a.features, b.features, atol=1e-5)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (StreamInfo(NAMES, 256, "uV"), "256 Hz, this was trained at 250 Hz"),
        (StreamInfo(("C3", "Cz", "C4", "O2"), 250, "uV"), "'O1' is not there"),
        (StreamInfo(NAMES, 250, "au"), "is in 'au', this was trained in 'uV'"),
    ],
)
def test_another_stream_is_refused_before_anything_is_decided(decoder, info, says):
    with pytest.raises(ContractError, match=says):
        Live(Array(np.zeros((4, 10)), info), decoder)


def test_the_time_of_every_stage_is_kept(decoder):
    x, cues = run(1)
    live = Live(Array(x, INFO, cues), decoder)
    live.run()
    report = live.report()
    assert set(report["latency"]) == {"receive", "buffer", "features", "decide", "send", "total"}
    assert report["latency"]["total"]["n"] == N_TRIALS
    assert sum(report["histogram"]["counts"]) == N_TRIALS
    assert 0 < report["cpu_share"] < 16
    assert report["clock"] is None
    live.source.corrections = [(0.0, 1.0, 0.0), (5.0, 1.0005, 0.0)]
    clock = live.report()["clock"]
    assert (clock["measured"], clock["offset_s"]) == (2, 1.0005)
    assert clock["moved_ms"] == pytest.approx(0.5)
    json.dumps(report)


class TestTimeline:
    def test_jitter_is_no_gap(self):
        rng = np.random.default_rng(0)
        line = Timeline(250)
        stamps = np.arange(1000) / 250 + rng.uniform(-0.01, 0.01, 1000)
        pieces = [p for i in range(0, 1000, 9) for p in line.push(stamps[i : i + 9])]
        assert all(p.gap is None for p in pieces)
        assert line.stop == 1000

    def test_jitter_of_several_samples_moves_no_cue_by_more_than_one(self):
        rng = np.random.default_rng(1)
        line = Timeline(250)
        stamps = np.arange(5000) / 250 + rng.uniform(-0.01, 0.01, 5000)  # in no order any more
        list(line.push(stamps))
        asked = np.arange(500, 4900, 37)
        found = np.array([line.position((k + 0.2) / 250) for k in asked])
        assert np.abs(found - asked).max() <= 1
        assert np.mean(found == asked) > 0.8

    def test_an_hour_on_a_clock_that_drifts(self):
        line = Timeline(250)
        stamps = 1e5 + np.arange(3600 * 250) / 250.025
        for i in range(0, len(stamps), 5000):
            assert all(p.gap is None for p in line.push(stamps[i : i + 5000]))
            assert line.position(stamps[i + 4000]) == i + 4000

    def test_time_that_runs_back_is_a_gap(self):
        line = Timeline(250)
        list(line.push(np.arange(100) / 250))
        piece = next(line.push(np.arange(10) / 250))
        assert piece.gap.missing_s == pytest.approx(-0.4, abs=1e-9)
        assert (line.stop, line.position(0.02), line.time_of(5)) == (10, 5, 0.02)

    def test_a_gap_inside_a_chunk_cuts_it(self):
        stamps = np.concatenate([np.arange(10), np.arange(60, 65)]) / 250
        pieces = list(Timeline(250).push(stamps))
        assert [(p.columns.start, p.columns.stop) for p in pieces] == [(0, 10), (10, 15)]
        assert pieces[1].gap.missing_s == pytest.approx(0.2)

    def test_the_nearest_sample_is_meant(self):
        line = Timeline(100)
        list(line.push(np.arange(100) / 100))
        assert [line.position(t) for t in (0.504, 0.506, -0.004, 5.0)] == [50, 51, 0, None]

    def test_old_stamps_are_forgotten(self):
        line = Timeline(100, history_s=1.0)
        for i in range(50):
            list(line.push(np.arange(i * 10, i * 10 + 10) / 100))
        assert line.position(1.0) is None
        assert line.position(4.5) == 450
        assert line.begin_s == pytest.approx(4.0)


class TestBundle:
    def test_a_saved_decoder_decides_the_same(self, decoder, offline, tmp_path):
        folder = save_bundle(decoder, tmp_path / "one", facts={"trials": 12})
        found = load_bundle(folder).replay(recording())
        assert all(same(a, b) for a, b in zip(found, offline, strict=True))

    @pytest.mark.parametrize("name", ["decoder.json", "weights.safetensors", "sha256"])
    def test_one_changed_byte_is_an_error(self, decoder, tmp_path, name):
        path = save_bundle(decoder, tmp_path / "one") / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
        with pytest.raises(FileError, match="was changed after it was saved"):
            load_bundle(tmp_path / "one")

    def test_nothing_is_overwritten_and_nothing_half_is_left(self, decoder, tmp_path, monkeypatch):
        save_bundle(decoder, tmp_path / "one")
        with pytest.raises(FileError, match="exists already"):
            save_bundle(decoder, tmp_path / "one")

        def fail(*_, **__):
            raise OSError("disk full")

        monkeypatch.setattr("neuro.stream.bundle.write_json", fail)
        with pytest.raises(OSError, match="disk full"):
            save_bundle(decoder, tmp_path / "two")
        assert [p.name for p in tmp_path.iterdir()] == ["one"]

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("chain", "ch_names"), [1, 2, 3, 4]),
            (("chain", "sfreq"), "1e30"),
            (("chain", "steps"), [{"step": "filter", "l_freq": 1, "order": 10**6}]),
            (("plan", "step_s"), 1e-9),
            (("plan", "running_s"), 1e12),
            (("family", "step_hz"), 1e-9),
            (("family",), {"family": "embedding", "output": "embedding", "identity": "../../x"}),
            (("family",), {"family": "embedding", "output": "embedding", "identity": "a" * 9999}),
            (("selection",), [["C3;10"], 7]),
            (("rule", "classes"), ["left", "left"]),
            (("rule",), None),
        ],
    )  # fmt: skip
    def test_a_hostile_description_is_one_error(self, decoder, tmp_path, path, value):
        from neuro.io.safe import sha256_of

        file = save_bundle(decoder, tmp_path / "one") / "decoder.json"
        told = json.loads(file.read_text())
        at = told
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        file.write_text(json.dumps(told))
        (tmp_path / "one" / "sha256").write_text(sha256_of(file) + "\n")
        with pytest.raises(FileError, match="does not describe a decoder"):
            load_bundle(tmp_path / "one")

    def test_a_folder_of_something_else_is_refused(self, tmp_path):
        with pytest.raises(FileError, match=r"decoder\.json is missing"):
            load_bundle(tmp_path)

    def test_a_rule_must_fit_the_selection(self, decoder):
        with pytest.raises(ContractError, match="1 features are selected, the rule has weights"):
            Decoder(extractor(), Selection(("C3;10",)), decoder.rule)


def test_sources_check_what_they_are_given():
    assert Array(np.zeros((4, 0)), INFO).clock() == 0
    with pytest.raises(ConfigError, match="chunk=0"):
        Array(np.zeros((4, 10)), INFO, chunk=0)
    with pytest.raises(ConfigError, match="speed=0"):
        Replay(recording(), speed=0)
