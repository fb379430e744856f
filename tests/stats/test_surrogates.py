from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from neuro.errors import ConfigError, DataError
from neuro.stats import (
    circular_shift,
    other_subject,
    pearson,
    permutation_p,
    permute_blocks,
    permute_labels,
    phase_randomise,
)

RUNS, DRAWS = 1000, 199


def ar1(phi, shape, seed):
    noise = np.random.default_rng(seed).standard_normal((*shape[:-1], shape[-1] + 200))
    return signal.lfilter([1], [1, -phi], noise, axis=-1)[..., 200:]


def rate(p):
    """Share of p < 0.05; its standard error over 1,000 runs is 0.007."""
    return float(np.mean(np.asarray(p) < 0.05))


# --- calibration on data without an effect ---------------------------------------------------


def test_circular_shift_keeps_its_level():
    x, y = ar1(0.8, (2, RUNS, 300), 0)
    p = []
    for run in range(RUNS):
        null = circular_shift(y[run], n=DRAWS, seed=run)
        p.append(permutation_p(pearson(x[run], y[run]), pearson(x[run], null), tail="two-sided"))
    assert 0.03 <= rate(p) <= 0.07


def test_phase_randomisation_keeps_its_level():
    x, y = ar1(0.8, (2, RUNS, 300), 1)
    p = []
    for run in range(RUNS):
        null = phase_randomise(y[run], n=DRAWS, seed=run)
        p.append(permutation_p(pearson(x[run], y[run]), pearson(x[run], null), tail="two-sided"))
    assert 0.03 <= rate(p) <= 0.07


def difference(x, labels):
    """Mean of x under label 1 minus label 0, for one or many label vectors."""
    return labels @ x / labels.sum(-1) - (1 - labels) @ x / (1 - labels).sum(-1)


def test_label_permutation_within_groups_keeps_its_level():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(5), 8)
    labels = np.concatenate([rng.permutation([1] * k + [0] * (8 - k)) for k in (6, 5, 4, 3, 2)])
    inside, across = [], []
    for run in range(RUNS):
        # subjects differ in level and in their share of labels: a confound, not an effect
        x = rng.standard_normal(40) - groups
        observed = difference(x, labels)
        null = difference(x, permute_labels(labels, n=DRAWS, seed=run, groups=groups))
        inside.append(permutation_p(observed, null, tail="two-sided"))
        null = difference(x, permute_labels(labels, n=DRAWS, seed=run))
        across.append(permutation_p(observed, null, tail="two-sided"))
    assert 0.03 <= rate(inside) <= 0.07
    assert rate(across) > 0.2  # what ignoring the groups would have claimed


def test_block_permutation_keeps_its_level():
    rng = np.random.default_rng(3)
    blocks = np.repeat(np.arange(16), 10)
    labels = np.repeat(rng.permutation([0, 1] * 8), 10)
    whole, single = [], []
    for run in range(RUNS):
        x = rng.standard_normal(160) + 0.8 * np.repeat(rng.standard_normal(16), 10)
        observed = difference(x, labels)
        null = difference(x, permute_blocks(labels, blocks, n=DRAWS, seed=run))
        whole.append(permutation_p(observed, null, tail="two-sided"))
        null = difference(x, permute_labels(labels, n=DRAWS, seed=run))
        single.append(permutation_p(observed, null, tail="two-sided"))
    assert 0.03 <= rate(whole) <= 0.07
    assert rate(single) > 0.2  # what exchanging single trials would have claimed


def test_sequences_of_blocks_keep_their_level():
    # an autocorrelated target, exchanged in stretches of 40 samples
    x, y = ar1(0.6, (2, RUNS, 400), 4)
    blocks = np.arange(400) // 40
    p = []
    for run in range(RUNS):
        null = permute_blocks(y[run], blocks, n=DRAWS, seed=run)
        p.append(permutation_p(pearson(x[run], y[run]), pearson(x[run], null), tail="two-sided"))
    assert 0.03 <= rate(p) <= 0.07


def test_other_subject_keeps_its_level():
    subjects = np.repeat(np.arange(8), 2)
    p = []
    for run in range(RUNS):
        # a time course common to all (the task) makes every pairing correlate
        common = ar1(0.8, (1, 100), 10_000 + run)
        x, y = ar1(0.8, (2, 16, 100), run) + common
        scores = pearson(x[:, np.newaxis], y)
        null = scores[np.arange(16), other_subject(subjects, n=DRAWS, seed=run)].mean(axis=1)
        p.append(permutation_p(np.trace(scores) / 16, null))
    assert 0.03 <= rate(p) <= 0.07


def test_the_nulls_see_a_real_effect():
    x = ar1(0.8, (300,), 5)
    y = x + ar1(0.8, (300,), 6)
    r = pearson(x, y)
    for null in (circular_shift(y, n=999, seed=0), phase_randomise(y, n=999, seed=0)):
        assert permutation_p(r, pearson(x, null)) < 0.01


# --- what each null keeps --------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((3, 100)).cumsum(axis=1)


def test_circular_shift_rotates_all_channels_together():
    y = circular_shift(X, n=50, seed=0, min_shift=10)
    assert y.shape == (50, 3, 100)
    for surrogate in y:
        shift = next(k for k in range(100) if np.array_equal(np.roll(X, k, axis=1), surrogate))
        assert 10 <= shift <= 90


def test_circular_shift_draws_every_allowed_shift():
    y = circular_shift(np.arange(10), n=2000, seed=0, min_shift=3)
    assert set(y[:, 0].tolist()) == {3, 4, 5, 6, 7}
    y = circular_shift(np.arange(10), n=2000, seed=0)
    assert set(y[:, 0].tolist()) == set(range(1, 10))


@pytest.mark.parametrize("n_times", [100, 101])
def test_common_phases_keep_spectra_and_covariance(n_times):
    x = np.random.default_rng(1).standard_normal((3, n_times)).cumsum(axis=1)
    y = phase_randomise(x, n=4, seed=0)
    for surrogate in y:
        np.testing.assert_allclose(
            np.abs(np.fft.rfft(surrogate)), np.abs(np.fft.rfft(x)), atol=1e-9
        )
        np.testing.assert_allclose(np.cov(surrogate), np.cov(x), rtol=1e-9)
        np.testing.assert_allclose(surrogate.mean(axis=1), x.mean(axis=1), atol=1e-12)
    assert np.abs(pearson(y[:, 0], x[0])).max() < 0.999
    assert np.abs(y[0] - y[1]).max() > 0.1


@settings(deadline=None)
@given(
    codes=st.lists(st.integers(0, 3), min_size=2, max_size=30),
    seed=st.integers(0, 99),
)
def test_labels_move_only_inside_their_group(codes, seed):
    labels = np.arange(len(codes))
    groups = np.array(codes)
    if np.bincount(groups).max() < 2:
        return
    for row in permute_labels(labels, n=5, seed=seed, groups=groups):
        assert sorted(row) == list(range(len(codes)))
        assert np.array_equal(groups[row], groups)


def test_permutations_are_uniform():
    counts = Counter(map(tuple, permute_labels(np.arange(3), n=6000, seed=0).tolist()))
    assert len(counts) == 6
    # 1,000 expected each, standard deviation 29
    assert max(abs(c - 1000) for c in counts.values()) < 130


def test_vector_labels_stay_whole():
    labels = np.arange(12).reshape(6, 2)
    y = permute_labels(labels, n=10, seed=0)
    assert y.shape == (10, 6, 2)
    assert (y[..., 1] - y[..., 0] == 1).all()


def test_blocks_move_whole_with_their_sequence():
    blocks = np.array([2, 2, 0, 0, 1, 1])
    seen = set(map(tuple, permute_blocks(np.arange(6), blocks, n=200, seed=0).tolist()))
    assert len(seen) == 6  # 3! orders
    for row in seen:
        assert {row[0:2], row[2:4], row[4:6]} == {(0, 1), (2, 3), (4, 5)}


def test_blocks_stay_inside_their_group():
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    blocks, groups = labels.copy(), np.repeat(["a", "b"], 4)
    y = permute_blocks(labels, blocks, n=50, seed=0, groups=groups)
    assert set(y[:, :4].ravel().tolist()) == {0, 1}
    assert {tuple(r) for r in y[:, :4].tolist()} == {(0, 0, 1, 1), (1, 1, 0, 0)}


def test_blocks_scattered_in_time_are_found():
    blocks = np.array([0, 1, 0, 1])
    y = permute_blocks(np.array([5, 7, 6, 8]), blocks, n=50, seed=0)
    assert {tuple(r) for r in y.tolist()} == {(5, 7, 6, 8), (7, 5, 8, 6)}


@settings(deadline=None)
@given(codes=st.lists(st.integers(0, 4), min_size=2, max_size=25), seed=st.integers(0, 99))
def test_no_recording_meets_its_own_subject(codes, seed):
    subjects = np.array(codes)
    if 2 * np.bincount(subjects).max() > len(codes):
        with pytest.raises(DataError, match="more than half"):
            other_subject(subjects, n=3, seed=seed)
        return
    for row in other_subject(subjects, n=10, seed=seed):
        assert sorted(row) == list(range(len(codes)))
        assert (subjects[row] != subjects).all()


def test_pairings_exist_where_few_fit():
    subjects = np.repeat([0, 1, 2], 10)  # a random permutation fits once in 20,000
    pairs = other_subject(subjects, n=50, seed=0)
    assert (subjects[pairs] != subjects).all()
    assert len({tuple(row) for row in pairs.tolist()}) == 50


def test_pairings_reach_all_derangements():
    counts = Counter(map(tuple, other_subject(np.arange(4), n=9000, seed=0).tolist()))
    assert len(counts) == 9
    # 1,000 expected each, standard deviation 30
    assert max(abs(c - 1000) for c in counts.values()) < 130


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: circular_shift(X, n=3, seed=seed),
        lambda seed: phase_randomise(X, n=3, seed=seed),
        lambda seed: permute_labels(np.arange(9), n=3, seed=seed),
        lambda seed: permute_blocks(np.arange(9), np.arange(9) // 3, n=3, seed=seed),
        lambda seed: other_subject(np.arange(9), n=3, seed=seed),
    ],
)
def test_the_seed_decides(draw):
    assert np.array_equal(draw(7), draw(7))
    assert np.array_equal(draw(7), draw(np.random.default_rng(7)))
    assert not np.array_equal(draw(7), draw(8))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: circular_shift(X, n=0, seed=0), ConfigError, "n=0"),
        (lambda: circular_shift(X, n=1, seed=0, min_shift=51), ConfigError, "leaves no shift"),
        (lambda: phase_randomise(np.full(9, np.nan), n=1, seed=0), DataError, "finite"),
        (lambda: permute_labels([1, 1, 1], n=1, seed=0), DataError, "constant inside"),
        (
            lambda: permute_labels([0, 0, 1, 1], n=1, seed=0, groups=[0, 0, 1, 1]),
            DataError,
            "permute_blocks",
        ),
        (lambda: permute_labels([0, 1], n=1, seed=0, groups=[0]), DataError, "each of 2"),
        (lambda: permute_labels([1], n=1, seed=0), DataError, "At least two"),
        (lambda: permute_blocks([0, 1, 2], [0, 0, 1], n=1, seed=0), DataError, "sizes differ"),
        (
            lambda: permute_blocks([0, 0, 1], [0, 0, 1], n=1, seed=0, groups=[0, 1, 1]),
            DataError,
            "two groups",
        ),
        (
            lambda: permute_blocks([0, 1, 0, 1], [0, 0, 1, 1], n=1, seed=0, groups=[0, 0, 1, 1]),
            DataError,
            "single block",
        ),
        (lambda: permute_blocks([1, 1, 1, 1], [0, 0, 1, 1], n=1, seed=0), DataError, "constant"),
    ],
)
def test_bad_input_says_what_is_wrong(call, error, match):
    with pytest.raises(error, match=match):
        call()
