import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.errors import ConfigError
from neuro.train.order import Order, epoch_order, make_generator, step_seed


@given(n=st.integers(1, 40), batch=st.integers(1, 25), seed=st.integers(0, 2**32))
def test_every_example_is_seen_once_an_epoch(n, batch, seed):
    order = Order(n, batch, seed)
    steps = -(-3 * n // batch)  # three epochs or a little more
    flat = np.concatenate([order.rows(s) for s in range(steps)])
    for epoch in range(3):
        assert sorted(flat[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))


@given(
    n=st.integers(1, 40),
    micro=st.integers(1, 4),
    world=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    step=st.integers(0, 100),
)
def test_shares_of_all_processes_make_up_the_global_batch(n, micro, world, accumulate, step):
    batch = micro * world * accumulate
    shares = [
        Order(n, batch, 5, rank, world, accumulate).share(step, part)
        for rank in range(world)
        for part in range(accumulate)
    ]
    assert np.concatenate(shares).tolist() == Order(n, batch, 5).rows(step).tolist()


def test_rows_depend_on_nothing_but_seed_and_step():
    forward, backward = Order(30, 7, 1), Order(30, 7, 1)
    late_first = [backward.rows(s).tolist() for s in reversed(range(20))]
    assert [forward.rows(s).tolist() for s in range(20)] == late_first[::-1]
    assert forward.rows(0).tolist() != Order(30, 7, 2).rows(0).tolist()


def test_epochs_are_shuffled_differently():
    assert epoch_order(0, 0, 100).tolist() != epoch_order(0, 1, 100).tolist()


def test_order_in_a_worker_gives_the_same_rows():
    order = Order(30, 7, 1)
    order.rows(3)
    assert pickle.loads(pickle.dumps(order)).rows(3).tolist() == order.rows(3).tolist()


def test_uneven_share_is_refused_with_a_size_that_works():
    with pytest.raises(ConfigError, match=r"batch_size=10 .*2 processes x accumulate=2.*=8"):
        Order(30, 10, 0, world=2, accumulate=2)


def test_no_examples_is_refused():
    with pytest.raises(ConfigError, match="no training examples"):
        Order(0, 4, 0)


def test_seeds_differ_between_steps_processes_and_purposes():
    seeds = {
        step_seed(0, purpose, step, rank)
        for purpose in ("loss", "global", "valid")
        for step in range(20)
        for rank in range(4)
    }
    assert len(seeds) == 3 * 20 * 4


def test_generator_repeats_itself_and_runs_on_the_cpu():
    a, b = make_generator(3, "loss", 7), make_generator(3, "loss", 7)
    assert a.device.type == "cpu"
    assert a.get_state().equal(b.get_state())
