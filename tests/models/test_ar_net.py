"""AR-Net: frozen numbers of the original, sparse recovery, least squares where due."""

from pathlib import Path

import numpy as np
import pytest
import torch

import neuro.models
from neuro.connectivity.directed import pdc_of
from neuro.errors import ConfigError, DataError
from neuro.models._sparse_lags import Layer, train
from neuro.models.ar_net import (
    ARNet,
    ARNetConfig,
    lambda_max,
    pruning_threshold,
    ramp,
    sparsity_penalty,
    stpe,
)
from neuro.signal import fit_var

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "ar-net"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")
TRUE = np.zeros(20)
TRUE[[0, 2, 9]] = 0.2, 0.3, -0.5


@pytest.fixture(scope="module")
def numbers():
    from neuro.io.safe import load_npz, read_tensors

    return load_npz(FOLDER / "io.npz"), read_tensors(FOLDER / "weights.safetensors")[0]


def series(n, seed=0, coefs=TRUE):
    e = np.random.default_rng(seed).standard_normal(n + 200)
    x = np.zeros_like(e)
    for t in range(len(coefs), n + 200):
        x[t] = e[t] + coefs @ x[t - 1 : t - 1 - len(coefs) : -1] if t > len(coefs) else e[t]
    return x[200:]


@frozen
@pytest.mark.parametrize("c", [("2", "2"), ("3", "3"), ("1", "1"), ("5", "2.5")], ids="-".join)
def test_penalty_and_its_gradient_are_those_of_the_original(numbers, c):
    arrays, _ = numbers
    w = torch.tensor(arrays["penalty_w"], dtype=torch.float64, requires_grad=True)
    value = sparsity_penalty(w, float(c[0]), float(c[1]))
    (gradient,) = torch.autograd.grad(value, w)
    tag = f"penalty_c{c[0]}_{c[1]}"
    # the original worked in float32
    assert value.item() == pytest.approx(float(arrays[f"{tag}_R"]), rel=2e-6)
    np.testing.assert_allclose(gradient, arrays[f"{tag}_grad_R"], rtol=2e-5)
    added = lambda_max(0.15, 0.01) * value.item()
    assert added == pytest.approx(float(arrays[f"{tag}_added"]), rel=2e-6)


@frozen
def test_strength_and_ramp_are_those_of_the_original(numbers):
    arrays, _ = numbers
    for s, c_lambda, noise, expected in arrays["lambda_max_table"]:
        assert lambda_max(s, c_lambda, noise) == pytest.approx(expected, rel=1e-9)
    for full in (0.5, 1.0):
        for epoch, step, _, strength in arrays[f"ramp_start0_full{full:g}"]:
            share = ramp((epoch + (step + 1) / 5) / 8, 0.0, full)
            expected = pytest.approx(strength, rel=1e-6, abs=1e-12)
            assert lambda_max(0.1, 0.01) * share == expected


@frozen
def test_error_of_coefficients_is_that_of_the_original(numbers):
    arrays, _ = numbers
    rows = zip(arrays["stpe_est"], arrays["stpe_real"], arrays["stpe"], strict=True)
    for estimate, truth, expected in rows:
        assert stpe(estimate, truth) == pytest.approx(expected, rel=1e-9)


def rerun(numbers, dtype, **options):
    """The original's training: given start, batches in file order."""
    arrays, weights = numbers
    first = weights["dar.layer_1.weight"].numpy()[:, ::-1].copy()  # it stores the oldest lag first
    layer = Layer(
        torch.tensor(first, dtype=dtype),
        torch.tensor(weights["dar.layer_1.bias"].numpy(), dtype=dtype),
        20,
        "univariate",
    )
    config = ARNetConfig(
        n_lags=20, batch_size=64, lr=1e-2, schedule="exponential", ramp="linear", c_lambda=0.02,
        **options,
    )  # fmt: skip
    samples = torch.tensor(arrays["series"][None], dtype=dtype), torch.arange(20, 1940)
    errors = train(layer, samples, config, lambda _: torch.arange(1920))
    return layer.weight.detach().numpy()[0], np.array(errors)


@frozen
def test_training_without_penalty_is_the_original_step_by_step(numbers):
    coefs, errors = rerun(numbers, torch.float32, epochs=10, sparsity=1.0)
    np.testing.assert_allclose(errors[:30], numbers[0]["v01_nospars_batch_losses"], atol=1e-6)
    np.testing.assert_allclose(coefs, numbers[0]["v01_nospars_coef_lag1_first"], atol=1e-6)


@frozen
def test_training_with_penalty_is_the_original_for_two_epochs(numbers):
    coefs, errors = rerun(numbers, torch.float64, epochs=2, sparsity=0.15)
    arrays = numbers[0]
    np.testing.assert_allclose(errors[:30], arrays["v01_s0.15_first2_batch_losses"], atol=1e-6)
    # the original multiplied the penalty's factor in float32, and the slope at 0 is infinite
    np.testing.assert_allclose(coefs, arrays["v01_s0.15_first2_coef_lag1_first"], atol=5e-6)


@frozen
def test_longer_sparse_training_agrees_in_what_matters(numbers):
    coefs, _ = rerun(numbers, torch.float32, epochs=10, sparsity=0.15)
    arrays = numbers[0]
    # beyond two epochs training is chaotic: the largest lags and the error level only
    assert set(np.argsort(-abs(coefs))[:3]) == {0, 2, 9}
    assert stpe(coefs, TRUE) == pytest.approx(float(arrays["v01_s0.15_stat_stpe"]), abs=8)


def test_without_penalty_it_is_least_squares():
    x = series(4000)
    model = ARNet(n_lags=20, epochs=15, refit=False).fit(x)
    expected = fit_var(x[None], 20).coefs[:, 0, 0]
    # stochastic steps leave a few thousandths; the sampling error is 0.011
    np.testing.assert_allclose(model.coefs_[0], expected, atol=0.006)


@pytest.mark.parametrize("seed", range(3))
def test_sparse_support_is_found_in_a_thousand_samples(seed):
    x, new = series(1000, seed), series(4000, seed + 100)
    model = ARNet(n_lags=20, sparsity=0.15).fit(x)
    full = fit_var(x[None], 20)
    assert (np.flatnonzero(model.support_[0]) + 1).tolist() == [1, 3, 10]
    # the paper reports 3.2 against 18.3
    assert stpe(model.coefs_[0], TRUE) < 0.5 * stpe(full.coefs[:, 0, 0], TRUE)
    assert model.noise_sd_[0] == pytest.approx(1, abs=0.06)
    error = np.nanmean((new - model.predict(new)[0]) ** 2)
    dense = np.mean(
        (new[20:] - sum(full.coefs[k, 0, 0] * new[19 - k : -1 - k] for k in range(20))) ** 2
    )
    assert error < dense


@pytest.mark.slow
def test_a_long_memory_is_found_without_shrinking_it():
    coefs = np.zeros(300)
    coefs[[0, 149]] = 0.3, 0.5
    x = series(30_000, 1, coefs)
    model = ARNet(n_lags=300, sparsity=0.01, epochs=4, batch_size=256).fit(x)
    assert (np.flatnonzero(model.support_[0]) + 1).tolist() == [1, 150]
    np.testing.assert_allclose(model.coefs_[0, [0, 149]], [0.3, 0.5], rtol=0.04)


def test_an_offset_and_a_scale_do_not_matter():
    x = series(1500)
    plain, moved = (ARNet(n_lags=10, epochs=4, sparsity=0.3).fit(v) for v in (x, 40 * x + 1000))
    np.testing.assert_allclose(moved.coefs_, plain.coefs_, atol=1e-9)
    np.testing.assert_allclose(moved.predict(40 * x + 1000), 40 * plain.predict(x) + 1000)


def test_vector_mode_finds_the_links_and_feeds_pdc():
    a = np.zeros((2, 4, 4))
    a[0] = np.diag([0.5, 0.4, 0.3, 0.5])
    a[0, 1, 0], a[1, 2, 1], a[1, 3, 0] = 0.5, -0.5, 0.4
    e = np.random.default_rng(0).standard_normal((4, 6000))
    for t in range(2, 6000):
        e[:, t] += a[0] @ e[:, t - 1] + a[1] @ e[:, t - 2]
    model = ARNet(n_lags=4, mode="vector", sparsity=0.15, epochs=6).fit(e)
    padded = np.concatenate([a, np.zeros((2, 4, 4))])
    np.testing.assert_array_equal(model.support_, padded != 0)
    np.testing.assert_allclose(model.coefs_, padded, atol=0.05)
    transfer, _ = model.to_var().transfer(np.linspace(0, 0.5, 65), 1.0)
    peak = pdc_of(transfer).max(axis=0) > 0.2
    np.testing.assert_array_equal(peak, (padded != 0).any(axis=0) | np.eye(4, dtype=bool))


def test_lags_do_not_cross_trials():
    x = series(1200)
    model = ARNet(n_lags=5, epochs=1, sparsity=1.0).fit([x[None, :500], x[None, 500:] + 50])
    rows = [np.stack([t[5 - k : len(t) - k] for k in range(1, 6)]) for t in (x[:500], x[500:] + 50)]
    design = np.vstack([np.hstack(rows), np.ones(1190)])
    kept = np.r_[model.support_[0], True]
    target = np.r_[x[5:500], x[505:] + 50]
    expected = np.linalg.lstsq(design[kept].T, target, rcond=None)[0]
    np.testing.assert_allclose(model.coefs_[0, model.support_[0]], expected[:-1], atol=1e-8)


def test_exact_zero_weights_stay_finite():
    layer = Layer(torch.zeros(1, 8, dtype=torch.float64), torch.zeros(1, dtype=torch.float64), 8,
                  "univariate")  # fmt: skip
    config = ARNetConfig(n_lags=8, sparsity=0.1, epochs=10, batch_size=32)
    samples = torch.tensor(series(500)[None]), torch.arange(8, 500)
    train(layer, samples, config, lambda _: torch.arange(492))
    assert bool(torch.isfinite(layer.weight).all())


def test_threshold_of_the_penalty():
    # the value the derivation gives for three lags of twenty, variance 2
    assert pruning_threshold(lambda_max(0.15, 0.01), 20, variance=2.0) == pytest.approx(
        0.0168, abs=5e-4
    )
    # by brute force over the curve it is the minimum of
    k = 0.05 * 3 / (4 * 3 * 20)
    w = np.linspace(1e-5, 1, 1_000_000)
    assert pruning_threshold(0.05, 20) == pytest.approx((w + k * w ** (1 / 3 - 1)).min(), rel=1e-4)
    assert pruning_threshold(0.0, 20) == 0


def test_the_same_seed_gives_the_same_model():
    x = series(800)
    first, again, other = (
        ARNet(n_lags=6, epochs=2, refit=False, seed=s).fit(x).coefs_ for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_saved_and_loaded_it_predicts_the_same(tmp_path):
    x = series(600)
    model = neuro.models.create("ar_net", "tiny").fit(np.stack([x, x[::-1]]))
    again = neuro.models.load(model.save(tmp_path / "m"))
    assert again.config == model.config
    np.testing.assert_array_equal(again.predict(x[None].repeat(2, 0)),
                                  model.predict(x[None].repeat(2, 0)))  # fmt: skip
    assert again.support_.dtype == bool


def test_score_is_the_explained_variance():
    model = ARNet(n_lags=20, sparsity=0.15, epochs=5).fit(series(3000))
    new = series(20_000, 9)
    assert model.score(new) == pytest.approx(1 - 1 / new.var(), abs=0.02)


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="NaN"):
        ARNet(n_lags=2).fit(np.r_[np.zeros(20), np.nan])
    with pytest.raises(DataError, match="Constant"):
        ARNet(n_lags=2).fit(np.ones(50))
    with pytest.raises(DataError, match="longer than"):
        ARNet(n_lags=50).fit(series(40))
    with pytest.raises(ConfigError, match="sparsity"):
        ARNet(sparsity=0.0)
    with pytest.raises(ConfigError, match="Did you mean 'n_lags'"):
        ARNet(n_lag=3)
    with pytest.raises(ConfigError, match="not fitted"):
        ARNet().predict(np.zeros(30))
