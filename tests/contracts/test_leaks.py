"""No masked model sees what it is asked to rebuild.

Two audits of every reconstruction: its gradient at the samples it was made without is
exactly zero, and other numbers at those samples change no bit of it. The second also
finds what goes past the gradient: thresholds, ranks, code numbers.
"""

import pytest
import torch

import neuro.models
from neuro.models._blind import BlindSpot

NETWORKS = [n for n in neuro.models.list() if neuro.models.info(n).kind == "network"]
# Published or chosen variants in which other parts see the signal.
VARIANTS = {
    "femba-paper-norm": ("femba", {"norm": "channel_iqr"}),
    "patch_mae-window": ("patch_mae", {"normalize": "window"}),
    "patch_mae-channel": ("patch_mae", {"normalize": "channel"}),
    "fc_mae-timestamp": ("fc_mae", {"timestamp": True}),
    "fc_mae-embedding": ("fc_mae", {"target": "embedding", "timestamp": True}),
    "fc_mae-long-scan": ("fc_mae", {"n_times": 100, "max_gap_s": 60.0, "timestamp": True}),
}


def tiny(name, **config):
    few = {"n_draws": 2} if name == "fc_mae" else {}  # each draw is audited on its own
    return neuro.models.create(name, "tiny", **few, **config)


def is_masked(name):
    return any(hasattr(tiny(name), method) for method in ("reconstruct", "blind_spots"))


MASKED = {name: (name, {}) for name in NETWORKS if is_masked(name)} | VARIANTS
every_masked_model = pytest.mark.parametrize("case", MASKED)
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def signals(model, seed=0):
    rng = torch.Generator().manual_seed(seed)
    size = {"uV": 20.0, "fT": 500.0}.get(model.config.unit, 1.0)
    return size * torch.randn(3, model.config.n_chans, model.config.n_times, generator=rng)


def spots_of(model, x, seed=1):
    """What the model hides, from `blind_spots` or from a grid of hidden patches."""
    rng = torch.Generator().manual_seed(seed)
    if hasattr(model, "blind_spots"):
        return model.blind_spots(x, rng)
    made = model.reconstruct(x, rng)
    hidden = made.hidden[..., None].expand(made.prediction.shape)
    samples = hidden.flatten(2)[..., : x.shape[2]]
    return [BlindSpot("hidden patches", made.prediction[hidden], samples)]


def test_the_masked_models_of_the_package_are_audited():
    assert {"patch_mae", "femba", "fc_mae"} <= set(MASKED)


@every_masked_model
@both_modes
def test_gradient_at_what_is_hidden_is_exactly_zero(case, training):
    name, config = MASKED[case]
    model = tiny(name, **config).train(training)
    x = signals(model).requires_grad_()
    for spot in spots_of(model, x):
        assert spot.hidden.any(), spot.what
        assert spot.prediction.numel(), spot.what
        total = spot.prediction.square().sum()
        (slope,) = torch.autograd.grad(total, x, retain_graph=True, allow_unused=True)
        # None: edges of graphs are no function one could differentiate
        if slope is not None:
            assert not slope[spot.hidden].any(), spot.what
            assert slope.any(), spot.what


@every_masked_model
@both_modes
def test_other_numbers_where_it_is_hidden_change_no_bit(case, training):
    name, config = MASKED[case]
    x = signals(tiny(name, **config))
    other = signals(tiny(name, **config), seed=9)

    def spots(signal):  # anew each time: running statistics move in training
        return spots_of(tiny(name, **config).train(training), signal)

    with torch.no_grad():
        for k, spot in enumerate(spots(x)):
            changed = spots(torch.where(spot.hidden, other, x))[k]
            assert torch.equal(changed.hidden, spot.hidden), spot.what
            assert torch.equal(changed.prediction, spot.prediction), spot.what


@every_masked_model
def test_the_audit_can_fail(case):
    name, config = MASKED[case]
    model = tiny(name, **config).eval()
    x, other = signals(model), signals(model, seed=9)
    with torch.no_grad():
        spot = spots_of(model, x)[-1]
        # what is visible does change the reconstruction
        changed = spots_of(model, torch.where(spot.hidden, x, other))[-1]
    assert not torch.equal(changed.prediction, spot.prediction)


# -- systems that see more by design --------------------------------------------------------


def test_tfm_tokenizers_second_stage_does_not_see_hidden_codes():
    model = tiny("tfm_tokenizer").eval()
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.n_codes, (2, 4, 9), generator=rng)
    other = torch.randint(model.config.n_codes, (2, 4, 9), generator=rng)
    hidden = torch.rand(2, 4, 9, generator=rng) < 0.5
    seen = []
    model.to_codes.register_forward_hook(lambda _, inputs, out: seen.append(out.detach()))
    for codes in (ids, torch.where(hidden, other, ids)):
        model.masked_token_loss(codes, None, hidden)
    # two passes a call: first the hidden ones are asked for, then the others
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[1], seen[3])


def test_tfm_tokenizers_first_stage_sees_hidden_spectra_through_the_samples_as_published():
    tokenizer = tiny("tfm_tokenizer").eval().tokenizer
    x = torch.randn(4, 500, generator=torch.Generator().manual_seed(0)).requires_grad_()
    frames = tokenizer.frames(x)
    # not one bin of the spectra is seen, and still every frame tells about itself
    blank = torch.zeros_like(frames.spectra)
    z = tokenizer.vectors(blank, tokenizer.temporal_features(frames), None)
    tokenizer.decode(z)[:, 2].sum().backward()
    assert x.grad[:, 100:200].abs().max() > 0


def test_eegformer_hides_nothing_and_its_option_leaves_size_and_mean_known():
    assert all(
        "mask_ratio" not in values for values in neuro.models.info("eegformer").presets.values()
    )
    assert neuro.models.info("eegformer").config["mask_ratio"] == 0.0
    model = tiny("eegformer", mask_ratio=0.5).eval()
    x = signals(model).requires_grad_()
    sequence = model._sequence(x, None, None)
    hidden = torch.zeros(*x.shape[:2], model.config.n_patches, dtype=torch.bool)
    hidden[..., 0] = True
    tokens, _ = model._encode_patches(sequence, hidden)
    first = model.config.frame_times
    (slope,) = torch.autograd.grad(tokens[:, :, 0].square().sum(), x, retain_graph=True)
    assert slope[..., :first].abs().max() > 0
    # with mean and size of the window held, nothing is left of it
    (inner,) = torch.autograd.grad(tokens[:, :, 0].square().sum(), sequence.z)
    assert not model._patches(inner)[:, :, 0].any()
