import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuro.errors import ConfigError, DataError
from neuro.nn.patching import n_patches, pad_to_patches, patchify, unpatchify


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 3))
def test_patches_put_together_give_the_signal_bit_for_bit(n_times, patch_times, n_chans):
    x = torch.arange(2.0 * n_chans * n_times).reshape(2, n_chans, n_times)
    patches = patchify(pad_to_patches(x, patch_times), patch_times)
    assert patches.shape == (2, n_chans, n_patches(n_times, patch_times), patch_times)
    assert torch.equal(unpatchify(patches, n_times), x)


def test_a_patch_holds_consecutive_samples_of_one_channel():
    x = torch.stack([torch.arange(6), 10 + torch.arange(6)])[None]
    assert patchify(x, 2)[0, 1].tolist() == [[10, 11], [12, 13], [14, 15]]


def test_padding_goes_behind_the_signal():
    assert pad_to_patches(torch.ones(4, dtype=torch.bool), 3, False).tolist() == [
        *[True] * 4,
        *[False] * 2,
    ]


def test_a_length_that_does_not_fit_is_named():
    with pytest.raises(DataError, match="7 samples are not a whole number of patches of 3"):
        patchify(torch.zeros(1, 7), 3)


def test_an_empty_patch_is_refused():
    with pytest.raises(ConfigError, match="patch_times is 0"):
        n_patches(10, 0)
