"""Correlation in torch: equal to numpy, with gradients that stay finite."""

import numpy as np
import pytest
import torch

from neuro.connectivity import correlation, vector_of
from neuro.connectivity.tensors import (
    batch_correlation,
    batch_vector,
    correlation_percentile,
    windowed_batch_correlation,
    windowed_batch_graphs,
)
from neuro.errors import ConfigError, DataError


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


# -- windows and graphs ---------------------------------------------------------------------


def correlations(n, n_windows=3, seed=0, dtype=torch.float32):
    x = torch.as_tensor(np.random.default_rng(seed).standard_normal((n_windows, n, 40)))
    return batch_correlation(x.to(dtype))


def test_windows_equal_numpy():
    x = torch.as_tensor(np.random.default_rng(1).standard_normal((2, 7, 90)).cumsum(axis=2))
    starts = torch.tensor([[0, 3, 11, 40, 60], [60, 2, 2, 9, 33]])
    found = windowed_batch_correlation(x.float(), starts, 30)
    for b in range(2):
        for w, s in enumerate(starts[b].tolist()):
            expected = np.corrcoef(x[b, :, s : s + 30])
            # float32 of a random walk
            np.testing.assert_allclose(found[b, w], expected, atol=1e-5)


def test_windows_have_the_gradient_of_their_parts():
    x = signals(torch.float64, n=1)[:, :4, :14].requires_grad_()
    starts = torch.tensor([0, 2])
    assert torch.autograd.gradcheck(lambda v: windowed_batch_correlation(v, starts, 10), (x,))


def test_masked_samples_of_windows_do_not_count():
    x, starts = signals(torch.float64, n=2), torch.tensor([0, 50])
    mask = torch.ones(2, 200, dtype=torch.bool)
    mask[1, 60:70] = False
    spoilt = torch.where(mask[:, None], x, torch.nan)
    found = windowed_batch_correlation(spoilt, starts, 40, mask)
    kept = torch.cat([x[1:, :, 50:60], x[1:, :, 70:90]], dim=2)
    torch.testing.assert_close(found[1, 1], batch_correlation(kept)[0])
    torch.testing.assert_close(found[0], windowed_batch_correlation(x, starts, 40)[0])


@pytest.mark.parametrize("n", [4, 25, 140])  # 140: enough pairs for the compiled shortcut
@pytest.mark.parametrize("percent", [0, 12.5, 70, 99.9, 100])
def test_percentile_is_numpys(n, percent):
    matrix = correlations(n)
    matrix.diagonal(dim1=1, dim2=2).fill_(1.0)
    expected = [np.percentile(m.double().numpy(), percent) for m in matrix]
    found = correlation_percentile(matrix, percent)
    np.testing.assert_array_equal(found, np.asarray(expected, dtype=np.float32))


def test_percentile_of_many_equal_values():
    matrix = torch.ones(1, 200, 200)
    matrix[0, :100, 100:] = matrix[0, 100:, :100] = 0.25
    assert correlation_percentile(matrix, 49).item() == 0.25
    assert correlation_percentile(matrix, 50).item() == 0.625
    assert correlation_percentile(matrix, 51).item() == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_percentile_of_some_entries(dtype):
    matrix = correlations(30, dtype=dtype)
    matrix.diagonal(dim1=1, dim2=2).fill_(1.0)
    use = torch.rand(3, 30, 30, generator=torch.Generator().manual_seed(0)) < 0.6
    use = use | use.transpose(1, 2)
    use[:, 4, 4] = False
    found = correlation_percentile(matrix, 70, use)
    for m, u, value in zip(matrix, use, found, strict=True):
        # the two ways differ in the order of one addition
        assert value.item() == pytest.approx(np.percentile(m[u].double(), 70), abs=1e-7)
    assert correlation_percentile(matrix, 70, torch.zeros_like(use)).isnan().all()


def test_graphs_are_symmetric_and_have_their_density():
    x = torch.as_tensor(np.random.default_rng(2).standard_normal((2, 40, 120))).float()
    edges, nodes = windowed_batch_graphs(x, torch.tensor([0, 30, 70]), 50, 70)
    assert nodes.all()
    assert torch.equal(edges, edges.transpose(2, 3))
    assert edges.diagonal(dim1=2, dim2=3).all()
    density = edges.float().mean(dim=(2, 3))
    assert ((density - 0.3).abs() <= 1 / 40).all()


def test_a_constant_signal_is_no_node_and_leaves_the_others_alone():
    x = torch.as_tensor(np.random.default_rng(3).standard_normal((1, 12, 60))).float()
    starts = torch.tensor([0, 10])
    edges, _ = windowed_batch_graphs(x, starts, 50, 70)
    dead = torch.cat([x[:, :5], torch.full_like(x[:, :1], 7.0), x[:, 5:]], dim=1)
    found, nodes = windowed_batch_graphs(dead, starts, 50, 70)
    rest = [i for i in range(13) if i != 5]
    assert nodes[0, 0].tolist() == [i != 5 for i in range(13)]
    assert not found[:, :, 5].any()
    assert torch.equal(found[:, :, rest][:, :, :, rest], edges)


def test_a_window_beyond_the_signal_is_refused():
    x = signals()
    with pytest.raises(DataError, match="last possible start is 150"):
        windowed_batch_correlation(x, torch.tensor([0, 151]), 50)
    with pytest.raises(DataError, match="201 samples or more"):
        windowed_batch_graphs(x, torch.tensor([0]), 201, 70)
    with pytest.raises(ConfigError, match="percent=101"):
        windowed_batch_graphs(x, torch.tensor([0]), 20, 101)
