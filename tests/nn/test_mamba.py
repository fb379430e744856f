"""Mamba layers: equations step by step, initial values, causality, padding, pieces."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from neuro.errors import ConfigError
from neuro.nn.mamba import BidirectionalMamba, Mamba, undecayed


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _layer(**sizes):
    torch.manual_seed(0)
    return Mamba(6, **sizes).double()


def _by_hand(layer, x):
    """One sequence (time, d_model), token after token, in plain equations."""
    inner, n_state = layer.A_log.shape
    rank = layer.dt_proj.in_features
    kernel, width = layer.conv1d.weight[:, 0], layer.conv1d.kernel_size[0]
    before, state, rows = [torch.zeros(inner, dtype=x.dtype)] * width, None, []
    state = torch.zeros(inner, n_state, dtype=x.dtype)
    for token in x:
        u, z = layer.in_proj(token).split(inner)
        before = [*before[1:], u]
        u = F.silu(sum(kernel[:, i] * v for i, v in enumerate(before)) + layer.conv1d.bias)
        mixed = layer.x_proj.weight @ u
        low, b, c = mixed[:rank], mixed[rank : rank + n_state], mixed[rank + n_state :]
        step = F.softplus(layer.dt_proj.weight @ low + layer.dt_proj.bias)
        decay = torch.exp(step[:, None] * -torch.exp(layer.A_log))
        state = decay * state + (step * u)[:, None] * b[None, :]
        y = state @ c + layer.D * u
        rows.append(layer.out_proj.weight @ (y * F.silu(z)))
    return torch.stack(rows)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [{}, {"expand": 4, "d_state": 3, "d_conv": 2, "dt_rank": 2}])
def test_it_is_the_published_equations(sizes):
    layer = _layer(**sizes)
    x = torch.randn(2, 9, 6, dtype=torch.float64, generator=_rng())
    expected = torch.stack([_by_hand(layer, row) for row in x])
    # float64, other orders of summation
    assert torch.allclose(layer(x), expected, atol=1e-12)


def test_initial_values_are_the_published_ones():
    torch.manual_seed(0)
    layer = Mamba(512, expand=4)
    assert layer.dt_proj.in_features == 32
    assert torch.allclose(layer.A_log.exp(), torch.arange(1.0, 17.0).expand(2048, 16))
    assert torch.equal(layer.D, torch.ones(2048))
    steps = F.softplus(layer.dt_proj.bias)
    assert 9.9e-4 < steps.min() < 1.2e-3
    assert 0.09 < steps.max() < 0.101
    # log-uniform: the median is the geometric mean of the ends, 0.01; 2,048 draws
    # put its logarithm within 0.1
    assert abs(math.log(steps.median().item() / 0.01)) < 0.2
    bound = 32**-0.5
    assert 0.99 * bound < layer.dt_proj.weight.abs().max() <= bound
    assert layer.in_proj.bias is layer.x_proj.bias is layer.out_proj.bias is None


def test_numbers_of_parameters_follow_the_formula():
    d, inner, rank, n = 40, 160, 3, 16
    expected = (
        2 * inner * d + 4 * inner + inner + inner * (rank + 2 * n) + rank * inner + inner
        + n * inner + inner + inner * d
    )  # fmt: skip
    assert sum(p.numel() for p in Mamba(d, expand=4).parameters()) == expected


def test_a_token_sees_itself_and_what_was_before():
    layer = _layer()
    x = torch.randn(1, 12, 6, dtype=torch.float64, generator=_rng(), requires_grad=True)
    layer(x)[0, 5].square().sum().backward()
    assert not x.grad[0, 6:].any()
    assert (x.grad[0, :6].abs().sum(dim=1) > 0).all()


@torch.no_grad()
def test_padding_is_as_if_it_were_not_there():
    layer = _layer()
    x = torch.randn(2, 9, 6, dtype=torch.float64, generator=_rng())
    plain = layer(x)
    wide = torch.full((2, 14, 6), 1e3, dtype=torch.float64)
    for first in (0, 3, 5):
        wide[:, first : first + 9] = x
        valid = torch.zeros(2, 14, dtype=torch.bool)
        valid[:, first : first + 9] = True
        found = layer(wide, valid)[:, first : first + 9]
        assert torch.allclose(found, plain, atol=1e-12)
        wide.fill_(1e3)


@torch.no_grad()
def test_a_gap_leaves_the_state_alone():
    layer = _layer(d_conv=1)
    x = torch.randn(1, 8, 6, dtype=torch.float64, generator=_rng())
    valid = torch.tensor([[True] * 3 + [False] * 2 + [True] * 3])
    closed = torch.cat([x[:, :3], x[:, 5:]], dim=1)
    assert torch.allclose(layer(x, valid)[valid], layer(closed)[0], atol=1e-12)


@torch.no_grad()
def test_pieces_give_the_same_as_one_pass(monkeypatch):
    layer = _layer()
    x = torch.randn(2, 50, 6, dtype=torch.float64, generator=_rng())
    valid = torch.rand(2, 50, generator=_rng()) < 0.8
    with torch.enable_grad():
        whole = layer(x), layer(x, valid)
    for piece in (1, 7, 49):
        monkeypatch.setattr("neuro.nn.mamba._PIECE", piece)
        assert torch.allclose(layer(x), whole[0], atol=1e-12)
        assert torch.allclose(layer(x, valid), whole[1], atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("combine", ["add", "multiply"])
def test_both_directions_have_their_own_weights(combine):
    torch.manual_seed(0)
    block = BidirectionalMamba(6, combine=combine).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64, generator=_rng())
    ahead, back = block.ahead(x), block.back(x.flip(1)).flip(1)
    assert not torch.allclose(ahead, block.back(x), atol=1e-3)
    mixed = ahead + back if combine == "add" else ahead * back
    expected = F.layer_norm(x + mixed, (6,), block.norm.weight, block.norm.bias)
    assert torch.allclose(block(x), expected, atol=1e-12)


def test_undecayed_parameters_survive_copies_and_loading():
    block = BidirectionalMamba(6)
    again = copy.deepcopy(block)
    again.load_state_dict(block.state_dict(), assign=True)
    for model in (block, again):
        marked = undecayed(model)
        names = {k for k, p in model.named_parameters() if id(p) in marked}
        assert names == {"ahead.A_log", "ahead.D", "back.A_log", "back.D"}


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="d_state = 0"):
        Mamba(4, d_state=0)
    with pytest.raises(ConfigError, match="Did you mean 'add'"):
        BidirectionalMamba(4, combine="ad")
