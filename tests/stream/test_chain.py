import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.signal import apply_filter, bandpass, resample
from neuro.stream import Chain, Filter, Pick, Rate, Reference
from neuro.stream.chain import matched

NAMES = ("C3", "Cz", "C4", "O1")
STEPS = [Pick(("C4", "C3", "O1")), Reference(), Filter(1, 40, notch=50), Rate(100)]


def signal(n=2000, seed=0):
    return np.random.default_rng(seed).standard_normal((4, n))


def in_chunks(chain, x, size):
    parts = [chain.push(x[:, i : i + size]) for i in range(0, x.shape[1], size)]
    return [np.concatenate(p, axis=-1) for p in zip(*parts, strict=True)]


@pytest.mark.parametrize("size", [1, 7, 32, 333, 2000])
def test_no_bit_depends_on_where_a_chunk_ends(size):
    x = signal()
    x[1, 50] = x[2, 700:710] = np.nan
    data, valid = in_chunks(Chain(NAMES, 250, STEPS), x, size)
    whole = Chain(NAMES, 250, STEPS).push(x)
    np.testing.assert_array_equal(data, whole.data)
    np.testing.assert_array_equal(valid, whole.valid)


def test_steps_are_those_of_the_offline_functions():
    x = signal()
    filtered = Chain(NAMES, 250, [Filter(8, 30)]).push(x).data
    np.testing.assert_array_equal(filtered, apply_filter(x, bandpass(8, 30, 250), phase="causal"))
    # the end of a stream has not been looked at yet, the beginning is the same bit for bit
    slower = Chain(NAMES, 250, [Rate(100)]).push(x).data
    np.testing.assert_array_equal(slower, resample(x, 250, 100)[0][:, : slower.shape[1]])
    referenced = Chain(NAMES, 250, [Reference()]).push(x).data
    np.testing.assert_allclose(referenced, x - x.mean(0), atol=1e-14)  # order of additions
    other = Chain(NAMES, 250, [Reference(("O1",))]).push(x).data
    np.testing.assert_array_equal(other, x - x[3])


def test_channels_are_found_whatever_their_case_and_dots():
    x = signal(10)
    chain = Chain(("c3..", "CZ.", "C4", "o1"), 250, [Pick(("C4", "C3"))])
    np.testing.assert_array_equal(chain.push(x).data, x[[2, 0]])
    assert chain.ch_names == ("C4", "C3")
    with pytest.raises(DataError, match=r"'P3' is not there"):
        Chain(NAMES, 250, [Pick(("P3",))])
    with pytest.raises(DataError, match="could mean"):
        Chain(("C3", "c3."), 250, [Pick(("C3..",))])


def test_bad_channels_take_no_part_in_the_reference():
    x = signal(10)
    out = Chain(NAMES, 250, [Reference(bads=("Cz",))]).push(x).data
    np.testing.assert_allclose(out, x - x[[0, 2, 3]].mean(0), atol=1e-14)  # order of additions
    with pytest.raises(ConfigError, match="No good channel"):
        Chain(NAMES, 250, [Reference(bads=NAMES)])


def test_a_missing_sample_spoils_what_a_filter_remembers_and_nothing_else():
    x, chain = signal(5000), Chain(NAMES, 250, [Filter(4, 40)])
    clean = Chain(NAMES, 250, [Filter(4, 40)]).push(x)
    assert clean.valid.all()
    x[0, 1000:1003] = np.nan
    out = chain.push(x)
    spoiled = np.flatnonzero(~out.valid)
    assert spoiled[0] == 1000
    assert 1002 < spoiled[-1] < 2000
    assert len(spoiled) == spoiled[-1] - 999
    np.testing.assert_array_equal(out.data[1:], clean.data[1:])
    # the filter forgets to a thousandth of what was invented
    late = slice(spoiled[-1] + 1, None)
    assert np.abs(out.data[0, late] - clean.data[0, late]).max() < 0.005


def test_state_goes_on_in_another_object():
    x = signal()
    first, second = Chain(NAMES, 250, STEPS), Chain(NAMES, 250, STEPS)
    x[0, 600] = np.nan
    whole = Chain(NAMES, 250, STEPS).push(x)
    head = first.push(x[:, :777])
    second.load_state_dict(first.state_dict())
    tail = second.push(x[:, 777:])
    np.testing.assert_array_equal(np.concatenate([head.data, tail.data], 1), whole.data)
    np.testing.assert_array_equal(np.concatenate([head.valid, tail.valid]), whole.valid)


def test_reset_forgets():
    x, chain = signal(), Chain(NAMES, 250, STEPS)
    first = chain.push(x).data
    chain.reset()
    np.testing.assert_array_equal(chain.push(x).data, first)


def test_json_makes_the_same_chain():
    x = signal()
    chain = Chain(NAMES, 250, STEPS)
    again = Chain.from_json(chain.to_json())
    assert again.steps == chain.steps
    np.testing.assert_array_equal(again.push(x).data, chain.push(x).data)


def test_a_chain_from_a_stranger_is_checked():
    good = Chain(NAMES, 250, STEPS).to_json()
    with pytest.raises(ConfigError, match="zero"):
        Chain.from_json(good | {"steps": [{"step": "filter", "l_freq": 1, "phase": "zero"}]})
    with pytest.raises(ConfigError, match="No signal step 'filtre'"):
        Chain.from_json(good | {"steps": [{"step": "filtre"}]})
    with pytest.raises(ConfigError, match="has no field 'low'"):
        Chain.from_json(good | {"steps": [{"step": "filter", "low": 1}]})
    with pytest.raises(ConfigError, match="incomplete"):
        Chain.from_json({"ch_names": NAMES})


def test_chunks_of_another_width_are_refused():
    with pytest.raises(DataError, match=r"shape \(4, n\), got \(3, 5\)"):
        Chain(NAMES, 250).push(np.zeros((3, 5)))
    with pytest.raises(DataError, match="different names"):
        Chain(("C3", "C3"), 250)


def test_what_a_missing_sample_could_have_changed_is_invalid():
    from neuro.signal import bandpass, settling_samples

    x = signal(3000)
    x[0, 1500] = np.nan
    valid = Chain(NAMES, 250, [Filter(4, 40)]).push(x).valid
    settling = settling_samples(bandpass(4, 40, 250))
    assert np.flatnonzero(~valid).tolist() == list(range(1500, 1501 + settling))
    out = Chain(NAMES, 250, [Rate(100)]).push(x)
    other = np.where(np.isnan(x), 1000.0, x)
    changed = np.abs(Chain(NAMES, 250, [Rate(100)]).push(other).data - out.data)[0] > 1e-5
    assert changed.sum() > 20
    assert not out.valid[changed].any()


def test_reset_forgets_the_value_that_bridges():
    x, chain = signal(10), Chain(NAMES, 250)
    chain.push(x + 100)
    chain.reset()
    x[0, 0] = np.nan
    assert chain.push(x).data[0, 0] == 0


def test_settings_of_a_wrong_kind_are_refused():
    for make in (
        lambda: Filter(1, 40, order=0),
        lambda: Filter(1, 40, order=10**6),
        lambda: Pick("C3"),
        lambda: Pick((1, 2)),
        lambda: Reference((1,)),
        lambda: Chain((1, 2), 250),
        lambda: Chain(NAMES, 10**9),
        lambda: Chain(NAMES, 250, [Filter(l_freq=1e-12)]),
        lambda: Chain(NAMES, 250, [Rate(10**6)]),
    ):
        with pytest.raises(ConfigError):
            make()
    with pytest.raises(DataError, match=r"could mean \['C3', 'C3'\]"):
        matched(("C3", "C3"), ("C3",))
