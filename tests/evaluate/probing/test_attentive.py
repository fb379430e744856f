import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.evaluate import Split, evaluate
from neuro.evaluate.probing.attentive import AttentiveProbe

torch = pytest.importorskip("torch")


def needle(n=240, n_tokens=12, d=8, seed=0):
    """One token, at any place, carries the class; the mean over tokens hides it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, n_tokens, d))
    y = rng.integers(0, 2, n)
    at = rng.integers(0, n_tokens, n)
    x[np.arange(n), at, 0] = 8.0
    x[np.arange(n), at, 1] = np.where(y == 1, 4.0, -4.0)
    return x, y


def test_the_token_that_matters_is_found():
    x, y = needle()
    probe = AttentiveProbe(2).fit(x[:160], y[:160])
    assert (probe.predict(x[160:]) == y[160:]).mean() > 0.9
    np.testing.assert_allclose(probe.predict_proba(x).sum(1), 1.0)


@pytest.fixture
def short(monkeypatch):
    """Forty steps, where what is learned does not matter."""
    monkeypatch.setattr("neuro.evaluate.probing.attentive._STEPS", 40)


def test_padding_is_not_read(short):
    x, y = needle(80)
    padded = np.concatenate([x, np.zeros((80, 5, 8))], axis=1)
    a, b = AttentiveProbe(2).fit(x, y), AttentiveProbe(2).fit(padded, y)
    # attention sums over more terms: rounding of float32 through 40 steps
    np.testing.assert_allclose(a.predict_proba(x), b.predict_proba(padded), atol=1e-3)


def test_seed_decides_and_the_global_stream_is_left_alone(short):
    x, y = needle(60)
    state = torch.random.get_rng_state()
    one, two = (AttentiveProbe(2, seed=3).fit(x, y).predict_proba(x) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not np.array_equal(one, AttentiveProbe(2, seed=4).fit(x, y).predict_proba(x))


def test_values_come_back_in_their_unit():
    x, _ = needle(160)
    y = 100 + 30 * x[:, :, :2].mean(1)
    said = AttentiveProbe().fit(x[:120], y[:120]).predict(x[120:])
    assert said.shape == (40, 2)
    assert abs(said.mean() - y.mean()) < 10
    assert np.corrcoef(said[:, 1], y[120:, 1])[0, 1] > 0.5


def test_training_stops_early_where_there_is_nothing_to_learn():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 6, 8)), rng.integers(0, 2, 60)
    assert AttentiveProbe(2).fit(x, y).steps_ < 150
    signal, label = needle()
    assert AttentiveProbe(2).fit(signal, label).steps_ > 150


def test_tokens_of_a_network_through_evaluate(trials):
    class Tokens(torch.nn.Module):
        def forward(self, batch):
            tokens = batch.x.unfold(2, 10, 10).mean(3).transpose(1, 2)
            return type("Out", (), {"tokens": tokens, "embedding": tokens.mean(1)})()

    results = evaluate(
        {"net": Tokens()}, trials(2.0, n=80), split=Split("block", test=0.5), probe="attentive",
        controls=("random_weights",), floors=["constant"], seeds=1,
    )  # fmt: skip
    assert results.row("net").value > 0.7


def test_jobs_side_by_side_change_nothing(short, trials):
    class Tokens(torch.nn.Module):
        def forward(self, batch):
            return type("Out", (), {"tokens": batch.x.transpose(1, 2)})()

    options = {
        "split": Split("block", n=3), "probe": "attentive", "controls": (), "seeds": 2,
        "floors": ["constant"],
    }  # fmt: skip
    one, two = (evaluate({"net": Tokens()}, trials(1.0), n_jobs=n, **options) for n in (1, 2))
    assert one.rows == two.rows


def test_a_network_without_tokens_says_so(trials):
    class Vector(torch.nn.Module):
        def forward(self, batch):
            return batch.x.mean(2)

    with pytest.raises(ConfigError, match=r"returns no tokens"):
        evaluate({"net": Vector()}, trials(), split=Split("block", n=4), probe="attentive")


def test_flat_features_are_refused():
    with pytest.raises(DataError, match="n_tokens"):
        AttentiveProbe(2).fit(np.ones((4, 3)), np.array([0, 1, 0, 1]))
