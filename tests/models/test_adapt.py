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


# -- weights of regions go with the regions' names -----------------------------------------


def regions(names, atlas="fine"):
    facts = {"modality": "bold", "sfreq": "1/0.72", "unit": "z", "atlas": atlas}
    return InputContract(ch_names=tuple(names.split()), **facts)


@pytest.fixture
def brain():
    return neuro.models.create("brainmae", "tiny", contract=regions("V1 V2 M1 A1"), seed=1).eval()


def test_embeddings_go_with_the_names_of_their_regions(brain):
    x = torch.randn(2, 4, 84, generator=torch.Generator().manual_seed(0))
    turned = neuro.models.adapt(brain, regions("A1 V2 V1 M1"))
    assert torch.equal(turned.rois, brain.rois[[3, 1, 0, 2]])
    # sums over regions in another order: rounding only
    torch.testing.assert_close(
        turned(x[:, [3, 1, 0, 2]]).embedding, brain(x).embedding, atol=1e-5, rtol=0
    )
    fewer = neuro.models.adapt(brain, regions("A1 V1"))
    assert torch.equal(fewer.rois, brain.rois[[3, 0]])


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        (regions("V1 V2 M1 S1"), r"unknown to it: \['S1'\].*map_regions"),
        (regions("V1 V2 M1 A1", atlas="other"), "atlas 'other', not 'fine'"),
    ],
    ids=["label", "atlas"],
)
def test_embeddings_of_other_regions_are_refused_unless_they_start_anew(brain, contract, said):
    with pytest.raises(ContractError, match=said):
        neuro.models.adapt(brain, contract)
    anew = neuro.models.adapt(brain, contract, fresh=("rois", "scaling.", "head."), seed=9)
    assert not torch.equal(anew.rois, brain.rois)
    assert torch.equal(anew.regions.embed.weight, brain.regions.embed.weight)
