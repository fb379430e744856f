import torch

from neuro.nn.heads import AttentivePooling, LinearHead, masked_mean


def test_masked_mean_counts_valid_tokens_only():
    tokens = torch.tensor([[[2.0], [4.0], [float("nan")]], [[1.0], [1.0], [1.0]]])
    valid = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(tokens, valid).tolist() == [[3.0], [0.0]]


def test_attentive_pooling_ignores_padding():
    torch.manual_seed(0)
    pool, tokens = AttentivePooling(8, 2).eval(), torch.randn(3, 4, 8)
    padded = torch.cat([tokens, 1e3 * torch.randn(3, 2, 8)], dim=1)
    valid = torch.arange(6).lt(4).expand(3, 6)
    # rounding of a softmax over 6 keys instead of 4
    assert torch.allclose(pool(padded, valid), pool(tokens), atol=1e-5)


def test_attentive_pooling_learns_which_token_matters():
    torch.manual_seed(0)
    pool = AttentivePooling(8, 1)
    optimiser = torch.optim.Adam(pool.parameters(), lr=0.05)
    for _ in range(120):
        tokens = torch.randn(32, 5, 8)
        # the token to report is the one whose first coordinate is largest
        wanted = tokens[torch.arange(32), tokens[..., 0].argmax(dim=1)]
        loss = (pool(tokens) - wanted).pow(2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    # a plain mean of five unit-variance tokens leaves 0.8 of the variance or more
    assert loss.item() < 0.6


def test_linear_head_shapes_and_reach():
    head = LinearHead(6, 3)
    out = head(torch.randn(4, 6))
    assert out.shape == (4, 3)
    out.sum().backward()
    assert all(p.grad is not None for p in head.parameters())
