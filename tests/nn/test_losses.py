"""A loss that resists wrong labels."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neuro.errors import ConfigError, DataError
from neuro.nn.losses import EarlyLearning


def test_gradient_is_the_closed_form():
    rng = torch.Generator().manual_seed(0)
    loss = EarlyLearning(6, 4, lam=3.0).double().eval()
    loss.memory.copy_(torch.rand(6, 4, generator=rng).softmax(1))
    logits = torch.randn(5, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    target, index = torch.tensor([0, 1, 2, 3, 0]), torch.tensor([5, 1, 0, 3, 2])
    loss(logits, target, index).backward()
    p, t = logits.detach().softmax(1), loss.memory[index]
    inner = (t * p).sum(1, keepdim=True)
    ce = (p - F.one_hot(target, 4)) / 5
    torch.testing.assert_close(logits.grad, ce + 3.0 * p * (inner - t) / (1 - inner) / 5)


def test_memory_belongs_to_examples_and_moves_only_in_training():
    loss = EarlyLearning(5, 2, beta=0.5)
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    loss(logits, torch.tensor([0, 1]), torch.tensor([4, 2]))
    loss(logits[:1], torch.tensor([0]), torch.tensor([4]))
    p = logits.softmax(1)
    torch.testing.assert_close(loss.memory[4], 0.75 * p[0])
    torch.testing.assert_close(loss.memory[2], 0.5 * p[1])
    assert (loss.memory[[0, 1, 3]] == 0).all()
    kept = loss.memory.clone()
    loss.eval()(logits, torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert torch.equal(loss.memory, kept)
    assert "memory" in loss.state_dict()


def test_certain_predictions_stay_finite():
    loss = EarlyLearning(1, 2, beta=0.0)
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    value = loss(logits, torch.tensor([1]), torch.tensor([0]))
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_bad_use_is_refused():
    with pytest.raises(ConfigError, match="lam=-1"):
        EarlyLearning(2, 2, lam=-1)
    with pytest.raises(ConfigError, match="1 classes"):
        EarlyLearning(2, 1)
    with pytest.raises(DataError, match="Example 2 lies outside a memory of 2"):
        EarlyLearning(2, 2)(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([2]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wrong_labels_are_not_learned_by_heart(seed):
    """The simulation of 2007.00151's claim; margins measured: 0.14, 0.14, 0.11."""
    rng = torch.Generator().manual_seed(seed)
    means = 0.42 * torch.randn(4, 50, generator=rng)

    def draw(n):
        y = torch.randint(4, (n,), generator=rng)
        return means[y] + torch.randn(n, 50, generator=rng), y

    x, true = draw(800)
    clean_x, clean_y = draw(3000)
    redrawn = torch.rand(800, generator=rng) < 0.4
    y = torch.where(redrawn, torch.randint(4, (800,), generator=rng), true)
    wrong = y != true
    accuracy, memorised = {}, {}
    for lam in (0.0, 3.0):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(50, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
                            nn.Linear(256, 4))  # fmt: skip
        loss = EarlyLearning(800, 4, lam=lam)
        sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
        for _ in range(50):
            for rows in torch.randperm(800).split(128):
                sgd.zero_grad()
                loss(net(x[rows]), y[rows], rows).backward()
                sgd.step()
        with torch.no_grad():
            accuracy[lam] = (net(clean_x).argmax(1) == clean_y).float().mean().item()
            memorised[lam] = (net(x).argmax(1) == y)[wrong].float().mean().item()
    assert accuracy[3.0] - accuracy[0.0] >= 0.08
    assert memorised[3.0] <= 0.35 < 0.6 < memorised[0.0]
