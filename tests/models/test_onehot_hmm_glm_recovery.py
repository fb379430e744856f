"""What the publication claims, on five draws of its demonstration's recipe."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import balanced_accuracy_score

from neuro.datasets import synthetic
from neuro.models._glm.sessions import session_table
from neuro.models.onehot_hmm_glm import OneHotHMMGLM
from neuro.models.onehot_hmm_glm.em import Chain, held_out, smoothed

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("recovery")]
SEEDS, TRAINED, STATES = range(5), 12, 5
SETTINGS = {"states": STATES, "link": "sigmoid", "diagonal": "edge"}


def agreement(path, truth):
    table = np.zeros((STATES, STATES))
    np.add.at(table, (truth, path), 1)
    rows, columns = linear_sum_assignment(-table)
    return table[rows, columns].sum() / len(path), columns


def baseline_map(weights):
    """Sign of the mean weight where its size passes a threshold that is good on these draws."""
    mean = weights.mean(axis=0)
    return np.sign(mean) * (np.abs(mean) >= 0.2)


def measured(seed):
    made = synthetic.switching_glm(seed, n_sessions=TRAINED + 8)
    counts, truth = [r.stream("spikes").data for r in made.recordings], made.truth
    train, test = counts[:TRAINED], counts[TRAINED:]
    path = truth["states"][:TRAINED].ravel()
    bias = np.broadcast_to(truth["bias"][:, None], (STATES, 20, 1))
    oracle = Chain(np.concatenate([truth["weights"], bias], axis=2), truth["transition"])
    one = OneHotHMMGLM(states=1, prior="none", link="sigmoid").fit(train)
    observation = one.config.observed()
    out = {"one": one.session_scores(test)}
    out["oracle"] = held_out(session_table(one.config, test), oracle, observation)
    best = smoothed(session_table(one.config, train), oracle, observation).gamma.argmax(axis=1)
    out["oracle_accuracy"] = agreement(best, path)[0]
    skeleton = truth["skeleton"].ravel()
    for prior in ("none", "gaussian", "onehot"):
        model = OneHotHMMGLM(prior=prior, **SETTINGS).fit(train)
        out[prior] = model.session_scores(test)
        found = np.concatenate([p.argmax(axis=0) for p in model.predict_proba(train)])
        out[f"{prior}_accuracy"], order = agreement(found, path)
        weights = model.coupling[order][..., 0]
        out[f"{prior}_r"] = np.corrcoef(weights.ravel(), truth["weights"].ravel())[0, 1]
        if prior == "none":
            out["baseline_map"] = balanced_accuracy_score(skeleton, baseline_map(weights).ravel())
    guess = model.connection_map().ravel()
    out["map"] = balanced_accuracy_score(skeleton, guess)
    rng = np.random.default_rng(0)
    shuffled = [balanced_accuracy_score(skeleton, rng.permutation(guess)) for _ in range(20)]
    out["permuted_map"] = float(np.mean(shuffled))
    out["types"] = balanced_accuracy_score(truth["types"].ravel(), model.types_[order].ravel())
    out["proposal"] = model.proposal_
    return out


@pytest.fixture(scope="module")
def draws():
    found = [measured(seed) for seed in SEEDS]
    for seed, one in zip(SEEDS, found, strict=True):  # shown with pytest -s
        print(seed, {k: round(float(np.mean(v)), 4) for k, v in one.items()})
    return found


def test_states_are_as_good_as_with_the_true_parameters(draws):
    for one in draws:
        # 24,000 bins: a standard error of 0.001; measured 0.995 to 1.001 of the oracle
        assert one["onehot_accuracy"] > 0.98 * one["oracle_accuracy"]
        assert one["none_accuracy"] > 0.98 * one["oracle_accuracy"]
        assert one["onehot_r"] > 0.96


def test_what_is_shared_helps_to_predict(draws):
    for one in draws:
        # over the eight sessions held out: the smallest of these is 9 standard errors
        for better, worse in (("oracle", "onehot"), ("onehot", "gaussian"), ("none", "one")):
            gain = one[better] - one[worse]
            assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(len(gain))
    # weights around a mean gain little here: on one draw of five nothing
    assert sum((one["gaussian"] - one["none"]).mean() > 0 for one in draws) >= 4


def test_the_map_finds_the_skeleton(draws):
    maps = np.array([[one["map"], one["baseline_map"], one["permuted_map"]] for one in draws])
    # 0.849 and 0.806 here; on ten fresh draws 0.82 and 0.79, the map better on seven
    assert maps[:, 0].mean() > maps[:, 1].mean()
    assert maps[:, 0].mean() > 0.8
    assert (np.abs(maps[:, 2] - 1 / 3) < 0.05).all()
    assert min(one["types"] for one in draws) > 0.85


def test_the_number_of_states_is_proposed(draws):
    assert [one["proposal"] for one in draws] == [STATES] * len(draws)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_more_states_than_there_are_do_not_predict_better(seed):
    made = synthetic.switching_glm(seed, n_states=3, n_sessions=14, n_bins=1000, switching=False)
    counts = [r.stream("spikes").data for r in made.recordings]
    one, three = (OneHotHMMGLM(states=n, link="sigmoid", rounds=10).fit(counts[:8]) for n in (1, 3))
    gain = three.session_scores(counts[8:]) - one.session_scores(counts[8:])
    assert gain.mean() < 2 * gain.std(ddof=1) / np.sqrt(len(gain))
    assert three.proposal_ == 1
