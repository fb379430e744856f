import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuro.errors import ConfigError, DataError
from neuro.nn.patching import (
    n_overlapping_patches,
    n_patches,
    overlap_add,
    overlapping_patches,
    pad_to_patches,
    patchify,
    unpatchify,
)


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


@pytest.mark.parametrize("n_times", [1200, 3000])
@pytest.mark.parametrize(("patch", "step"), [(100, 100), (100, 50), (64, 24), (33, 7), (250, 1)])
def test_number_of_overlapping_patches_follows_the_published_rule(n_times, patch, step):
    assert n_overlapping_patches(n_times, patch, step) == (n_times - patch) // step + 2
    x = torch.arange(n_times)
    padded = overlapping_patches(x, patch, step)
    assert padded.shape == ((n_times - patch) // step + 2, patch)
    assert padded[-1, -1] == n_times - 1
    needed = overlapping_patches(x, patch, step, pad_end=False)
    lost = (n_times - patch) % step > 0
    assert len(needed) == len(padded) - (not lost)
    for i in (0, len(needed) // 2):
        assert needed[i].tolist() == x[i * step : i * step + patch].tolist()


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(0, 50), st.booleans(), st.integers(0, 99)
)
def test_overlapping_patches_added_up_give_the_signal(patch, step, more, pad_end, seed):
    step = min(step, patch)
    x = torch.randn(2, 3, patch + more, generator=torch.Generator().manual_seed(seed))
    patches = overlapping_patches(x, patch, step, pad_end=pad_end)
    # a mean of up to 12 equal float32 values of size 4
    assert torch.allclose(overlap_add(patches, x.shape[-1], step), x, atol=1e-6)


def test_where_patches_disagree_their_mean_counts_and_has_the_gradient_of_a_mean():
    patches = torch.tensor([[[0.0, 0, 0], [3, 3, 3], [9, 9, 9]]], requires_grad=True)
    x = overlap_add(patches, 5, 1)
    assert x.tolist() == [[0.0, 1.5, 4.0, 6.0, 9.0]]
    x.sum().backward()
    # thirds in float32
    expected = torch.tensor([[1, 1 / 2, 1 / 3], [1 / 2, 1 / 3, 1 / 2], [1 / 3, 1 / 2, 1]])
    assert torch.allclose(patches.grad[0], expected)


def test_masks_are_cut_like_signals():
    valid = torch.tensor([True, True, True, False])
    assert overlapping_patches(valid, 2, 2).tolist() == [[True, True], [True, False], [False] * 2]


def test_overlapping_patches_that_cannot_be_cut_are_refused():
    with pytest.raises(DataError, match="7 samples, less than one patch of 8"):
        overlapping_patches(torch.zeros(2, 7), 8, 4)
    with pytest.raises(ConfigError, match="8 samples every 9 leave samples out"):
        n_overlapping_patches(20, 8, 9)
    with pytest.raises(ConfigError, match="every 0"):
        n_overlapping_patches(20, 8, 0)
    with pytest.raises(DataError, match="end at sample 12, before the 13"):
        overlap_add(torch.zeros(3, 4), 13, 4)
