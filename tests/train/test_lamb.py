"""LAMB: the published step by hand, through `fit`, and over a checkpoint."""

import numpy as np
import pytest
import torch
from train_toys import Autoencoder, Rows, same_bits, weights

from neuro.errors import ConfigError
from neuro.train import fit
from neuro.train.lamb import Lamb


def _by_hand(w, gradients, lr, decay, betas=(0.9, 0.999), eps=1e-6):
    """Algorithm 2 of arXiv 1904.00962 in float64."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        r = (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        u = r + decay * w
        w = w - lr * np.linalg.norm(w) / np.linalg.norm(u) * u
    return w


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_the_published_ones(decay):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    w = torch.nn.Parameter(torch.tensor(start))
    optimizer = Lamb([w], lr=0.05, weight_decay=decay)
    for gradient in gradients:
        w.grad = torch.tensor(gradient)
        optimizer.step()
    # float64 on both sides
    assert np.allclose(w.detach().numpy(), _by_hand(start, gradients, 0.05, decay), atol=1e-12)


def test_a_step_has_the_size_of_its_weights_whatever_the_gradients():
    small, large = (torch.nn.Parameter(torch.full((4,), size)) for size in (1e-3, 1e3))
    before = [p.detach().clone() for p in (small, large)]
    optimizer = Lamb([small, large], lr=0.1, weight_decay=0.0)
    (1e4 * small.sum() + 1e-2 * large.sum()).backward()
    optimizer.step()
    for old, new in zip(before, (small, large), strict=True):
        assert ((new - old).norm() / old.norm()).item() == pytest.approx(0.1, rel=1e-4)


def test_weights_at_zero_can_leave_it():
    w = torch.nn.Parameter(torch.zeros(3))
    optimizer = Lamb([w], lr=0.1)
    w.sum().backward()
    optimizer.step()
    # a factor of 1, and |u| = 1 in each value
    assert w.tolist() == pytest.approx([-0.1] * 3, rel=1e-4)


def test_nothing_moves_without_a_gradient():
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = Lamb([w], lr=0.1, weight_decay=0.0)
    w.grad = torch.zeros(3)
    optimizer.step()
    assert w.tolist() == [1.0] * 3


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
    options = {"batch_size": 8, "optimizer": "lamb", "schedule": "constant", "warmup": 0,
               "device": "cpu", "progress": False}  # fmt: skip
    for steps in (5, 12):
        resumed = Autoencoder(hide=0.5)
        fit(resumed, Rows(), steps=steps, out=tmp_path / "resumed", **options)
    straight = Autoencoder(hide=0.5)
    fit(straight, Rows(), steps=12, out=tmp_path / "straight", **options)
    assert same_bits(weights(resumed), weights(straight))
    other = Autoencoder(hide=0.5)
    fit(other, Rows(), steps=12, out=tmp_path / "adamw", **{**options, "optimizer": "adamw"})
    assert not same_bits(weights(resumed), weights(other))


def test_impossible_settings_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="betas from 0 to below 1"):
        Lamb([torch.nn.Parameter(torch.ones(1))], betas=(0.9, 1.0))
    with pytest.raises(ConfigError, match=r"optimizer='lamp' is unknown. Did you mean 'lamb'"):
        fit(Autoencoder(), Rows(), steps=1, out=tmp_path, optimizer="lamp")
