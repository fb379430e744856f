"""Correlation in torch: equal to numpy, with gradients that stay finite."""

import numpy as np
import pytest
import torch

from neuro.connectivity import correlation, vector_of
from neuro.connectivity.tensors import batch_correlation, batch_vector
from neuro.errors import DataError


def signals(dtype=torch.float32, n=3):
    x = np.random.default_rng(0).standard_normal((n, 6, 200)).cumsum(axis=2)
    return torch.as_tensor(x, dtype=dtype)


def test_equals_numpy():
    x = signals()
    expected = np.stack([correlation(e.numpy()) for e in x])
    np.testing.assert_allclose(batch_correlation(x).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(
        batch_vector(batch_correlation(x)).numpy(), vector_of(expected), atol=1e-5
    )


def test_masked_samples_do_not_count():
    x = signals(torch.float64)
    mask = torch.ones(3, 200, dtype=torch.bool)
    mask[:, 120:] = False
    spoilt = x.clone()
    spoilt[:, :, 120:] = float("nan")
    torch.testing.assert_close(batch_correlation(spoilt, mask), batch_correlation(x[:, :, :120]))


def test_gradient_is_right_and_finite_with_a_constant_row():
    x = signals(torch.float64, n=1)[:, :4, :12].requires_grad_()
    assert torch.autograd.gradcheck(lambda v: batch_vector(batch_correlation(v)), (x,))
    flat = signals().clone()
    flat[:, 2] = 5.0
    flat.requires_grad_()
    found = batch_correlation(flat)
    found.sum().backward()
    assert (found[:, 2] == 0).all()
    assert torch.isfinite(flat.grad).all()


def test_unbatched_signals_are_refused():
    with pytest.raises(DataError, match=r"Expected \(batch"):
        batch_correlation(torch.zeros(3, 4))
