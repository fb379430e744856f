"""Correlation of whole batches in torch: on any device, with gradients."""

from typing import TYPE_CHECKING

from neuro.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["batch_correlation", "batch_vector"]


def batch_correlation(x: "Tensor", mask: "Tensor | None" = None, *, eps: float = 1e-6) -> "Tensor":
    """Pearson correlations between the rows of every example.

    Parameters
    ----------
    x : Tensor, shape (batch, n_chans, n_times)
        Signals; float32 or float64.
    mask : Tensor of bool, shape (batch, n_times), optional
        False where a sample does not count, as ``Batch.time_mask``.
    eps : float
        Share of a row's root mean square below which its variation is taken for
        rounding: such a row correlates 0 with all, and its gradient is finite.

    Returns
    -------
    Tensor, shape (batch, n_chans, n_chans)
        Diagonal 1, or 0 for a constant row.

    Raises
    ------
    DataError
        Wrong shapes.

    Examples
    --------
    >>> import torch
    >>> r = batch_correlation(torch.tensor([[[1.0, 2, 3], [3.0, 2, 1]]]))
    >>> round(r[0, 0, 1].item(), 3)
    -1.0
    """
    import torch

    if x.ndim != 3 or (mask is not None and mask.shape != (x.shape[0], x.shape[2])):
        shape = None if mask is None else tuple(mask.shape)
        raise DataError(f"Expected (batch, n_chans, n_times), got {tuple(x.shape)}, mask {shape}.")
    w = torch.ones_like(x[:, :1]) if mask is None else mask[:, None].to(x.dtype)
    count = w.sum(dim=2, keepdim=True).clamp(min=1)
    # where(), not a product: a missing sample may hold NaN, and NaN * 0 is NaN
    x = torch.where(w > 0, x, torch.zeros_like(x))
    size = (x * x).sum(dim=2, keepdim=True) / count
    x = (x - x.sum(dim=2, keepdim=True) / count) * w
    variance = (x * x).sum(dim=2, keepdim=True)
    alive = variance > eps**2 * size * count
    # the root of a safe number: sqrt has an infinite slope at 0
    norm = torch.where(alive, variance, torch.ones_like(variance)).sqrt()
    z = torch.where(alive, x / norm, torch.zeros_like(x))
    return torch.clamp(z @ z.transpose(1, 2), -1.0, 1.0)


def batch_vector(matrix: "Tensor") -> "Tensor":
    """Upper triangles row by row, in the order of :func:`neuro.connectivity.vector_of`.

    Parameters
    ----------
    matrix : Tensor, shape (..., n, n)
        Square matrices.

    Returns
    -------
    Tensor, shape (..., n * (n - 1) / 2)

    Examples
    --------
    >>> import torch
    >>> batch_vector(torch.arange(9.0).reshape(3, 3)).tolist()
    [1.0, 2.0, 5.0]
    """
    import torch

    n = matrix.shape[-1]
    rows, columns = torch.triu_indices(n, n, 1, device=matrix.device)
    return matrix[..., rows, columns]
