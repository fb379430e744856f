"""One set of weights on other channels."""

import pytest
import torch

import neuro.models
from neuro.data import InputContract
from neuro.errors import ConfigError, ContractError


def contract(names="Fz Cz Pz", **changes):
    facts = {"modality": "eeg", "sfreq": 128, "unit": "uV", "ch_names": tuple(names.split())}
    return InputContract(**{**facts, **changes})


@pytest.fixture
def alone():
    facts = {"ch_names": ("channel",), "channel_embedding": "none", "n_outputs": 2, "pool": "mean"}
    model = neuro.models.create("patch_mae", "tiny", seed=3, **facts)
    model.provenance = {"training": "somewhere"}
    return model.eval()


def test_one_channel_repeated_is_embedded_as_it_was_alone(alone):
    x = 20 * torch.randn(2, 1, 128, generator=torch.Generator().manual_seed(0))
    new = neuro.models.adapt(alone, contract())
    # the mean over three equal channels, each attending to equal ones: rounding only
    torch.testing.assert_close(
        new(x.expand(-1, 3, -1)).embedding, alone(x).embedding, atol=1e-5, rtol=0
    )
    assert new.contract.ch_names == ("Fz", "Cz", "Pz")
    assert new.provenance == alone.provenance
    assert not new.training


def test_head_starts_anew_with_other_outputs(alone):
    new = neuro.models.adapt(alone, contract(), n_outputs=5)
    assert new(torch.zeros(1, 3, 128)).prediction.shape == (1, 5)
    assert not torch.equal(
        neuro.models.adapt(alone, contract()).head.linear.weight, alone.head.linear.weight
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"sfreq": 100}, "sampling rate .* 100.0, .* 128.0"), ({"unit": "z"}, "unit .* 'z'")],
    ids=["rate", "unit"],
)
def test_another_scale_of_time_or_size_is_refused(alone, changes, said):
    with pytest.raises(ContractError, match=said):
        neuro.models.adapt(alone, contract(**changes))


def test_weights_that_belong_to_channels_are_named():
    model = neuro.models.create("patch_mae", "tiny", ch_names=("Fz",))
    with pytest.raises(ContractError, match=r"channel_table\.weight is"):
        neuro.models.adapt(model, contract())
    fresh = ("head.", "channel_table.", "scaling.")
    assert neuro.models.adapt(model, contract(), fresh=fresh).config.n_chans == 3


def test_other_objects_are_refused():
    with pytest.raises(ConfigError, match="not Linear"):
        neuro.models.adapt(torch.nn.Linear(1, 1), contract())
