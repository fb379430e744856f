"""Linear attention: the formula, masks, and the cost it promises."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neuro.errors import ConfigError
from neuro.nn.linear_attention import LinearAttention, LinearBlock, LinearTransformer


def _net(**config):
    torch.manual_seed(0)
    return LinearTransformer(**{"depth": 2, "d_model": 8, "n_heads": 2, **config}).eval()


def test_attention_equals_the_formula_written_out():
    torch.manual_seed(0)
    layer, x = LinearAttention(6, 2).double().eval(), torch.randn(1, 4, 6).double()
    query, key, value = layer.qkv(x).chunk(3, dim=-1)
    heads = []
    for h in (slice(0, 3), slice(3, 6)):
        q = torch.stack([F.softmax(row, dim=0) for row in query[0, :, h]]) / 3**0.5
        k = torch.stack([F.softmax(column, dim=0) for column in key[0, :, h].T], dim=1)
        pairs = sum(torch.outer(k[n], value[0, n, h]) for n in range(4))
        heads.append(q @ pairs)
    expected = layer.out(torch.cat(heads, dim=-1))
    # sums in another order: rounding of float64
    torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=1e-14)


def test_a_block_is_two_residual_steps_on_normed_tokens():
    torch.manual_seed(0)
    block, x = LinearBlock(8, 2), torch.randn(2, 5, 8)
    for norm in (block.norm_attention, block.norm_mlp):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    y = x + block.attention(block.norm_attention(x))
    hidden = F.gelu(block.mlp.up(block.norm_mlp(y)))
    assert torch.equal(block(x), y + block.mlp.down(hidden))


def test_a_block_of_width_64_has_the_published_size():
    assert sum(p.numel() for p in LinearBlock(64, 8).parameters()) == 49_792


def test_padded_tokens_change_nothing_whatever_they_hold():
    net, x = _net(), torch.randn(3, 5, 8)
    padded = torch.cat([x, 1e3 * torch.randn(3, 4, 8)], dim=1)
    valid = torch.arange(9).lt(5).expand(3, 9)
    # the kernels sum over 9 tokens instead of 5: rounding only
    assert torch.allclose(net(padded, valid)[:, :5], net(x), atol=1e-5)


def test_an_example_without_any_token_stays_finite_and_to_itself():
    net, x = _net(), torch.randn(2, 3, 8)
    valid = torch.tensor([[False] * 3, [True] * 3])
    out = net(x, valid)
    assert out.isfinite().all()
    assert torch.allclose(out[1], net(x[1:])[0], atol=1e-6)


def test_a_single_token_reads_itself():
    layer, x = LinearAttention(8, 2).eval(), torch.randn(2, 1, 8)
    value = layer.qkv(x).chunk(3, dim=-1)[2]
    # a softmax over one token is 1, and one over a width of 4 sums to 1
    assert torch.allclose(layer(x), layer.out(value * 4**-0.5), atol=1e-6)


def test_tokens_are_a_set():
    net, x = _net(), torch.randn(2, 6, 8)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(net(x[:, order]), net(x)[:, order], atol=1e-5)


def test_dropout_acts_only_while_training():
    net, x = _net(dropout=0.5), torch.randn(1, 4, 8)
    assert torch.equal(net(x), net(x))
    assert not torch.equal(net.train()(x), net(x))


def test_gradients_are_right():
    net = _net(depth=1, d_model=4).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    assert torch.autograd.gradcheck(lambda t: net(t, valid)[valid], x)


def test_memory_grows_in_proportion_to_tokens():
    net = _net(depth=1)
    largest = []
    for n_tokens in (500, 1000):
        with torch.profiler.profile(profile_memory=True) as profile:
            net(torch.randn(1, n_tokens, 8))
        largest.append(max(event.cpu_memory_usage for event in profile.key_averages()))
    # softmax attention would need four times the memory for twice the tokens
    assert largest[1] < 2.5 * largest[0]


@pytest.mark.parametrize("n_heads", [0, 3])
def test_heads_must_share_the_width(n_heads):
    with pytest.raises(ConfigError, match=f"cannot be shared by {n_heads} heads"):
        LinearAttention(8, n_heads)
