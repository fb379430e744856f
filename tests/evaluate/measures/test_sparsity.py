import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neuro.errors import ConfigError, DataError
from neuro.evaluate.measures import activation_sparsity, hidden_layers
from neuro.evaluate.measures.sparsity import _set, _table, _watched


def net(d=8, hidden=400, activation=None, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(d, hidden), activation or nn.ReLU(), nn.Linear(hidden, d))


def flat(model, x):
    return model(x).square().mean()


def data(n=4, d=8, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(500, d, generator=draw) for _ in range(n)]


def loss(model, x):
    """One, plus how far the output is from that of the whole network."""
    whole = F.linear(model[1](model[0](x)), model[2].weight, model[2].bias)
    return (model(x) - whole).square().mean() + 1.0


def quarter_active():
    """A net in which exactly one unit in four is active for every input."""
    model = net()
    with torch.no_grad():
        model[0].weight.mul_(0.01)
        model[0].bias.fill_(-1.0)
        model[0].bias[::4] = 1.0
    return model


def test_exact_zeros_are_counted_exactly():
    found = activation_sparsity(quarter_active(), data(), loss=loss)
    assert found.layers[0].zeros == 0.75
    assert found.layers[0].dead >= 300
    assert found.sparsity >= 0.75


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.GELU(), nn.SiLU()])
def test_the_loss_rises_by_the_tolerance_on_held_out_batches(activation):
    model = net(activation=activation)
    found = activation_sparsity(model, data(6), loss=loss, tolerance=0.01)
    assert 0.009 <= found.increase <= 0.011
    assert found.loss_sparse / found.loss == pytest.approx(1 + found.increase)
    # measured by hand: units below the threshold left out
    held = data(6)[3:]
    sparse = []
    for x in held:
        units = model[1](model[0](x))
        added = units.abs() * model[2].weight.norm(dim=0)
        kept = units * (added >= found.layers[0].threshold)
        sparse.append((model[2](kept) - model(x)).square().mean().item() + 1.0)
    assert np.mean(sparse) == pytest.approx(found.loss_sparse, rel=1e-5)
    assert 0.05 < found.sparsity < 1


def test_dead_units_raise_sparsity_by_exactly_their_number():
    model = net(hidden=300)
    wider = net(hidden=400)
    with torch.no_grad():
        for a, b in ((wider[0].weight, model[0].weight), (wider[0].bias, model[0].bias)):
            a[:300], a[300:] = b, 0.0
        wider[2].weight[:, :300], wider[2].weight[:, 300:] = model[2].weight, 1.0
        wider[2].bias.copy_(model[2].bias)
    before = activation_sparsity(model, data(), loss=loss)
    after = activation_sparsity(wider, data(), loss=loss)
    assert after.layers[0].dead == before.layers[0].dead + 100
    assert after.sparsity == pytest.approx((300 * before.sparsity + 100) / 400, abs=1e-6)


def test_nothing_left_out_is_no_error_and_everything_is_one():
    model = net()
    (layer,) = _watched(model, ["2"])
    units = model[1](model[0](data()[0])).detach()
    error, threshold = layer.table = _table(units, layer)
    assert error[0] == 0
    assert threshold[0] == 0
    assert (np.diff(error) > 0).all()
    assert (np.diff(threshold) >= 0).all()
    _set([layer], 1.0)
    assert layer.threshold == float("inf")


def test_a_loss_that_ignores_the_layer_allows_everything():
    found = activation_sparsity(net(), data(), loss=lambda m, x: m(x).sum() * 0 + 1.0)
    assert (found.cett, found.sparsity, found.increase) == (1.0, 1.0, 0.0)


def test_likelihood_is_judged_by_perplexity():
    model = net()
    dense = copy.deepcopy(model)

    def entropy(model, x):  # labels as the network itself would draw them
        return F.cross_entropy(model(x), dense(x).softmax(1))

    found = activation_sparsity(model, data(), loss=entropy, kind="likelihood")
    assert np.exp(found.loss_sparse - found.loss) == pytest.approx(1.01, abs=0.001)


def test_the_model_is_left_as_it_was():
    model = net().train()
    before = copy.deepcopy(model.state_dict())
    x = data()
    said = model(x[0]).detach()
    activation_sparsity(model, x, loss=loss)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(model(x[0]), said)
    assert not model[2]._forward_pre_hooks


class Gated(nn.Module):
    """Hidden units behind a gate, written with functions instead of modules."""

    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down, self.head = (
            nn.Linear(8, 32), nn.Linear(8, 32), nn.Linear(32, 8), nn.Linear(8, 2),
        )  # fmt: skip

    def forward(self, x):
        return self.head(x + self.down(F.dropout(F.silu(self.gate(x)) * self.up(x), 0.5, False)))


def test_hidden_layers_are_found_behind_gates_and_functions():
    model = Gated()
    assert hidden_layers(model, lambda: model(data()[0])) == ["down"]


def test_our_networks_are_measured_with_their_own_loss():
    import neuro.models

    model = neuro.models.create("patch_mae", preset="tiny", depth=2, n_chans=3, n_times=64)
    draw = torch.Generator().manual_seed(0)
    batches = [torch.randn(16, 3, 64, generator=draw) for _ in range(4)]
    found = activation_sparsity(model, batches, seed=3)
    assert [layer.name.split(".")[0] for layer in found.layers] == ["encoder"] * 2 + ["decoder"]
    assert found.increase <= 0.01
    again = activation_sparsity(model, batches, seed=3)
    assert again == found


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: activation_sparsity(net(), data(1), loss=loss), DataError, "1 batch"),
        (lambda: activation_sparsity(net(), data()), ConfigError, "pass loss="),
        (lambda: activation_sparsity(nn.Linear(8, 8), data(), loss=flat), ConfigError, "layers="),
        (
            lambda: activation_sparsity(net(), data(), loss=loss, layers=["3"]),
            ConfigError,
            "no linear layer",
        ),
        (lambda: activation_sparsity(net(), data(), loss=loss, tolerance=0), ConfigError, "toler"),
        (
            lambda: activation_sparsity(net(), data(), loss=lambda m, x: m(x).mean() - 9),
            DataError,
            "likelihood",
        ),
        (
            lambda: activation_sparsity(net(), data(), loss=lambda m, x: m(x).sum() * np.nan),
            DataError,
            "is nan",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(call, error, match):
    with pytest.raises(error, match=match):
        call()
