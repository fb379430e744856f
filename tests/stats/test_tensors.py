"""Torch tensors give what arrays give, as tensors."""

import numpy as np
import pytest
import torch

from neuro.stats import (
    benjamini_hochberg,
    circular_shift,
    correlation_test,
    effective_n,
    max_statistic,
    pearson,
    permutation_p,
    permute_blocks,
    permute_labels,
    phase_randomise,
)

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, 3, 60))
LABELS, BLOCKS = np.arange(12) // 3 % 2, np.arange(12) // 3


@pytest.mark.parametrize(
    ("function", "arrays", "options"),
    [
        (pearson, (X, Y), {}),
        (effective_n, (X, Y), {}),
        (circular_shift, (X,), {"n": 3, "seed": 0}),
        (phase_randomise, (X,), {"n": 3, "seed": 0}),
        (permute_labels, (LABELS,), {"n": 3, "seed": 0, "groups": np.arange(12) % 2}),
        (permute_blocks, (LABELS, BLOCKS), {"n": 3, "seed": 0}),
        (permutation_p, (X, np.stack([X, Y, Y])), {}),
        (max_statistic, (X, np.stack([X, Y, Y])), {}),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_tensors_in_tensors_out(function, arrays, options):
    expected = function(*arrays, **options)
    options = {
        k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()
    }
    got = function(*(torch.from_numpy(a) for a in arrays), **options)
    assert isinstance(got, torch.Tensor)
    np.testing.assert_array_equal(got.numpy(), expected)


def test_named_results_hold_tensors():
    tested = correlation_test(torch.from_numpy(X), torch.from_numpy(Y))
    assert all(isinstance(part, torch.Tensor) for part in tested)
    np.testing.assert_array_equal(tested.p.numpy(), correlation_test(X, Y).p)
    found = benjamini_hochberg(torch.tensor([0.001, 0.5]))
    assert found.rejected.dtype == torch.bool


def test_the_type_is_kept_and_gradients_are_left_behind():
    x = torch.randn(2, 40, dtype=torch.float32, requires_grad=True)
    drawn = phase_randomise(x, n=4, seed=0)
    assert drawn.dtype == torch.float32
    assert not drawn.requires_grad
    half = pearson(x.to(torch.bfloat16), x.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    assert (half == 1).all()


def test_array_beside_a_tensor():
    got = pearson(X, torch.from_numpy(Y))
    np.testing.assert_array_equal(got.numpy(), pearson(X, Y))
