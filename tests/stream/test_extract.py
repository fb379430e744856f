from itertools import pairwise

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.stream import Chain, Covariance, Extractor, Filter, Plan, Power, Rate, Strength
from neuro.stream.buffer import RingBuffer

NAMES = ("C3", "Cz", "C4")
CUES = [(130, "left"), (900, "right"), (1700, "left")]


def signal(n=2900, seed=0):
    return np.random.default_rng(seed).standard_normal((3, n))


def make(family=None, plan=None, steps=()):
    return Extractor(Chain(NAMES, 250, steps), plan or Plan(), family or Power())


def stream(extractor, x, size, cues=CUES):
    out, waiting = [], list(cues)
    for i in range(0, x.shape[1], size):
        while waiting and waiting[0][0] < i + size:
            extractor.mark(*waiting.pop(0))
        out += extractor.push(x[:, i : i + size])
    return out


@pytest.mark.parametrize(
    "family", [Power(), Power(method="welch"), Strength(), Strength(method="wpli"), Covariance()],
    ids=["burg", "welch", "imcoh", "wpli", "covariance"],
)  # fmt: skip
def test_any_chunks_give_the_same_bits(family):
    x = signal()
    steps = [Filter(2, 45), Rate(125)]
    plan = Plan(running_s=2.0)
    whole = stream(make(family, plan, steps), x, 2900)
    assert sum(one.label != "" for one in whole) == 3
    assert sum(one.label == "" for one in whole) > 10
    for size in (1, 13, 250):
        found = stream(make(family, plan, steps), x, size)
        assert [(f.label, f.start, f.stop) for f in found] == [
            (f.label, f.start, f.stop) for f in whole
        ]
        for a, b in zip(found, whole, strict=True):
            np.testing.assert_array_equal(a.values, b.values)


def test_windows_of_a_trial_are_those_of_the_plan():
    plan = Plan()
    assert len(plan.starts(500)) == 18
    assert plan.starts(500)[:3].tolist() == [0, 80, 161]
    x = signal()
    found = stream(make(), x, 100)
    family = Power().fitted(NAMES, 250, 62)
    first = 130 + 250
    parts = [family.window(x[:, first + s : first + s + 62]) for s in plan.starts(250)]
    np.testing.assert_array_equal(found[0].values, family.combine(parts))
    assert (found[0].start, found[0].n_windows, found[0].n_dropped) == (first, 18, 0)


def test_a_trial_waits_for_its_last_sample():
    extractor, x = make(plan=Plan(0, 1)), signal(400)
    extractor.mark(100, "left")
    end = 100 + int(Plan(0, 1).starts(250)[-1]) + 62
    assert extractor.push(x[:, : end - 1]) == []
    assert extractor.waiting == 1
    assert [f.label for f in extractor.push(x[:, end - 1 : end])] == ["left"]


def test_a_cue_goes_to_the_nearest_sample_of_the_new_rate():
    extractor = make(plan=Plan(0, 1), steps=[Rate(125)])
    for sample in (248, 251):  # 124 and 125.5
        extractor.mark(sample, "left")
    assert [one.start for one in extractor.push(signal())] == [124, 126]


def test_a_trial_longer_than_the_history_keeps_its_beginning():
    x, plan = signal(), Plan(0, 6)
    whole = make(plan=plan)
    whole.mark(100, "left")
    expected = whole.push(x)[0]
    short = Extractor(Chain(NAMES, 250), plan, Power(), history_s=1.0)
    short.mark(100, "left")
    found = [one for i in range(0, 2900, 50) for one in short.push(x[:, i : i + 50])]
    np.testing.assert_array_equal(found[0].values, expected.values)


def test_a_cue_may_come_late_but_not_too_late():
    x = signal(2600)
    on_time, late = make(plan=Plan(0, 1)), make(plan=Plan(0, 1))
    on_time.mark(300, "left")
    expected = on_time.push(x)[0]
    late.push(x)
    late.mark(300, "left")
    np.testing.assert_array_equal(late.push(x[:, :0])[0].values, expected.values)
    short = Extractor(Chain(NAMES, 250), Plan(0, 1), Power(), history_s=1.0)
    short.push(x)
    with pytest.raises(DataError, match="came too late"):
        short.mark(300, "left")


def test_one_missing_sample_changes_one_trial_only():
    x = signal()
    clean = stream(make(), x, 64)
    x[1, 900 + 250 + 300] = np.nan
    found = stream(make(), x, 64)
    np.testing.assert_array_equal(found[0].values, clean[0].values)
    np.testing.assert_array_equal(found[2].values, clean[2].values)
    assert found[1].n_dropped in (1, 2)  # windows overlap by a third
    assert found[1].n_windows + found[1].n_dropped == 18
    assert found[1].usable
    assert not np.array_equal(found[1].values, clean[1].values)


def test_a_trial_without_a_whole_window_says_so():
    x = signal()
    x[:, 900:1900] = np.nan
    found = stream(make(), x, 64)
    assert [f.usable for f in found] == [True, False, True]
    assert (found[1].n_windows, found[1].n_dropped) == (0, 18)
    assert np.isnan(found[1].values).all()


def test_reset_gives_up_what_waits_and_counts():
    extractor, x = make(plan=Plan(0, 1)), signal()
    extractor.mark(0, "left")
    extractor.push(x[:, :100])
    extractor.reset()
    assert (extractor.waiting, extractor.segment, extractor.n_pushed) == (0, 1, 0)
    extractor.mark(0, "right")
    found = extractor.push(x)
    assert [(f.label, f.segment) for f in found] == [("right", 1)]


def test_running_values_look_back_over_the_same_windows():
    x = signal(1000)
    extractor = make(plan=Plan(0, 1, running_s=1.0))
    found = extractor.push(x)
    family, starts = Power().fitted(NAMES, 250, 62), Plan(0, 1).starts(250)
    parts = [family.window(x[:, s : s + 62]) for s in starts]
    np.testing.assert_array_equal(found[0].values, family.combine(parts))
    assert found[0].stop == starts[-1] + 62
    assert {b.stop - a.stop for a, b in pairwise(found)} == {40, 41}


def test_memory_does_not_grow_with_the_stream():
    extractor = Extractor(Chain(NAMES, 250), Plan(0, 1), Power(), history_s=2.0)
    for _ in range(40):
        extractor.push(signal(1000))
    assert extractor._kept._data.shape[1] < 8000


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"start_s": 1, "stop_s": 1.1}, "does not hold a window"),
        ({"step_s": 0}, "step_s=0 must be positive"),
        ({"running_s": 0.1}, "shorter than a window"),
        ({"running_s": float("nan")}, "running_s=nan"),
        ({"running_s": 1e9}, "3600 s and 100000 windows at most"),
        ({"step_s": 1e-7}, "100000 windows at most"),
        ({"stop_s": float("inf")}, "3600 s"),
    ],
)
def test_plans_that_cannot_be(values, says):
    with pytest.raises(ConfigError, match=says):
        Plan(**values)


class TestBuffer:
    def test_samples_by_number_across_growth(self):
        x = np.arange(9000.0)[None]
        buffer = RingBuffer(1)
        for i in range(0, 9000, 450):
            buffer.append(x[:, i : i + 450], np.ones(450, dtype=bool))
            buffer.forget(i - 1000)
        assert (buffer.first, buffer.stop) == (7550, 9000)
        np.testing.assert_array_equal(buffer.samples(7600, 8999), x[:, 7600:8999])

    def test_what_is_gone_is_an_error(self):
        buffer = RingBuffer(1)
        buffer.append(np.zeros((1, 10)), np.ones(10, dtype=bool))
        buffer.forget(4)
        with pytest.raises(DataError, match="kept are 4 to 10"):
            buffer.samples(3, 5)
        with pytest.raises(DataError, match="kept are 4 to 10"):
            buffer.whole(4, 11)
