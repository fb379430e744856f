import pytest
import torch

from neuro.errors import ConfigError, DataError
from neuro.nn.scaling import Scaling, moments, robust_center_scale


def _patches(batch=4, n_chans=3, n_patch=5, width=10, seed=0):
    rng = torch.Generator().manual_seed(seed)
    size = torch.tensor([1.0, 10.0, 100.0])[:n_chans, None, None]
    return 5.0 + size * torch.randn(batch, n_chans, n_patch, width, generator=rng)


def test_fixed_scale_keeps_differences_of_amplitude_between_windows():
    scaling = Scaling("fixed", n_rows=3, typical=20.0)
    scaling.fit(_patches(batch=200))
    quiet, _ = scaling(_patches())
    loud, _ = scaling(2 * (_patches() - 5) + 5)
    # the deviation doubles; the centre is known within its sampling error
    assert loud.std() / quiet.std() == pytest.approx(2.0, rel=0.02)


def test_fixed_scale_brings_each_channel_to_unit_size():
    scaling = Scaling("fixed", n_rows=3, typical=20.0)
    scaling.fit(_patches(batch=200))
    z, features = scaling(_patches(batch=200, seed=1))
    assert features is None
    # 10,000 samples a channel: deviation known to 1 %, quartiles to about 2 %
    assert z.std(dim=(0, 2, 3)).tolist() == pytest.approx([1, 1, 1], rel=0.05)


def test_rows_follow_the_channel_index():
    scaling = Scaling("fixed", n_rows=3, typical=20.0)
    scaling.fit(_patches(batch=50))
    order = torch.tensor([2, 0])
    z, _ = scaling(_patches())
    picked, _ = scaling(_patches()[:, order], channel_index=order)
    assert torch.equal(picked, z[:, order])


@pytest.mark.parametrize("kind", ["window", "channel"])
def test_window_statistics_ignore_gain_and_tell_it_as_a_feature(kind):
    scaling = Scaling(kind, n_rows=1, typical=10.0)
    z, features = scaling(_patches())
    louder, more = scaling(3 * _patches())
    assert torch.allclose(louder, z, atol=1e-4)
    # log of three times the size
    assert torch.allclose(more[..., 1] - features[..., 1], torch.log(torch.tensor(3.0)), atol=1e-4)


@pytest.mark.parametrize("kind", ["window", "channel"])
def test_hidden_patches_do_not_enter_the_statistics(kind):
    scaling, patches = Scaling(kind, n_rows=1, typical=10.0), _patches()
    seen = torch.ones(4, 3, 5, dtype=torch.bool)
    seen[:, 1, 2] = False
    changed = patches.clone()
    changed[:, 1, 2] += 1000.0
    z, features = scaling(patches, None, seen)
    other, same = scaling(changed, None, seen)
    assert torch.equal(z[seen], other[seen])
    assert torch.equal(features, same)


def test_a_channel_of_which_nothing_is_seen_borrows_the_windows_scale():
    scaling, patches = Scaling("channel", n_rows=1, typical=10.0), _patches()
    seen = torch.ones(4, 3, 5, dtype=torch.bool)
    seen[:, 0] = False
    whole, _ = Scaling("window", n_rows=1, typical=10.0)(patches, None, seen)
    assert torch.allclose(scaling(patches, None, seen)[0][:, 0], whole[:, 0])


def test_a_flat_channel_gives_zeros_and_not_magnified_noise():
    scaling = Scaling("channel", n_rows=1, typical=10.0)
    flat = 7.0 + 1e-6 * torch.randn(2, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    assert scaling(flat)[0].abs().max() < 1e-3


def test_missing_samples_come_out_as_zero_and_do_not_count():
    scaling, patches = Scaling("window", n_rows=1, typical=10.0), _patches()
    valid = torch.ones_like(patches, dtype=torch.bool)
    valid[:, 2] = False
    z, features = scaling(patches, valid)
    alone, same = scaling(patches[:, :2])
    assert z[:, 2].abs().max() == 0
    assert torch.allclose(z[:, :2], alone, atol=1e-5)
    assert torch.allclose(features, same, atol=1e-5)


def test_artefacts_are_clipped():
    scaling = Scaling("fixed", n_rows=1, typical=1.0, clip=5.0)
    assert scaling(torch.full((1, 1, 1, 1), -1e9))[0].item() == -5.0


def test_sparse_counts_are_scaled_by_their_deviation():
    counts = torch.zeros(1, 1000)
    counts[0, :30] = 1.0
    center, scale = robust_center_scale(counts, torch.ones(1, 1000, dtype=torch.bool))
    # quartiles are all 0; root of 30 / 1000
    assert center.item() == 0
    assert scale.item() == pytest.approx(0.03**0.5)


def test_nothing_known_means_centre_zero_and_scale_one():
    center, scale = robust_center_scale(torch.ones(1, 4), torch.zeros(1, 4, dtype=torch.bool))
    assert (center.item(), scale.item()) == (0.0, 1.0)


def test_moments_have_a_finite_slope_where_patches_are_flat():
    x = torch.zeros(3, requires_grad=True)
    moments(x, None, (0,))[1].sum().backward()
    assert x.grad.isfinite().all()


def test_statistics_travel_with_the_state():
    fitted, fresh = (Scaling("fixed", n_rows=3, typical=20.0) for _ in range(2))
    fitted.fit(_patches())
    fresh.load_state_dict(fitted.state_dict())
    assert torch.equal(fresh(_patches())[0], fitted(_patches())[0])
    assert bool(fresh.known)


def test_other_channels_than_the_buffers_are_refused():
    with pytest.raises(DataError, match="The scale has 2 channels, the data 3"):
        Scaling("fixed", n_rows=2, typical=1.0).fit(_patches())


def test_a_wrong_kind_is_answered_with_the_right_one():
    with pytest.raises(ConfigError, match="Did you mean 'window'"):
        Scaling("windows", n_rows=1, typical=1.0)
