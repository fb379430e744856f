"""State-switching GLM: frozen numbers, EM, priors, recovery, streaming, bad input."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import neuro.models
from neuro.datasets import synthetic
from neuro.errors import ConfigError, DataError
from neuro.models._glm.rates import Observation
from neuro.models._glm.sessions import SpikeGLMConfig, session_table
from neuro.models.onehot_hmm_glm import OneHotHMMGLM, OneHotHMMGLMConfig, choose_states
from neuro.models.onehot_hmm_glm.em import Chain, held_out, smoothed
from neuro.models.onehot_hmm_glm.paper import (
    expected_log_lik,
    floored_moves,
    gaussian_prior,
    onehot_loss,
    softened,
    type_prior,
    typed_weights,
)
from neuro.models.onehot_hmm_glm.priors import (
    Quadratic,
    categorical_log_prior,
    concrete_log_density,
    find_types,
)
from neuro.models.onehot_hmm_glm.start import cut_windows
from neuro.models.poisson_glm import PoissonGLM
from neuro.stats.hmm import forward_backward, most_probable_path

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "onehot-hmm-glm"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")


def agreement(path, truth, n_states):
    """Share of bins after the best renaming, and the found state of each true one."""
    table = np.zeros((n_states, n_states))
    np.add.at(table, (truth, path), 1)
    rows, columns = linear_sum_assignment(-table)
    return table[rows, columns].sum() / len(path), columns


def counts_of(made):
    return [rec.stream("spikes").data for rec in made.recordings]


# ---- frozen numbers of the original -----------------------------------------------


@pytest.fixture(scope="module")
def numbers():
    from neuro.io.safe import load_npz, read_tensors

    weights = read_tensors(FOLDER / "weights.safetensors")[0]
    return load_npz(FOLDER / "io.npz"), {k: v.numpy() for k, v in weights.items()}


def first_sequence(arrays, link="sigmoid"):
    table = session_table(SpikeGLMConfig(link=link), arrays["spikes"][0].T)
    return table, Observation("poisson", link, floor=1e-8)


def chain_of(weights, tag):
    w, b = weights[f"{tag}._weight"], weights[f"{tag}._bias"]
    full = np.concatenate([w, np.broadcast_to(b[:, None], (*w.shape[:2], 1))], axis=2)
    return w, b, Chain(full, weights[f"{tag}.transition_matrix"])


@frozen
@pytest.mark.parametrize("link", ["sigmoid", "softplus", "exp"])
def test_e_step_and_objective_are_those_of_the_original(numbers, link):
    arrays, weights = numbers
    tag = f"hg_{link}"
    table, observation = first_sequence(arrays, link)
    w, b, chain = chain_of(weights, tag)
    from neuro.models._glm.fit import log_likelihoods, predictors

    rates = np.stack([observation.rate(predictors(table.design, one)) for one in chain.weights])
    np.testing.assert_allclose(rates, arrays[f"{tag}_rates"], rtol=1e-9)
    log_lik = log_likelihoods(table, chain.weights, observation)
    np.testing.assert_allclose(log_lik, arrays[f"{tag}_emission"], rtol=1e-9)
    found = forward_backward(log_lik, chain.moves)
    np.testing.assert_allclose(found.gamma, arrays[f"{tag}_gamma"], atol=1e-9)
    np.testing.assert_allclose(found.transitions, arrays[f"{tag}_xi_sum"], rtol=1e-9)
    path = most_probable_path(log_lik, chain.moves).states
    np.testing.assert_array_equal(path, arrays[f"{tag}_viterbi"])
    q, by_weight, by_bias = expected_log_lik(table, observation, found, w, b, chain.moves)
    assert q == pytest.approx(float(arrays[f"{tag}_Q"]), rel=1e-8)
    np.testing.assert_allclose(by_weight, arrays[f"{tag}_Q_grad_weight"], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(by_bias, arrays[f"{tag}_Q_grad_bias"], rtol=1e-8)
    moved = floored_moves(found.transitions)
    np.testing.assert_allclose(moved, arrays[f"{tag}_P_updated"], rtol=1e-9)


@frozen
def test_floor_under_transitions_is_that_of_the_original(numbers):
    arrays, _ = numbers
    found = floored_moves(arrays["P_update_xi"])
    np.testing.assert_allclose(found, arrays["P_update_result"], rtol=1e-9)


@frozen
def test_gaussian_prior_is_that_of_the_original(numbers):
    arrays, weights = numbers
    table, observation = first_sequence(arrays)
    w, b, chain = chain_of(weights, "ghg")
    value, slope = gaussian_prior(w, weights["ghg.weight_prior_mean"])
    assert value == pytest.approx(float(arrays["ghg_logprior_given_mean"]), rel=1e-9)
    np.testing.assert_allclose(slope, arrays["ghg_logprior_given_mean_grad_weight"], rtol=1e-9)
    found = smoothed(table, chain, observation)
    q, by_weight, by_bias = expected_log_lik(table, observation, found, w, b, chain.moves)
    prior, slope = gaussian_prior(w, w.mean(axis=0))
    assert -q - prior == pytest.approx(float(arrays["ghg_loss"]), rel=1e-8)
    np.testing.assert_allclose(-by_weight - slope, arrays["ghg_loss_grad_weight"], rtol=1e-7)
    np.testing.assert_allclose(-by_bias, arrays["ghg_loss_grad_bias"], rtol=1e-7)


@frozen
def test_one_hot_loss_is_that_of_the_first_version(numbers):
    arrays, weights = numbers
    table, observation = first_sequence(arrays)
    tag = "ohg1."
    logits, raw = weights[f"{tag}_adjacency"], weights[f"{tag}_strength"]
    shared, bias = weights[f"{tag}_adjacency_prior"], weights[f"{tag}_bias"]
    moves = weights[f"{tag}transition_matrix"]
    soft = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(typed_weights(soft, raw), arrays["ohg1_weight_soft"], rtol=1e-9)
    value, by_logits, by_shared = type_prior(logits, shared)
    assert value == pytest.approx(float(arrays["ohg1_logprior"]), rel=1e-9)
    np.testing.assert_allclose(by_logits, arrays["ohg1_logprior_grad_adjacency"], atol=1e-8)
    np.testing.assert_allclose(by_shared, arrays["ohg1_logprior_grad_prior"], atol=1e-8)
    intended, *_ = concrete_log_density(np.log(soft), np.log(arrays["ohg1_prior"]), 0.2)
    assert intended.sum() == pytest.approx(float(arrays["ohg1_logprior_intended"]), rel=1e-9)
    found = forward_backward(arrays["ohg1_soft_emission"], moves)
    loss, slopes = onehot_loss(
        table, observation, found, (bias, logits, raw, shared), moves, arrays["ohg1_gumbel"]
    )
    assert loss == pytest.approx(float(arrays["ohg1_loss"]), rel=1e-8)
    names = ("bias", "adjacency", "strength", "adjacency_prior")
    for name, slope in zip(names, slopes, strict=True):
        np.testing.assert_allclose(slope, arrays[f"ohg1_loss_grad_{name}"], rtol=1e-7, atol=1e-7)
    hard = np.eye(3)[logits.argmax(axis=-1)]
    np.testing.assert_allclose(typed_weights(hard, raw), arrays["ohg1_weight_hard"], rtol=1e-9)


@frozen
def test_halving_rule_is_that_of_the_original(numbers):
    arrays, _ = numbers
    np.testing.assert_allclose(softened(np.array([15.0, -9, 2])), arrays["ohg1_extreme_fixed_adj"])
    np.testing.assert_allclose(
        softened(np.array([-30.0, 1, 0])), arrays["ohg1_extreme_fixed_prior"]
    )


@frozen
@pytest.mark.parametrize("temperature", ["0.2", "0.5", "1.0", "2.0"])
def test_concrete_density_is_that_of_the_original(numbers, temperature):
    arrays, _ = numbers
    tag = f"concrete_{temperature}"
    value, by_a, by_p = concrete_log_density(
        arrays["concrete_log_x"], arrays["concrete_log_p"], float(temperature)
    )
    np.testing.assert_allclose(value, arrays[tag], rtol=1e-9)
    np.testing.assert_allclose(by_a, arrays[f"{tag}_grad_log_x"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(by_p, arrays[f"{tag}_grad_log_p"], rtol=1e-9, atol=1e-9)


@frozen
@pytest.mark.parametrize("tag", ["v2a", "v2c"])
def test_categorical_term_is_that_of_the_second_version(numbers, tag):
    arrays, weights = numbers
    a = np.log(arrays[f"{tag}_adjacency"])
    shared = weights[f"{tag}.logit_adjacency_prior"]
    log_p = shared - np.log(np.exp(shared).sum(axis=-1, keepdims=True))
    value, *_ = categorical_log_prior(a, log_p, rewards_entropy=False)
    wanted = arrays[f"{tag}_nb_adjacency_log_prob"] - arrays[f"{tag}_nb_adjacency_entropy"]
    assert value.sum() == pytest.approx(float(wanted), rel=1e-9)


# ---- priors -----------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_concrete_density_adds_up_to_one(temperature):
    # integrated over logits, where the corners of the simplex are far away
    y = np.linspace(-70, 70, 701)
    grid = np.stack([*np.meshgrid(y, y, indexing="ij"), np.zeros((len(y), len(y)))], axis=-1)
    log_a = grid - np.logaddexp.reduce(grid, axis=-1, keepdims=True)
    log_p = np.log([0.2, 0.5, 0.3])
    value, *_ = concrete_log_density(log_a, log_p, temperature)
    total = np.exp(value + log_a.sum(axis=-1)).sum() * (y[1] - y[0]) ** 2
    assert total == pytest.approx(1.0, abs=1e-3)


def test_scale_of_the_location_does_not_matter():
    rng = np.random.default_rng(0)
    log_a, log_p = np.log(rng.dirichlet(np.ones(3), 5)), rng.standard_normal((5, 3))
    one, *_ = concrete_log_density(log_a, log_p, 0.5)
    other, *_ = concrete_log_density(log_a, log_p + np.log(1000.0), 0.5)
    np.testing.assert_allclose(one, other, atol=1e-10)


@pytest.mark.parametrize("prior", ["concrete", "categorical", "categorical_entropy"])
def test_slopes_of_type_priors_are_those_of_finite_differences(prior):
    rng = np.random.default_rng(1)
    log_a, log_p = np.log(rng.dirichlet(np.ones(3), 4)), rng.standard_normal((4, 3))

    def value(a, p):
        if prior == "concrete":
            return concrete_log_density(a, p, 0.5)
        return categorical_log_prior(a, p, rewards_entropy=prior == "categorical")

    _, by_a, by_p = value(log_a, log_p)
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        up, down = value(log_a + step, log_p)[0], value(log_a - step, log_p)[0]
        np.testing.assert_allclose(by_a[:, k], (up - down) / 2e-6, atol=1e-7)
        up, down = value(log_a, log_p + step)[0], value(log_a, log_p - step)[0]
        np.testing.assert_allclose(by_p[:, k], (up - down) / 2e-6, atol=1e-7)


@pytest.mark.parametrize("prior", ["concrete", "categorical", "categorical_entropy"])
def test_types_of_a_known_quadratic(prior):
    rng = np.random.default_rng(2)
    truth = rng.choice([-1.0, 0.0, 1.0], (3, 6, 6), p=[0.2, 0.6, 0.2]) * 0.8
    gram = np.repeat(400 * np.eye(6)[np.newaxis], 3, axis=0)
    # standard errors of 0.05: strengths of 0.8 are 16 of them
    seen = truth + 0.05 * rng.standard_normal(truth.shape)
    data = Quadratic(seen, np.zeros_like(seen), gram, np.ones((3, 6)))
    found = find_types(data, prior=prior, temperature=0.5)
    strong = np.sign(truth) != 0
    np.testing.assert_array_equal(found.hard[strong], np.sign(truth)[strong])
    if prior != "categorical":  # rewarding entropy keeps weak edges undecided
        assert (found.hard[~strong] == 0).mean() > 0.9
    np.testing.assert_allclose(found.shared.sum(axis=-1), 1.0, atol=1e-12)


def test_types_of_strengths_that_no_exponential_holds():
    # too few bins for their units ask for such weights
    seen = np.array([[[900.0, 0.0], [0.0, -900.0]]])
    data = Quadratic(seen, np.zeros_like(seen), np.eye(2)[np.newaxis], np.ones((1, 2)))
    found = find_types(data, prior="concrete", temperature=0.5, n_steps=5)
    np.testing.assert_array_equal(found.hard, np.sign(seen))
    assert np.isfinite(found.probability).all()


# ---- one state, EM ----------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """Eight units, two states, four sessions."""
    made = synthetic.switching_glm(seed=3, n_units=8, n_states=2, n_sessions=6, n_bins=800)
    return counts_of(made), made.truth


def test_one_state_is_a_poisson_glm(small):
    counts, _ = small
    model = OneHotHMMGLM(states=1, prior="none", link="exp", n_lags=3).fit(counts)
    glm = PoissonGLM(link="exp", n_lags=3).fit(counts)
    np.testing.assert_allclose(model.weights_[0], glm.weights_, atol=1e-4)
    assert model.score(counts) == pytest.approx(glm.log_lik_, abs=1e-7)


@pytest.mark.parametrize("bias", ["state", "shared"])
def test_log_posterior_never_falls(small, bias):
    counts, _ = small
    model = OneHotHMMGLM(
        states=3, prior="none", link="sigmoid", bias=bias, rounds=25, m_steps=40, tol=0.0,
        init="perturbed",
    ).fit(counts[:3])  # fmt: skip
    trace = model.trace_
    assert len(trace) > 10
    assert (np.diff(trace) > -1e-8 * np.abs(trace[:-1])).all()
    assert trace[-1] > trace[0] + 10
    if bias == "shared":
        np.testing.assert_array_equal(model.bias, np.broadcast_to(model.bias[0], model.bias.shape))


def test_states_couplings_and_types_are_recovered(small):
    counts, truth = small
    model = OneHotHMMGLM(states=2, link="sigmoid", diagonal="edge").fit(counts[:4])
    path = np.concatenate(model.predict(counts[:4]))
    share, order = agreement(path, truth["states"][:4].ravel(), 2)
    full = np.concatenate(
        [truth["weights"], np.broadcast_to(truth["bias"][:, None], (2, 8, 1))], axis=2
    )
    table = session_table(model.config, counts[:4])
    oracle = smoothed(table, Chain(full, truth["transition"]), model.config.observed())
    best, _ = agreement(oracle.gamma.argmax(axis=1), truth["states"][:4].ravel(), 2)
    assert share > 0.95 * best
    found = model.coupling[order][..., 0]
    assert np.corrcoef(found.ravel(), truth["weights"].ravel())[0, 1] > 0.9
    transposed = found.transpose(0, 2, 1)
    assert np.corrcoef(transposed.ravel(), truth["weights"].ravel())[0, 1] < 0.5
    # 64 edges a state; weak ones are missed
    assert (model.types_[order] == truth["types"]).mean() > 0.85
    np.testing.assert_array_equal(np.sign(found), model.types_[order])
    assert model.connection_map().shape == (8, 8)
    assert set(np.unique(model.connection_map(share=0.9))) <= {-1, 0, 1}
    np.testing.assert_allclose(model.shared_types_.sum(axis=-1), 1.0)
    one = OneHotHMMGLM(states=1, prior="none", link="sigmoid").fit(counts[:4])
    assert model.bits_per_spike(counts[4:]) > one.bits_per_spike(counts[4:]) > 0
    gain = model.score(counts[4:]) - one.score(counts[4:])
    per_bin = np.concatenate(counts[4:], axis=1).sum(axis=0).mean()
    bits = model.bits_per_spike(counts[4:]) - one.bits_per_spike(counts[4:])
    assert bits == pytest.approx(gain / (per_bin * np.log(2)), rel=1e-6)


def test_occupancy_orders_states(small):
    counts, _ = small
    model = OneHotHMMGLM(states=3, prior="gaussian", link="sigmoid", rounds=3).fit(counts)
    share = np.concatenate(model.predict_proba(counts), axis=1).mean(axis=1)
    assert (np.diff(share) < 0.02).all()
    assert model.types_.size == 0
    with pytest.raises(ConfigError, match="knows no types"):
        model.connection_map()


def test_fit_of_several_starts_is_no_worse(small):
    counts, _ = small
    one = OneHotHMMGLM(states=2, prior="none", link="sigmoid", init="random", seed=1)
    many = OneHotHMMGLM(states=2, prior="none", link="sigmoid", init="random", seed=1, n_starts=3)
    assert many.fit(counts[:3]).trace_[-1] >= one.fit(counts[:3]).trace_[-1] - 1.0


def test_windows_cover_sessions_and_do_not_cross_them():
    windows = cut_windows(np.array([53, 10, 100]), 25)
    flat = windows[windows >= 0]
    np.testing.assert_array_equal(flat, np.arange(163))
    for row in windows:
        inside = row[row >= 0]
        assert np.searchsorted([53, 63], inside[0], "right") == np.searchsorted(
            [53, 63], inside[-1], "right"
        )


# ---- prediction, streaming, disk --------------------------------------------------


@pytest.fixture(scope="module")
def fitted(small):
    counts, _ = small
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((2, c.shape[1])) for c in counts]
    settings = {"states": 2, "prior": "gaussian", "input_lags": 3, "rounds": 3}
    return OneHotHMMGLM(**settings).fit(counts, inputs), counts, inputs


def test_held_out_score_is_filtered(fitted):
    model, counts, inputs = fitted
    table = session_table(model.config, counts, inputs)
    chain = Chain(model.weights_, model.transition_)
    found = model.session_scores(counts, inputs)
    np.testing.assert_allclose(found, held_out(table, chain, model.config.observed()))
    marginal = smoothed(table, chain, model.config.observed()).log_lik / table.lengths
    np.testing.assert_allclose(found, marginal, rtol=1e-12)
    assert model.score(counts, inputs) == pytest.approx(found.mean(), rel=1e-12)


def test_filtered_states_do_not_see_the_future(fitted):
    model, counts, inputs = fitted
    changed = counts[0].copy()
    changed[:, 300:] = 5
    one = model.filter_proba(counts[0], inputs[0])[0][:, :300]
    np.testing.assert_array_equal(model.filter_proba(changed, inputs[0])[0][:, :300], one)
    later = model.predict_proba(changed, inputs[0])[0][:, :300]
    assert np.abs(later - model.predict_proba(counts[0], inputs[0])[0][:, :300]).max() > 1e-3


def test_online_filter_is_the_offline_filter(fitted):
    model, counts, inputs = fitted
    session, extra = counts[0][:, :200].astype(float), inputs[0][:, :200].copy()
    session[2, 50] = np.nan
    extra[1, 120] = np.nan
    (wanted,) = model.filter_proba(session, extra)
    online = model.online()
    found = np.stack([online.push(*b) for b in zip(session.T, extra.T, strict=True)], axis=1)
    # a product of one row adds up in another order than one of many
    np.testing.assert_allclose(found, wanted, atol=1e-11)
    online.reset()
    np.testing.assert_allclose(online.push(session[:, 0], extra[:, 0]), wanted[:, 0], atol=1e-11)
    with pytest.raises(DataError, match="8 counts and 2 inputs"):
        online.push(session[:3, 0], extra[:, 0])
    with pytest.raises(DataError, match="whole numbers"):
        online.push(session[:, 0] + 0.5, extra[:, 0])


def test_parameters_have_their_shapes(fitted):
    model, *_ = fitted
    assert model.n_states == 2
    assert model.coupling.shape == (2, 8, 8, 1)
    assert model.input_weights.shape == (2, 8, 2, 3)
    assert model.bias.shape == (2, 8)
    np.testing.assert_allclose(model.transition_.sum(axis=1), 1.0)


def test_interrupted_and_resumed_is_uninterrupted(small, tmp_path):
    counts, _ = small
    config = OneHotHMMGLMConfig(states=2, link="sigmoid", rounds=6, tol=0.0)
    whole = OneHotHMMGLM(config).fit(counts[:3])

    class Stop(Exception):
        pass

    def stop(done):
        if done.number == 2:
            raise Stop

    with pytest.raises(Stop):
        OneHotHMMGLM(config).fit(counts[:3], out=tmp_path / "m", progress=stop)
    assert neuro.models.load(tmp_path / "m").stage_ == 0
    seen = []
    again = OneHotHMMGLM(config).fit(
        counts[:3], out=tmp_path / "m", progress=lambda r: seen.append(r.number)
    )
    assert seen[0] == 3
    for name in OneHotHMMGLM.fitted:
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    with pytest.raises(ConfigError, match="other settings or data"):
        OneHotHMMGLM(replace(config, l2=2.0)).fit(counts[:3], out=tmp_path / "m")
    done = OneHotHMMGLM(config).fit(counts[:3], out=tmp_path / "m")
    np.testing.assert_array_equal(done.weights_, whole.weights_)


# ---- number of states -------------------------------------------------------------


def test_number_of_states_is_chosen_by_prediction(small):
    counts, _ = small
    model = OneHotHMMGLM(states="1:3", prior="gaussian", link="sigmoid", folds=3, rounds=8)
    model.fit(counts)
    assert model.n_states == 2
    assert model.candidates_.tolist() == [1, 2, 3]
    assert model.candidate_scores_.shape == (3, 3)
    assert model.proposal_ == 2


def test_data_without_states_get_one():
    made = synthetic.switching_glm(
        seed=4, n_units=8, n_states=3, n_sessions=4, n_bins=600, switching=False
    )
    config = OneHotHMMGLMConfig(states="1:2", prior="gaussian", link="sigmoid", folds=4, rounds=6)
    found = choose_states(counts_of(made), config=config)
    assert found.best == 1
    gain = found.scores[1] - found.scores[0]
    assert gain.mean() < 2 * gain.std(ddof=1) / 2


# ---- choices, other observations --------------------------------------------------


def test_choices_with_two_strategies():
    rng = np.random.default_rng(5)
    state = np.repeat([0, 1, 0, 1, 0, 1], 250)
    tone = rng.standard_normal((1, 1500))
    engaged = 1 / (1 + np.exp(-4 * tone[0]))
    choice = (rng.random(1500) < np.where(state == 0, engaged, 0.85)).astype(float)
    model = OneHotHMMGLM(
        observation="bernoulli", coupling=False, self_history=False, prior="none", l2=0.1
    ).fit(choice, tone)
    share, order = agreement(model.predict(choice, tone)[0], state, 2)
    assert share > 0.9
    weights = model.input_weights[order, 0, 0, 0]
    assert weights[0] > 2.5
    assert abs(weights[1]) < 0.8
    assert model.bias[order[1], 0] == pytest.approx(np.log(0.85 / 0.15), abs=0.5)


@pytest.mark.parametrize("basis", ["lags", "exponential"])
def test_without_couplings_there_are_no_types(small, basis):
    counts, _ = small
    model = OneHotHMMGLM(states=2, coupling=False, basis=basis, n_lags=3, rounds=2).fit(counts[:2])
    assert model.types_.size == 0
    own = np.zeros((8, 8), dtype=bool)
    np.fill_diagonal(own, True)
    assert ((model.coupling != 0).any(axis=(0, 3)) == own).all()


def test_broad_counts_have_states_too():
    rng = np.random.default_rng(6)
    state = np.repeat([0, 1, 0, 1], 300)
    mean = np.where(state == 0, 0.5, 3.0)
    counts = rng.negative_binomial(2, 2 / (2 + np.tile(mean, (6, 1))))
    model = OneHotHMMGLM(observation="negative_binomial", prior="none", n_lags=2).fit(counts)
    share, _ = agreement(model.predict(counts)[0], state, 2)
    assert share > 0.95
    assert np.isfinite(model.dispersion_).all()


# ---- the paper's schedule ---------------------------------------------------------


@pytest.mark.parametrize("prior", ["none", "gaussian", "onehot"])
def test_published_schedule_runs_and_its_loss_falls(small, prior):
    counts, _ = small
    model = neuro.models.create(
        "onehot_hmm_glm", "paper", states=2, prior=prior, epochs=3, steps=10
    ).fit([c[:, :150] for c in counts[:2]])
    # the trace is minus the loss; visits of the first sequence
    assert model.trace_[4] > model.trace_[0]
    assert np.isfinite(model.weights_).all()
    assert model.types_.shape == ((2, 8, 8) if prior == "onehot" else (0, 0, 0))


# ---- bad input --------------------------------------------------------------------


def test_silent_units_gaps_and_empty_sessions(small):
    counts, _ = small
    holes = [c.astype(float) for c in counts[:3]]
    holes[0][3, 100:110] = np.nan
    holes[1][5] = 0
    holes[2][:] = 0
    for session in holes:
        session[7] = 0
    model = OneHotHMMGLM(states=2, link="sigmoid", rounds=4).fit([*holes, holes[0][:, :3]])
    assert np.isfinite(model.weights_).all()
    assert [p.shape for p in model.predict(holes)] == [(800,)] * 3
    assert np.isfinite(model.score(holes))


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"states": 0}, "from 1 to 50"),
        ({"states": "3:2"}, "from 1 to 50"),
        ({"states": "two"}, "from 1 to 50"),
        ({"basis": "raised_cosine"}, "one basis function"),
        ({"stay": 1.0}, "between 0 and 1"),
        ({"temperature": 0.0}, "above 0"),
        ({"schedule": "paper", "observation": "bernoulli"}, "Poisson counts"),
        ({"n_starts": 0}, "at least 1"),
    ],
    ids=["zero", "range", "word", "cosines", "stay", "cold", "paper", "starts"],
)
def test_settings_that_cannot_be_are_refused(settings, hint):
    with pytest.raises(ConfigError, match=hint):
        OneHotHMMGLM(**settings)


def test_more_states_than_windows_are_refused():
    with pytest.raises(DataError, match="too few for 5 states"):
        OneHotHMMGLM(states=5).fit(np.ones((2, 120)))
    with pytest.raises(ConfigError, match="not fitted"):
        OneHotHMMGLM().predict(np.ones((2, 120)))


def test_settings_survive_json():
    config = OneHotHMMGLMConfig(states="1:5")
    assert OneHotHMMGLMConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert config.candidates() == (1, 2, 3, 4, 5)
