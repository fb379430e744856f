"""Hidden Markov recursions: a plain loop in logarithms, enumeration, other packages."""

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.stats.hmm import (
    StateFilter,
    filter_states,
    forward_backward,
    most_probable_path,
    sample_states,
    stationary,
)

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "onehot-hmm-glm"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")


def chain(n_states=3, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(n_states), n_states)


def table(n_bins, n_states=3, seed=1, scale=2.0):
    return scale * np.random.default_rng(seed).standard_normal((n_bins, n_states))


def in_logarithms(log_lik, transition, initial):
    """The textbook in extended precision, without scaling: gamma, moves, log marginal."""
    ll, moves = log_lik.astype(np.longdouble), np.log(transition.astype(np.longdouble))
    ahead, back = np.empty_like(ll), np.zeros_like(ll)

    def total(x, axis):
        most = x.max(axis=axis, keepdims=True)
        return np.squeeze(most, axis) + np.log(np.exp(x - most).sum(axis=axis))

    ahead[0] = np.log(initial) + ll[0]
    for t in range(1, len(ll)):
        ahead[t] = ll[t] + total(ahead[t - 1][:, None] + moves, 0)
    for t in range(len(ll) - 2, -1, -1):
        back[t] = total(moves + ll[t + 1] + back[t + 1], 1)
    marginal = total(ahead[-1], 0)
    pair = ahead[:-1, :, None] + moves + (ll[1:] + back[1:])[:, None] - marginal
    return np.exp(ahead + back - marginal), np.exp(pair).sum(axis=0), marginal


@pytest.mark.parametrize("offset", [0.0, -30.0, -3000.0], ids=["0", "m30", "m3000"])
def test_posterior_is_that_of_a_loop_in_extended_precision(offset):
    log_lik, initial = table(2000) + offset, np.array([0.2, 0.3, 0.5])
    found = forward_backward(log_lik, chain(), initial)
    gamma, moves, marginal = in_logarithms(log_lik, chain(), initial)
    # both get the same inputs, already rounded; what is left is ours alone
    np.testing.assert_allclose(found.gamma, gamma.astype(float), atol=1e-12)
    np.testing.assert_allclose(found.transitions, moves.astype(float), rtol=1e-10)
    assert found.log_lik[0] == pytest.approx(float(marginal), rel=1e-13)


def test_offsets_do_not_change_a_hundred_thousand_bins():
    log_lik = table(100_000)
    plain = forward_backward(log_lik, chain())
    for offset in (-30.0, -3000.0):
        moved = forward_backward(log_lik + offset, chain())
        # adding 3000 rounds each entry by 2e-13
        np.testing.assert_allclose(moved.gamma, plain.gamma, atol=1e-8)
        assert moved.log_lik[0] - offset * 1e5 == pytest.approx(
            plain.log_lik[0], rel=1e-10, abs=1e-3
        )


@pytest.mark.parametrize("offset", [0.0, -30.0, -3000.0], ids=["0", "m30", "m3000"])
def test_posterior_is_that_of_hmmlearn(offset):
    compiled = pytest.importorskip("hmmlearn._hmmc", reason="hmmlearn is not installed")
    log_lik, start = table(100_000) + offset, np.full(3, 1 / 3)
    marginal, ahead = compiled.forward_log(start, chain(), log_lik)
    both = ahead + compiled.backward_log(start, chain(), log_lik)
    theirs = np.exp(both - both.max(axis=1, keepdims=True))
    theirs /= theirs.sum(axis=1, keepdims=True)
    found = forward_backward(log_lik, chain())
    # its logarithms reach 3e8 at -3000 and are exact to 6e-8 of a nat there
    np.testing.assert_allclose(found.gamma, theirs, atol=1e-8 if offset > -1000 else 2e-7)
    assert found.log_lik[0] == pytest.approx(marginal, rel=1e-10)


@pytest.fixture(scope="module")
def numbers():
    from neuro.io.safe import load_npz

    return load_npz(FOLDER / "io.npz")


@frozen
@pytest.mark.parametrize("case", ["0", "m30", "m3000", "rows", "pi"])
def test_frozen_numbers_of_the_original(numbers, case):
    offsets = {"m30": -30.0, "m3000": -3000.0, "rows": numbers["fb_row_offset"][:, None]}
    log_lik = numbers["fb_loglik"] + offsets.get(case, 0.0)
    initial = numbers["fb_pi"] if case == "pi" else None
    found = forward_backward(log_lik, numbers["fb_P"], initial)
    # the original itself drifts by 1e-10 and 3e-9 at -3000
    np.testing.assert_allclose(found.gamma, numbers[f"fb_{case}_gamma"], atol=1e-9)
    np.testing.assert_allclose(found.transitions, numbers[f"fb_{case}_xi_sum"], atol=1e-7)
    path = most_probable_path(log_lik, numbers["fb_P"], initial)
    np.testing.assert_array_equal(path.states, numbers[f"fb_{case}_viterbi"])


def test_a_state_the_data_rule_out_wins_where_the_chain_allows_no_other():
    moves = np.array([[0.0, 1.0], [0.0, 1.0]])
    # the second state is exp(-5000) times as likely, far below the smallest float
    log_lik = np.array([[0.0, -5000.0], [0.0, -5000.0], [-1.0, -2.0]])
    found = forward_backward(log_lik, moves, np.array([1.0, 0.0]))
    np.testing.assert_array_equal(found.gamma, [[1, 0], [0, 1], [0, 1]])
    assert found.log_lik[0] == pytest.approx(-5002.0, rel=1e-15)
    assert np.isfinite(found.transitions).all()


def test_the_best_path_is_the_best_of_all():
    log_lik, moves = table(7), chain()
    initial = np.array([0.5, 0.2, 0.3])
    scores = {
        path: np.log(initial[path[0]])
        + sum(np.log(moves[a, b]) for a, b in pairwise(path))
        + sum(log_lik[t, k] for t, k in enumerate(path))
        for path in product(range(3), repeat=7)
    }
    found = most_probable_path(log_lik, moves, initial)
    assert tuple(found.states) == max(scores, key=scores.get)
    assert found.log_prob[0] == pytest.approx(max(scores.values()), rel=1e-13)


def test_filtering_uses_the_past_only():
    log_lik = table(50)
    whole = filter_states(log_lik, chain())
    start = filter_states(log_lik[:20], chain())
    np.testing.assert_array_equal(whole.filtered[:20], start.filtered)
    np.testing.assert_allclose(whole.predicted[1:], whole.filtered[:-1] @ chain(), atol=1e-15)
    total = forward_backward(log_lik, chain()).log_lik[0]
    assert whole.log_lik.sum() == pytest.approx(total, rel=1e-13)


def test_no_transition_leads_from_session_to_session():
    log_lik, lengths = table(60), np.array([10, 35, 15])
    together = forward_backward(log_lik, chain(), lengths=lengths)
    parts = [forward_backward(p, chain()) for p in np.split(log_lik, [10, 45])]
    np.testing.assert_array_equal(together.gamma, np.concatenate([p.gamma for p in parts]))
    np.testing.assert_allclose(together.transitions, sum(p.transitions for p in parts), rtol=1e-12)
    np.testing.assert_array_equal(together.log_lik, [p.log_lik[0] for p in parts])
    path = most_probable_path(log_lik, chain(), lengths=lengths)
    apart = [most_probable_path(p, chain()).states for p in np.split(log_lik, [10, 45])]
    np.testing.assert_array_equal(path.states, np.concatenate(apart))


def test_a_missing_bin_says_nothing_and_the_chain_goes_on():
    log_lik = table(30)
    gap = log_lik.copy()
    gap[10:13] = np.nan
    flat = log_lik.copy()
    flat[10:13] = 0.0
    found, same = forward_backward(gap, chain()), forward_backward(flat, chain())
    np.testing.assert_allclose(found.gamma, same.gamma, atol=1e-14)
    assert found.log_lik[0] == pytest.approx(same.log_lik[0], rel=1e-14)
    assert (filter_states(gap, chain()).log_lik[10:13] == 0).all()
    np.testing.assert_array_equal(
        most_probable_path(gap, chain()).states, most_probable_path(flat, chain()).states
    )


def test_transitions_may_change_from_bin_to_bin():
    moves = np.stack([chain(seed=t) for t in range(40)])
    log_lik = table(40)
    same = np.repeat(chain()[np.newaxis], 40, axis=0)
    one = forward_backward(log_lik, chain())
    np.testing.assert_array_equal(forward_backward(log_lik, same).gamma, one.gamma)
    found = filter_states(log_lik, moves)
    np.testing.assert_allclose(found.predicted[7], found.filtered[6] @ moves[7], atol=1e-15)


def test_moves_of_each_bin_add_up_to_the_transitions():
    log_lik, lengths = table(40), np.array([25, 15])
    each = forward_backward(log_lik, chain(), lengths=lengths, each_bin=True)
    together = forward_backward(log_lik, chain(), lengths=lengths)
    np.testing.assert_allclose(each.transitions.sum(axis=0), together.transitions, rtol=1e-12)
    # both margins of a move are posteriors; none leads into a session's first bin
    np.testing.assert_allclose(each.transitions[5].sum(axis=0), together.gamma[5], atol=1e-14)
    np.testing.assert_allclose(each.transitions[5].sum(axis=1), together.gamma[4], atol=1e-14)
    assert not each.transitions[[0, 25]].any()


def test_a_stream_takes_the_moves_of_its_bins():
    moves = np.stack([chain(seed=t) for t in range(40)])
    log_lik = table(40)
    stream = StateFilter(chain())
    found = [stream.push(log_lik[t : t + 1], moves[t : t + 1]).filtered[0] for t in range(40)]
    np.testing.assert_array_equal(found, filter_states(log_lik, moves).filtered)


@pytest.mark.parametrize("sizes", [[1] * 40, [7, 1, 32]], ids=["one", "some"])
def test_a_stream_gives_the_same_bits(sizes):
    log_lik = table(40)
    log_lik[5] = np.nan
    stream, parts, at = StateFilter(chain()), [], 0
    for size in sizes:
        parts.append(stream.push(log_lik[at : at + size]).filtered)
        at += size
        fresh = StateFilter(chain())
        fresh.load_state_dict(stream.state_dict())
        stream = fresh
    whole = filter_states(log_lik, chain()).filtered
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    stream.reset()
    np.testing.assert_array_equal(stream.push(log_lik[:3]).filtered, whole[:3])


def test_samples_follow_the_chain():
    moves = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.5, 0.5]])
    path = sample_states(200_000, moves, seed=0)
    seen = np.zeros((3, 3))
    np.add.at(seen, (path[:-1], path[1:]), 1)
    # the rarest row has 8,000 visits: a standard error of 0.006
    np.testing.assert_allclose(seen / seen.sum(axis=1, keepdims=True), moves, atol=0.02)
    assert seen[0, 2] == 0
    np.testing.assert_allclose(np.bincount(path) / len(path), stationary(moves), atol=0.02)


def test_many_states_and_one_are_fine():
    found = forward_backward(table(100, 40), chain(40))
    np.testing.assert_allclose(found.gamma.sum(axis=1), 1.0, atol=1e-12)
    alone = forward_backward(table(5, 1), np.ones((1, 1)))
    np.testing.assert_array_equal(alone.gamma, np.ones((5, 1)))
    assert alone.transitions.item() == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"log_lik": np.zeros(5)}, "n_bins, n_states"),
        ({"log_lik": np.array([[0.0, np.nan]] * 5)}, "NaN in some states"),
        ({"log_lik": np.full((5, 2), -np.inf)}, "-inf in every state"),
        ({"transition": np.ones((2, 2))}, "adding up to 1"),
        ({"transition": np.eye(3)}, "2 states need"),
        ({"transition": np.stack([np.eye(2)] * 4)}, "4 transition matrices for 5 bins"),
        ({"initial": np.array([0.5, 0.6])}, "adding up to 1"),
        ({"lengths": np.array([2, 2])}, "add up to 4"),
        ({"lengths": np.array([5, 0])}, "1 or more"),
    ],
    ids=["shape", "nan", "impossible", "rows", "size", "bins", "start", "sum", "empty"],
)
def test_what_cannot_be_is_refused(change, hint):
    given = {"log_lik": np.zeros((5, 2)), "transition": np.full((2, 2), 0.5)} | change
    with pytest.raises(DataError, match=hint):
        forward_backward(**given)


def test_streams_refuse_what_they_cannot_do():
    with pytest.raises(DataError, match="one transition matrix"):
        StateFilter(np.stack([np.eye(2)] * 2))
    with pytest.raises(DataError, match="The state has"):
        StateFilter(np.eye(2)).load_state_dict({"last": np.ones(3)})
    with pytest.raises(ConfigError, match="n_bins=0"):
        sample_states(0, np.eye(2), seed=0)
