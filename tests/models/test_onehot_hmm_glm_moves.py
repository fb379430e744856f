"""Moves between states that inputs drive: M-step, recovery, prediction, streaming, disk."""

import numpy as np
import pytest
from sklearn.base import clone

import neuro.models
from neuro.datasets import synthetic
from neuro.errors import ConfigError, DataError
from neuro.models.onehot_hmm_glm import OneHotHMMGLM
from neuro.models.onehot_hmm_glm.moves import best_moves, driven_moves, prior_moves

DRIVE = 2.0
SETTINGS = {"link": "sigmoid", "prior": "gaussian"}


def sessions_of(made):
    return tuple([r.stream(name).data for r in made.recordings] for name in ("spikes", "input"))


@pytest.fixture(scope="module")
def driven():
    """Eight units, two states, ten sessions; a slow input pulls to the even state."""
    made = synthetic.switching_glm(
        seed=11, n_units=8, n_states=2, n_sessions=10, n_bins=1200, drive=DRIVE
    )
    counts, inputs = sessions_of(made)
    model = OneHotHMMGLM(states=2, move_inputs=(0,), **SETTINGS).fit(counts[:7], inputs[:7])
    return model, counts, inputs, made.truth


def test_newton_finds_the_weights_of_many_known_moves():
    rng = np.random.default_rng(0)
    moves, drive = rng.dirichlet(np.ones(3), 3), rng.standard_normal((3, 3, 2))
    drive[np.arange(3), np.arange(3)] = 0
    inputs = rng.standard_normal((2000, 2))
    each = driven_moves(moves, drive, inputs)
    # expected moves of a chain that is in each state a third of the time
    start = prior_moves(3, 0.9), np.zeros((3, 3, 2))
    found, weights = best_moves(each / 3, inputs, np.full((3, 3), 1e-9), 0.0, *start)
    np.testing.assert_allclose(found, moves, atol=1e-6)
    np.testing.assert_allclose(weights, drive, atol=1e-5)
    _, held = best_moves(each / 3, inputs, np.full((3, 3), 1e-9), 1e3, *start)
    assert np.abs(held).max() < 0.5 * np.abs(drive).max()


def test_without_weights_newton_gives_the_counts():
    rng = np.random.default_rng(1)
    seen, pseudo = rng.random((50, 3, 3)), rng.random((3, 3))
    found, _ = best_moves(
        seen, np.zeros((50, 0)), pseudo, 1.0, prior_moves(3, 0.5), np.zeros((3, 3, 0))
    )
    total = seen.sum(axis=0) + pseudo
    np.testing.assert_allclose(found, total / total.sum(axis=1, keepdims=True), atol=1e-7)


def test_sign_and_size_of_the_drive_are_recovered(driven):
    model, counts, inputs, truth = driven
    path, states = np.concatenate(model.predict(counts, inputs)), truth["states"].ravel()
    order = [0, 1] if (path == states).mean() > 0.5 else [1, 0]
    assert (path == np.array(order)[states]).mean() > 0.9
    found = model.move_weights_[np.ix_(order, order)][..., 0]
    # some 150 moves each way: the standard error of a weight is about 0.25
    np.testing.assert_allclose(found, truth["move_weights"][..., 0], atol=0.75)
    np.testing.assert_array_equal(np.diagonal(found), 0.0)
    away = 1 - np.diagonal(model.transition_)
    np.testing.assert_allclose(away, 0.02, atol=0.012)


def test_inputs_of_the_moves_predict_what_was_held_out(driven):
    model, counts, inputs, _ = driven
    plain = OneHotHMMGLM(states=2, **SETTINGS).fit(counts[:7])
    gain = model.session_scores(counts[7:], inputs[7:]) - plain.session_scores(counts[7:])
    assert (gain > 0).all()
    wrong = [-one for one in inputs[7:]]
    assert model.score(counts[7:], wrong) < plain.score(counts[7:])


def test_inputs_that_do_nothing_get_no_weight(driven):
    _, counts, inputs, _ = driven
    rng = np.random.default_rng(2)
    noise = [rng.standard_normal(one.shape) for one in inputs]
    model = OneHotHMMGLM(states=2, move_inputs=(0,), **SETTINGS).fit(counts[:7], noise[:7])
    assert np.abs(model.move_weights_).max() < 0.5  # a standard error of about 0.15


def test_log_posterior_never_falls_with_driven_moves(driven):
    _, counts, inputs, _ = driven
    model = OneHotHMMGLM(
        states=3, prior="none", link="sigmoid", move_inputs=(0,), rounds=15, m_steps=30, tol=0.0,
        init="perturbed",
    ).fit(counts[:2], inputs[:2])  # fmt: skip
    assert len(model.trace_) > 8
    assert (np.diff(model.trace_) > -1e-8 * np.abs(model.trace_[:-1])).all()


def test_online_is_offline_with_inputs_of_both_kinds(driven):
    _, counts, inputs, _ = driven
    rng = np.random.default_rng(3)
    both = [np.concatenate([rng.standard_normal((1, u.shape[1])), u]) for u in inputs]
    model = OneHotHMMGLM(states=2, move_inputs=(1,), rounds=3, **SETTINGS).fit(counts[:3], both[:3])
    assert model.input_weights.shape == (2, 8, 1, 1)
    assert model.coupling.shape == (2, 8, 8, 1)
    session, extra = counts[8][:, :150], both[8][:, :150].copy()
    extra[0, 40] = extra[1, 90] = np.nan
    (wanted,) = model.filter_proba(session, extra)
    online = model.online()
    found = np.stack([online.push(*b) for b in zip(session.T, extra.T, strict=True)], axis=1)
    # a product of one row adds up in another order than one of many
    np.testing.assert_allclose(found, wanted, atol=1e-11)
    # a missing input of the moves counts as zero
    filled = np.where(np.arange(2)[:, None] == 1, np.nan_to_num(extra), extra)
    np.testing.assert_array_equal(model.filter_proba(session, filled)[0], wanted)
    with pytest.raises(DataError, match="8 counts and 2 inputs"):
        online.push(session[:, 0], extra[:1, 0])


def test_driven_moves_go_to_disk_and_back(driven, tmp_path):
    model, counts, inputs, _ = driven
    model.save(tmp_path / "m")
    again = neuro.models.load(tmp_path / "m")
    np.testing.assert_array_equal(again.move_weights_, model.move_weights_)
    assert again.config.move_inputs == (0,)
    assert again.score(counts[8], inputs[8]) == model.score(counts[8], inputs[8])


def test_scikit_learn_copies_the_inputs_of_the_moves():
    model = OneHotHMMGLM(move_inputs=(1, 0))
    assert clone(model).config == model.config


def test_inputs_of_the_moves_must_be_there(driven):
    _, counts, inputs, _ = driven
    with pytest.raises(DataError, match="Input 1 is to drive moves"):
        OneHotHMMGLM(move_inputs=(1,)).fit(counts[0], inputs[0])
    with pytest.raises(ConfigError, match="different numbers"):
        OneHotHMMGLM(move_inputs=(0, 0))
    with pytest.raises(ConfigError, match="no inputs"):
        OneHotHMMGLM(move_inputs=(0,), schedule="paper")
    one = OneHotHMMGLM(states=1, prior="none", move_inputs=(0,)).fit(counts[0], inputs[0])
    assert one.move_weights_.size == 0
