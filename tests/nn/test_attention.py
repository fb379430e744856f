import pytest
import torch
from torch.nn import functional as F

from neuro.errors import ConfigError
from neuro.nn.attention import Attention, Transformer, key_mask


def _net(**config):
    torch.manual_seed(0)
    return Transformer(**{"depth": 2, "d_model": 8, "n_heads": 2, **config}).eval()


def test_attention_equals_the_formula_written_out():
    torch.manual_seed(0)
    layer, x = Attention(6, 2).eval(), torch.randn(1, 4, 6)
    query, key, value = layer.qkv(x).chunk(3, dim=-1)
    heads = []
    for h in (slice(0, 3), slice(3, 6)):
        weights = F.softmax(query[..., h] @ key[..., h].mT / 3**0.5, dim=-1)
        heads.append(weights @ value[..., h])
    expected = layer.out(torch.cat(heads, dim=-1))
    # float32 rounding of sums in another order
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_padded_tokens_change_nothing_whatever_they_hold():
    net, x = _net(), torch.randn(3, 5, 8)
    padded = torch.cat([x, 1e3 * torch.randn(3, 4, 8)], dim=1)
    valid = torch.arange(9).lt(5).expand(3, 9)
    # the kernels sum over 9 keys instead of 5: rounding only
    assert torch.allclose(net(padded, valid)[:, :5], net(x), atol=1e-5)


def test_an_example_without_any_token_stays_finite():
    net = _net()
    valid = torch.tensor([[False] * 3, [True] * 3])
    assert net(torch.randn(2, 3, 8), valid).isfinite().all()


def test_key_mask_hides_keys_and_not_queries():
    mask = key_mask(torch.tensor([[True, False]]))
    assert mask.shape == (1, 1, 1, 2)
    assert mask.flatten().tolist() == [True, False]


def test_tokens_are_a_set():
    net, x = _net(), torch.randn(2, 6, 8)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    # rounding of sums in another order
    assert torch.allclose(net(x[:, order]), net(x)[:, order], atol=1e-5)


def test_dropout_acts_only_while_training():
    net, x = _net(dropout=0.5), torch.randn(1, 4, 8)
    assert torch.equal(net(x), net(x))
    assert not torch.equal(net.train()(x), net(x))


def test_gradient_reaches_every_parameter():
    net = _net()
    net(torch.randn(2, 4, 8)).pow(2).sum().backward()
    dead = [k for k, p in net.named_parameters() if p.grad is None]
    assert dead == []


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="d_model = 8 cannot be shared by 3 heads"):
        Attention(8, 3)


def test_queries_and_keys_can_have_norms_and_no_bias():
    layer = Attention(8, 2, 0.0, qkv_bias=False, qk_norm_eps=1e-6)
    assert layer.qkv.bias is None
    torch.nn.init.normal_(layer.query_norm.weight)
    torch.nn.init.normal_(layer.key_norm.bias)
    x = torch.randn(2, 5, 8)
    q, k, v = layer.qkv(x).reshape(2, 5, 3, 2, 4).unbind(2)
    q, k = layer.query_norm(q), layer.key_norm(k)
    weights = (torch.einsum("bqhd,bkhd->bhqk", q, k) / 2).softmax(dim=-1)
    mixed = torch.einsum("bhqk,bkhd->bqhd", weights, v).reshape(2, 5, 8)
    # other order of the sums: rounding only
    assert torch.allclose(layer(x), layer.out(mixed), atol=1e-6)


def test_weights_can_have_a_dropout_of_their_own():
    layer = Attention(8, 2, 0.0, weight_dropout=0.9).train()
    x = torch.randn(2, 5, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.weight_dropout = 0.0
    assert torch.equal(layer(x), layer(x))
