"""Noise on gradients."""

from types import SimpleNamespace

import pytest
import torch
from train_toys import Autoencoder, Rows, moments, same_bits, weights

from neuro.errors import ConfigError
from neuro.train import Callback, GradientNoise, fit


def noise_at(step, size=200_000, **options):
    """What is added to gradients of zero at one step."""
    model = torch.nn.Linear(size, 1, bias=False)
    model.weight.grad = torch.zeros_like(model.weight)
    GradientNoise(**options).on_gradients(SimpleNamespace(model=model, step=step))
    return model.weight.grad


@pytest.mark.parametrize("step", [0, 9, 99])
def test_variance_falls_with_the_step(step):
    found = noise_at(step, eta=0.3).var().item()
    # 200,000 draws: the variance is known to 0.3 % (1 sd)
    assert found == pytest.approx(0.3 / (1 + step) ** 0.55, rel=0.02)


def test_noise_is_the_steps_own():
    assert torch.equal(noise_at(3, seed=1), noise_at(3, seed=1))
    assert not torch.equal(noise_at(3, seed=1), noise_at(4, seed=1))
    assert not torch.equal(noise_at(3, seed=1), noise_at(3, seed=2))


class StopAt(Callback):
    def __init__(self, step=None):
        self.at = step

    def on_step(self, state):
        if state.step == self.at:
            raise KeyboardInterrupt


def test_a_resumed_run_goes_on_with_the_same_noise(tmp_path):
    def go(out, *, stop=None, eta=0.01):
        model = Autoencoder()
        run = fit(model, Rows(), steps=10, batch_size=8, lr=1e-2, out=out, device="cpu",
                  checkpoint_every=1, callbacks=[StopAt(stop), GradientNoise(eta)])  # fmt: skip
        return run, weights(model)

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "a", stop=4)
    resumed, straight = go(tmp_path / "a"), go(tmp_path / "b")
    assert same_bits(resumed[1], straight[1])
    assert same_bits(moments(resumed[0]), moments(straight[0]))
    silent = go(tmp_path / "c", eta=0.0)[1]
    assert not torch.equal(silent["encoder.weight"], straight[1]["encoder.weight"])


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="eta=-1"):
        GradientNoise(-1)
