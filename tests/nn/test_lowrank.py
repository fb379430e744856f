import pytest
import torch
from torch import nn

from neuro.errors import ConfigError
from neuro.nn.lowrank import LowRank, add_low_rank, merge_low_rank


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv1d(3, 8, 5), nn.GELU(), nn.Flatten(), nn.Linear(8 * 6, 8))


def test_nothing_changes_before_training():
    net, x = network(), torch.randn(2, 3, 10)
    before = net(x)
    add_low_rank(net, rank=2)
    assert torch.equal(net(x), before)


def test_only_the_changes_learn():
    net = network()
    learns = add_low_rank(net, rank=2)
    # rank times (rows + columns) of 8 x 15 and 8 x 48
    assert sum(p.numel() for p in learns) == 2 * (8 + 15) + 2 * (8 + 48)
    assert {id(p) for p in net.parameters() if p.requires_grad} == {id(p) for p in learns}


def test_change_has_the_rank_and_merging_keeps_the_output():
    net, x = network(), torch.randn(4, 3, 10)
    before = net[3].weight.detach().clone()
    learns = add_low_rank(net, rank=2)
    step = torch.optim.SGD(learns, lr=0.1)
    for _ in range(5):
        step.zero_grad()
        net(x).pow(2).sum().backward()
        step.step()
    said = net(x).detach()
    merge_low_rank(net)
    assert torch.linalg.matrix_rank(net[3].weight.detach() - before) == 2
    # W + BA is summed once instead of at every call: the same numbers
    torch.testing.assert_close(net(x).detach(), said)
    assert not any(isinstance(m, LowRank) for m in net.modules())
    assert all(p.requires_grad for p in net.parameters())


def test_layers_whose_weight_is_read_by_another_layer():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    learns = add_low_rank(attention, rank=1)
    x = torch.randn(2, 5, 8)
    attention(x, x, x)[0].sum().backward()
    assert all(p.grad is not None for p in learns)


def test_chosen_layers_only():
    net = network()
    add_low_rank(net, rank=2, where=lambda name, _: name == "3")
    assert sum(isinstance(m, LowRank) for m in net.modules()) == 1


def test_alpha_scales_the_change():
    one, two = LowRank((4, 4), 2), LowRank((4, 4), 2, alpha=4.0)
    two.load_state_dict(one.state_dict())
    for change in (one, two):
        nn.init.ones_(change.up)
    weight = torch.zeros(4, 4)
    torch.testing.assert_close(2 * one(weight), two(weight))


def test_unusable_ranks():
    with pytest.raises(ConfigError, match="rank=0"):
        add_low_rank(network(), rank=0)
    with pytest.raises(ConfigError, match="smaller rank"):
        add_low_rank(network(), rank=100)
    with pytest.raises(ConfigError, match="use 1 to 4"):
        LowRank((4, 6), 5)


def test_twice_is_refused():
    net = network()
    add_low_rank(net, rank=2)
    with pytest.raises(ConfigError, match="already"):
        add_low_rank(net, rank=2)
