import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.errors import ConfigError
from neuro.train.schedules import Schedule, WarmupCosine, make_schedule


def test_cosine_rises_linearly_then_falls_to_nearly_zero():
    rate = Schedule("cosine", total=104, warmup=4)
    assert [rate(s) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rate(54) == pytest.approx(0.5)  # halfway between steps 4 and 104
    assert rate(103) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))


def test_constant_stays_at_one_after_the_warmup():
    rate = Schedule("constant", total=10, warmup=2)
    assert [rate(s) for s in range(10)] == [0.5] + 9 * [1.0]


@given(
    total=st.integers(1, 300),
    share=st.floats(0, 0.99),
    shape=st.sampled_from(["cosine", "constant"]),
)
def test_factor_is_a_positive_share_of_the_peak(total, share, shape):
    rate = make_schedule(shape, total, share)
    assert all(0 < rate(s) <= 1 for s in range(total))


def test_callable_gets_step_and_total_without_warmup():
    rate = make_schedule(lambda step, total: step / total, 4, 0.5)
    assert [rate(s) for s in range(4)] == [0.0, 0.25, 0.5, 0.75]


def test_callable_that_returns_nan_is_named():
    with pytest.raises(ConfigError, match=r"broken returned nan at step 3"):
        make_schedule(broken, 10, 0)(3)


def broken(step, total):
    return math.nan


def test_warmup_as_int_counts_steps():
    assert make_schedule("cosine", 1000, 1).warmup == 1
    assert make_schedule("cosine", 1000, 0.1).warmup == 100


@pytest.mark.parametrize("warmup", [1.0, -0.1, 1001, -1])
def test_impossible_warmup_is_refused(warmup):
    with pytest.raises(ConfigError, match="warmup="):
        make_schedule("cosine", 1000, warmup)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'cosine'"):
        make_schedule("cosin", 10, 0)


def test_same_until_compares_only_the_past():
    short, long = Schedule("constant", 10, 2), Schedule("constant", 20, 2)
    assert short.same_until(10, long)
    assert not short.same_until(2, Schedule("constant", 20, 4))
    assert not Schedule("cosine", 10).same_until(5, Schedule("cosine", 20))


def test_warmup_cosine_includes_both_ends_of_the_warmup():
    rate = WarmupCosine(base=2.0, lowest=0.5, start=0.2, warmup=0.4)
    # 4 rising steps, 6 falling ones
    assert [rate(s, 10) for s in range(4)] == pytest.approx([0.1, 0.4, 0.7, 1.0])
    assert rate(4, 10) == 1.0
    assert rate(7, 10) == pytest.approx(0.25 + 0.75 / 2)
    assert 0.25 < rate(9, 10) < 0.31
    assert WarmupCosine(warmup=0.0)(0, 10) == 1.0
    assert WarmupCosine(warmup=0.1)(0, 10) == 0.0


@pytest.mark.parametrize(
    "config",
    [{"base": 0.0}, {"warmup": 1.5}, {"lowest": 1.0}, {"start": -1.0}],
    ids=["base", "warmup", "lowest", "start"],
)
def test_impossible_warmup_cosine_is_refused(config):
    with pytest.raises(ConfigError, match=f"{next(iter(config))}="):
        WarmupCosine(**config)
