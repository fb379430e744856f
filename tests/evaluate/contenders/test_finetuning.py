from dataclasses import replace

import numpy as np
import pytest

from neuro.errors import ConfigError
from neuro.evaluate import FineTune, Split, evaluate

torch = pytest.importorskip("torch")

ONE = Split("block", test=0.4)
QUICK = {"controls": (), "floors": ["constant"], "seeds": 1}


class Net(torch.nn.Module):
    """A network that cannot see the effect before its first layer has learned."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(3, 8)
            # only directions beside the informative channel reach the head
            self.layer.weight.data[:, 0] = 0.0

    def forward(self, batch):
        return torch.tanh(self.layer(batch.x[:, :, 25:].mean(2)))


def score(windows, how, models=None, **options):
    models = models or {"net": Net()}
    return evaluate(models, windows, split=ONE, probe=how, **(QUICK | options))


def test_whole_network_learns_what_the_head_alone_cannot(trials):
    w = trials(2.0, n=100)
    values = {
        mode: score(w, FineTune(mode, steps=100, lr=2e-2, rank=2, device="cpu")).row("net").value
        for mode in ("full", "head", "lora")
    }
    assert values["full"] > 0.9
    assert values["lora"] > 0.9
    # 40 test trials: 99 % of coins stay below 0.68
    assert values["head"] < 0.7


def test_the_network_given_is_not_changed(trials):
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    score(trials(), FineTune(steps=5, device="cpu"), {"net": net})
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert set(net.state_dict()) == set(before)
    assert all(p.requires_grad for p in net.parameters())


def test_seed_decides_and_jobs_do_not(trials):
    w, how = trials(1.0), FineTune(steps=15, device="cpu")
    options = {"models": {"net": Net()}, "seeds": 2}
    one = evaluate(windows=w, split=Split("block", n=3), probe=how, **(QUICK | options))
    two = evaluate(windows=w, split=Split("block", n=3), probe=how, n_jobs=2, **(QUICK | options))
    assert one.rows == two.rows


def test_controls_of_a_tuned_network(trials):
    w = trials(2.0, n=60)
    how = FineTune(steps=60, lr=2e-2, device="cpu")
    results = score(
        w, how, controls=("random_weights", "shuffled_labels", "global_signal_removed"), shuffles=2
    )
    assert results.row("net").value > 0.85
    # from scratch: the effect is learned as well
    assert results.row("net", control="random_weights").value > 0.85
    assert results.row("net", control="shuffled_labels").value < 0.75


def test_values_and_angles(ramp):
    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 4)

        def forward(self, batch):
            return self.layer(batch.x.mean(2))

    how, half = FineTune(steps=150, lr=2e-2, device="cpu"), Split("time", test=0.5)
    values = evaluate({"net": Mean()}, ramp, split=half, probe=how, **QUICK)
    assert values.row("net", "r").value > 0.9
    phase = np.arcsin(np.clip(ramp.target, -1, 1))
    angles = evaluate(
        {"net": Mean()}, replace(ramp, target=phase), split=half, probe=how, task="circular",
        **QUICK,
    )  # fmt: skip
    assert angles.row("net").value < 30


def test_a_network_of_the_registry_trained_in_every_fold(trials):
    import neuro.models as models

    w = trials(1.0)

    def made(train):
        return models.create("patch_mae", preset="tiny", contract=train.contract(), n_times=50)

    results = score(w, FineTune("lora", steps=3, device="cpu"), {"mae": made})
    assert 0 <= results.row("mae").value <= 1


@pytest.mark.parametrize("options", [{"mode": "half"}, {"steps": 0}, {"rank": 0}])
def test_unusable_settings(options):
    with pytest.raises(ConfigError):
        FineTune(**options)
