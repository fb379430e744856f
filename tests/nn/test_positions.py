import pytest
import torch

from neuro.errors import ConfigError
from neuro.nn.positions import ChannelPlaces, time_code


def test_the_fastest_and_slowest_pair_have_the_stated_periods():
    moments = torch.tensor([0.0, 0.5, 8.0])
    code = time_code(moments, 6, shortest_s=0.5, longest_s=8.0)
    # one whole period of the fastest pair after 0.5 s, of the slowest after 8 s
    assert torch.allclose(code[1, [0, 3]], code[0, [0, 3]], atol=1e-5)
    assert torch.allclose(code[2, [2, 5]], code[0, [2, 5]], atol=1e-5)
    assert not torch.allclose(code[1, [2, 5]], code[0, [2, 5]], atol=1e-2)


def test_one_moment_has_one_code_whatever_the_rate():
    at_100_hz = time_code(torch.arange(200) / 100.0, 8, 0.1, 10.0)
    at_250_hz = time_code(torch.arange(500) / 250.0, 8, 0.1, 10.0)
    # sample 20 of one and 50 of the other are both 0.2 s; float32 angles
    assert torch.allclose(at_100_hz[::2], at_250_hz[::5], atol=1e-4)


def test_moments_are_told_apart():
    code = time_code(torch.arange(50) * 0.1, 16, 0.2, 20.0)
    distance = torch.cdist(code, code) + 9 * torch.eye(50)
    assert distance.min() > 0.1


@pytest.mark.parametrize(("width", "shortest", "longest"), [(5, 1, 2), (4, 2, 1), (4, 0, 1)])
def test_impossible_codes_are_refused(width, shortest, longest):
    with pytest.raises(ConfigError, match="time code of width"):
        time_code(torch.zeros(1), width, shortest, longest)


def test_places_of_two_electrodes_differ_and_do_not_depend_on_others():
    torch.manual_seed(0)
    places, spots = ChannelPlaces(8), 0.1 * torch.randn(1, 5, 3)
    embedded = places(spots)
    # one row or five go through different kernels: rounding
    assert torch.allclose(places(spots[:, 2:3]), embedded[:, 2:3], atol=1e-5)
    assert torch.cdist(embedded[0], embedded[0]).add(torch.eye(5)).min() > 1e-3


def test_an_unknown_place_gets_its_own_vector_and_passes_gradient():
    torch.manual_seed(0)
    places = ChannelPlaces(8)
    spots = torch.full((1, 2, 3), float("nan"))
    spots[0, 0] = 0.05
    embedded = places(spots)
    assert torch.equal(embedded[0, 1], places.unknown)
    embedded.sum().backward()
    # a NaN that only hid behind the mask would come back here
    assert all(p.grad.isfinite().all() for p in places.parameters())
