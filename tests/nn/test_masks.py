import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuro.errors import ConfigError
from neuro.nn.masks import choose_visible, gather_tokens, mask_scores, valid_samples

KINDS = ["random", "span", "channel", "time", "mixed"]


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _hidden(kind, shape, ratio=0.5, seed=0, span=3):
    scores = mask_scores(kind, shape, _rng(seed), span=span)
    return choose_visible(scores.flatten(1), ratio).hidden.reshape(shape)


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_hides_exactly_the_asked_number(kind):
    hidden = _hidden(kind, (50, 4, 10), ratio=0.6)
    assert hidden.flatten(1).sum(dim=1).unique().tolist() == [24]


@pytest.mark.parametrize("kind", KINDS)
def test_one_generator_decides_everything(kind):
    state = torch.random.get_rng_state()
    assert torch.equal(_hidden(kind, (8, 3, 9), seed=1), _hidden(kind, (8, 3, 9), seed=1))
    assert not torch.equal(_hidden(kind, (8, 3, 9), seed=1), _hidden(kind, (8, 3, 9), seed=2))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_random_hides_every_token_equally_often():
    share = _hidden("random", (4000, 2, 5), ratio=0.5).float().mean(dim=0)
    # 5 sigma of a binomial share over 4000 examples
    assert (share - 0.5).abs().max() < 5 * (0.25 / 4000) ** 0.5


def test_channel_hides_whole_channels():
    hidden = _hidden("channel", (100, 6, 7), ratio=0.5)
    assert set(hidden.sum(dim=2).unique().tolist()) == {0, 7}


def test_time_hides_the_same_moments_in_all_channels():
    hidden = _hidden("time", (100, 4, 12), ratio=0.5)
    assert set(hidden.sum(dim=1).unique().tolist()) == {0, 4}


def test_spans_are_longer_than_chance():
    def mean_run(kind):
        flags = _hidden(kind, (400, 3, 30), span=5).flatten(0, 1).int()
        return flags.sum() / (flags.diff(prepend=torch.zeros(1200, 1).int(), dim=1) == 1).sum()

    # random runs at ratio 1/2 have a mean length of 2; spans at least their own length
    assert mean_run("random") < 2.5
    assert mean_run("span") > 5


def test_mixed_uses_every_rule():
    hidden = _hidden("mixed", (400, 4, 12))
    whole_channel = ((hidden.sum(dim=2) == 0) | (hidden.sum(dim=2) == 12)).all(dim=1)
    whole_moment = ((hidden.sum(dim=1) == 0) | (hidden.sum(dim=1) == 4)).all(dim=1)
    # a quarter each, within 5 sigma of a binomial share over 400 examples
    for share in (whole_channel.float().mean(), whole_moment.float().mean()):
        assert abs(share - 0.25) < 5 * (0.25 * 0.75 / 400) ** 0.5


@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_padding_is_neither_kept_nor_hidden(seed, ratio):
    valid = torch.rand(5, 12, generator=_rng(seed)) < 0.7
    valid[:, 0] = True
    visible = choose_visible(torch.rand(5, 12, generator=_rng(seed + 1)), ratio, valid)
    assert visible.filled is not None
    for row in range(5):
        kept = visible.kept[row][visible.filled[row]].tolist()
        hidden = visible.hidden[row].nonzero().flatten().tolist()
        assert sorted(kept + hidden) == valid[row].nonzero().flatten().tolist()
        n = int(valid[row].sum())
        assert len(kept) == max(1, min(round((1 - ratio) * n), n - 1))


def test_padding_does_not_change_what_a_full_mask_keeps():
    scores = torch.rand(6, 10, generator=_rng())
    plain = choose_visible(scores, 0.7)
    masked = choose_visible(scores, 0.7, torch.ones(6, 10, dtype=torch.bool))
    assert torch.equal(plain.kept, masked.kept)
    assert masked.filled is not None
    assert masked.filled.all()


def test_gather_takes_tokens_in_the_order_of_the_index():
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    taken = gather_tokens(tokens, torch.tensor([[3, 0], [1, 1]]))
    assert torch.equal(taken[0], tokens[0, [3, 0]])
    assert torch.equal(taken[1], tokens[1, [1, 1]])


def test_a_wrong_name_is_answered_with_the_right_one():
    with pytest.raises(ConfigError, match="Did you mean 'channel'"):
        mask_scores("channels", (1, 2, 3), _rng())


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5])
def test_a_ratio_that_hides_nothing_or_all_is_refused(ratio):
    with pytest.raises(ConfigError, match="mask ratio"):
        choose_visible(torch.zeros(1, 4), ratio)


def test_a_sample_exists_where_its_channel_and_its_moment_do():
    x = torch.full((2, 3, 4), float("nan"))
    channels = torch.tensor([[True, True, False], [True, True, True]])
    moments = torch.tensor([[True] * 4, [True, True, False, False]])
    assert valid_samples(x, None, None) is None
    both = valid_samples(x, channels, moments)
    assert both is not None
    assert both.sum(dim=(1, 2)).tolist() == [8, 6]
    assert not both[0, 2].any()
    assert not both[1, :, 2:].any()
    assert torch.equal(valid_samples(x, channels, None), channels[:, :, None].expand(2, 3, 4))
    assert torch.equal(valid_samples(x, None, moments), moments[:, None].expand(2, 3, 4))
