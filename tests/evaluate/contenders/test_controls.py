import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.evaluate.contenders.controls import (
    controls_of,
    reinitialised,
    shuffled_target,
    starts_from_data,
)

torch = pytest.importorskip("torch")


def test_trials_exchange_labels_inside_their_run():
    trial = np.repeat(np.arange(12), 3)
    run = np.repeat([0, 1], 18)
    # run 0 holds five "1" trials, run 1 one
    y = np.repeat([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1], 3)
    for seed in range(20):
        new = shuffled_target(y, [trial, run], seed)
        assert all(len(set(new[trial == t])) == 1 for t in range(12))
        assert [int(new[run == r].sum()) for r in (0, 1)] == [15, 3]


def test_a_diagnosis_is_exchanged_between_whole_subjects():
    window, subject = np.arange(40), np.repeat(np.arange(8), 5)
    y = np.repeat([0, 0, 0, 0, 1, 1, 1, 1], 5)
    changed = False
    for seed in range(5):
        new = shuffled_target(y, [window, subject], seed)
        assert all(len(set(new[subject == s])) == 1 for s in range(8))
        changed |= bool((new != y).any())
    assert changed


def test_labels_that_vary_inside_a_block_are_exchanged_there():
    block = np.repeat([0, 1], 10)
    y = np.concatenate([np.arange(10), 100 + np.arange(10)])
    new = shuffled_target(y, [block, np.zeros(20, int)], 0)
    assert (new[:10] < 100).all()
    assert not (new == y).all()


def test_constant_target_cannot_be_shuffled():
    with pytest.raises(DataError):
        shuffled_target(np.ones(6), [np.arange(6), np.zeros(6, int)], 0)


def test_reinitialised_network_has_other_weights_and_the_same_scales():
    import neuro.models as models

    model = models.create("patch_mae", preset="tiny", n_chans=2, n_times=64)
    key = next(k for k, _ in model.named_buffers() if k.endswith("scale"))
    model.get_buffer(key).fill_(7.0)
    state = torch.random.get_rng_state()
    fresh, again = reinitialised(model, 1), reinitialised(model, 1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(fresh.get_buffer(key), model.get_buffer(key))
    name = "embed_patch.weight"
    assert torch.equal(fresh.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(fresh.state_dict()[name], model.state_dict()[name])
    assert not torch.equal(fresh.state_dict()[name], reinitialised(model, 2).state_dict()[name])


def test_code_book_of_a_control_starts_from_the_training_part(trials):
    import neuro.models as models

    w = trials(n=30)
    model = models.create("tfm_tokenizer", "tiny", contract=w.contract(), frame_times=50)
    assert starts_from_data(model)
    assert not starts_from_data(models.create("tfm_tokenizer", "tiny", codebook_init="uniform"))
    random, started = reinitialised(model, 1), reinitialised(model, 1, w)
    batch = w.batch(np.arange(30))
    # most frames lie closest to a few of 32 random directions
    used = [len(net.tokenize(batch).ids.unique()) for net in (random, started)]
    assert used[1] > used[0] + 8
    again = reinitialised(model, 1, w)
    assert torch.equal(started.codebook, again.codebook)


def test_batch_normalisation_starts_anew():
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    net[1].running_mean.fill_(5.0)
    assert reinitialised(net, 0)[1].running_mean.tolist() == [0.0, 0.0, 0.0]
    assert net[1].running_mean.tolist() == [5.0, 5.0, 5.0]


class Bare(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.arange(100.0))

    def forward(self, x):
        return x * self.w


def test_parameters_without_a_layer_are_shuffled():
    fresh = reinitialised(Bare(), 0)
    assert not torch.equal(fresh.w, Bare().w)
    assert torch.equal(fresh.w.sort().values, Bare().w.data)


def test_unknown_control():
    with pytest.raises(ConfigError, match="'shuffled_labels'"):
        controls_of(("shuffled_label",))
