import numpy as np
import pytest

from neuro.errors import DataError
from neuro.evaluate.measures import feature_variance


def made(n=2000, seed=0):
    """Activations whose variance is known: 0.8 subject, 0.1 day, 0.1 noise."""
    rng = np.random.default_rng(seed)
    subject = rng.permutation(np.arange(n) % 4)
    day = rng.standard_normal(n)
    code = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])[subject] * np.sqrt(0.4)
    x = np.column_stack([code, np.sqrt(0.1) * day, np.sqrt(0.1) * rng.standard_normal(n)])
    return x, subject.astype(str), day


def test_shares_are_the_truth():
    x, subject, day = made()
    shares = {s.name: s for s in feature_variance(x, {"day": day, "subject": subject}, seed=0)}
    # standard error of a variance over 2,000 rows: 3 %
    assert shares["subject"].share == pytest.approx(0.8, abs=0.02)
    assert shares["day"].share == pytest.approx(0.1, abs=0.01)
    assert shares["subject"].null == pytest.approx(3 / 1999, rel=0.5)
    assert shares["subject"].unique == pytest.approx(shares["subject"].share, abs=0.01)


def test_a_small_share_may_be_decoded_perfectly():
    x, subject, _ = made()
    rng = np.random.default_rng(1)
    task = rng.permutation(np.arange(2000) % 2)
    x = np.column_stack([10 * x, task + 0.01 * rng.standard_normal(2000)])
    shares = {
        s.name: s for s in feature_variance(x, {"task": task.astype(str), "s": subject}, seed=0)
    }
    assert shares["task"].share < 0.01
    assert shares["task"].decoding == 1.0
    assert (shares["task"].metric, shares["task"].chance) == ("balanced_accuracy", 0.5)
    assert shares["s"].chance == 0.25


def test_features_that_go_together_have_little_of_their_own():
    x, subject, day = made()
    twin = day + 0.1 * np.random.default_rng(2).standard_normal(2000)
    shares = {
        s.name: s
        for s in feature_variance(x, {"day": day, "twin": twin, "subject": subject}, seed=0)
    }
    assert shares["twin"].share == pytest.approx(shares["day"].share, rel=0.05)
    assert shares["twin"].unique < 0.002
    assert shares["day"].unique < 0.01


def test_nothing_is_found_in_noise():
    rng = np.random.default_rng(3)
    x, noise = rng.standard_normal((300, 20)), rng.standard_normal(300)
    (share,) = feature_variance(x, {"noise": noise}, seed=0)
    assert share.share == pytest.approx(share.null, abs=0.003)
    assert abs(share.decoding) < 0.2


def test_rows_without_a_feature_are_left_out():
    x, subject, day = made(400)
    day[:100] = np.nan
    subject[390:] = ""
    shares = feature_variance(x, {"day": day, "subject": subject}, seed=0)
    assert {s.n for s in shares} == {290}


@pytest.mark.slow
def test_the_easy_feature_takes_more_variance_than_the_hard_one():
    """A network that computes both perfectly spends its variance on the easy one."""
    import torch
    from torch import nn

    wins = 0
    for seed in range(3):
        torch.manual_seed(seed)
        x = (torch.rand(1000, 16) > 0.5).float()
        easy, hard = x[:, 0], (x[:, 1] != x[:, 2]).float()
        body = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        model = nn.Sequential(body, nn.Linear(64, 2))
        optimiser = torch.optim.Adam(model.parameters(), 3e-3)
        target = torch.stack([easy, hard], 1)
        for _ in range(200):
            optimiser.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(x - 0.5), target).backward()
            optimiser.step()
        with torch.no_grad():
            assert ((model(x - 0.5) > 0) == target.bool()).float().mean() > 0.99
            acts = body(x - 0.5).numpy()
        share = {
            s.name: s.share
            for s in feature_variance(
                acts, {"easy": easy.numpy().astype(str), "hard": hard.numpy().astype(str)},
                seed=0, n_null=2,
            )
        }  # fmt: skip
        wins += share["easy"] > share["hard"]
    assert wins == 3


@pytest.mark.parametrize(
    ("x", "features", "match"),
    [
        (np.zeros((50, 2)), {"a": np.arange(50.0)}, "constant"),
        (np.eye(50), {"a": np.ones(50)}, "'a' is constant"),
        (np.eye(50), {"a": np.arange(49.0)}, "needed"),
        (np.eye(50), {}, "needed"),
        (np.eye(50), {"a": np.full(50, np.nan)}, "Only 0 rows"),
        (np.full((50, 2), np.nan), {"a": np.arange(50.0)}, "not finite"),
    ],
    ids=["constant", "feature", "length", "none", "missing", "nan"],
)
def test_bad_input_says_what_is_wrong(x, features, match):
    with pytest.raises(DataError, match=match):
        feature_variance(x, features, seed=0)
