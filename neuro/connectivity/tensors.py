"""Correlation of whole batches in torch, and the graphs made of it: on any device."""

from typing import TYPE_CHECKING

from neuro.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "batch_correlation",
    "batch_vector",
    "correlation_percentile",
    "windowed_batch_correlation",
    "windowed_batch_graphs",
]

# Entries of all matrices that are worked on at a time: they stay in the cache.
_CHUNK = 1 << 19


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
    return (z @ z.transpose(1, 2)).clamp_(-1.0, 1.0)


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


def windowed_batch_correlation(
    x: "Tensor", starts: "Tensor", width: int, mask: "Tensor | None" = None
) -> "Tensor":
    """Pearson correlations in windows of every example.

    Parameters
    ----------
    x : Tensor, shape (batch, n_chans, n_times)
        Signals.
    starts : Tensor, shape (n_windows,) or (batch, n_windows), int64
        First sample of each window, the same for all examples or each its own.
    width : int
        Samples of a window.
    mask : Tensor of bool, shape (batch, n_times), optional
        False where a sample does not count.

    Returns
    -------
    Tensor, shape (batch, n_windows, n_chans, n_chans)
        As :func:`batch_correlation`; with the gradient of `x`.

    Raises
    ------
    DataError
        Wrong shapes, or a window that reaches beyond the signal.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[[0.0, 1, 2, 1, 0], [0.0, 1, 2, 3, 4]]])
    >>> windowed_batch_correlation(x, torch.tensor([0, 2]), 3)[0, :, 0, 1].round().tolist()
    [1.0, -1.0]
    """
    import torch

    windows, kept = _cut(x, starts, width, mask)
    shape = (*windows.shape[:2], x.shape[1], x.shape[1])
    windows = windows.flatten(0, 1)
    kept = None if kept is None else kept.flatten(0, 1)
    if torch.compiler.is_compiling() or (x.requires_grad and torch.is_grad_enabled()):
        return batch_correlation(windows, kept).reshape(shape)
    out = x.new_empty(len(windows), *shape[2:])
    for rows in _chunks(len(windows), x.shape[1]):
        out[rows] = batch_correlation(windows[rows], None if kept is None else kept[rows])
    return out.reshape(shape)


def windowed_batch_graphs(
    x: "Tensor", starts: "Tensor", width: int, percent: float, mask: "Tensor | None" = None
) -> tuple["Tensor", "Tensor"]:
    """Graphs of the strongest correlations in windows of every example.

    An edge is a correlation strictly above the percentile of its whole matrix,
    diagonal included: every node has an edge to itself, and a negative
    correlation is one only where the percentile is negative. Signals that are
    constant in a window are no nodes of its graph.

    Parameters
    ----------
    x, starts, width, mask
        As :func:`windowed_batch_correlation`.
    percent : float
        0 to 100; 70 keeps 30 % of the entries.

    Returns
    -------
    edges : Tensor, shape (batch, n_windows, n_chans, n_chans), bool
        Without gradient.
    nodes : Tensor, shape (batch, n_windows, n_chans), bool
        False where a signal is constant.

    Raises
    ------
    DataError
        As :func:`windowed_batch_correlation`.
    ConfigError
        If `percent` is out of range.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[[0.0, 1, 2, 1], [0.0, 1, 2, 3], [5.0, 5, 5, 5]]])
    >>> edges, nodes = windowed_batch_graphs(x, torch.tensor([0]), 4, percent=50)
    >>> edges[0, 0].int().tolist(), nodes[0, 0].tolist()
    ([[1, 0, 0], [0, 1, 0], [0, 0, 0]], [True, True, False])
    """
    import torch

    windows, kept = _cut(x.detach(), starts, width, mask)
    shape = (*windows.shape[:2], x.shape[1], x.shape[1])
    windows = windows.flatten(0, 1)
    kept = None if kept is None else kept.flatten(0, 1)
    if torch.compiler.is_compiling():
        edges, nodes = _graphs(batch_correlation(windows, kept), percent)
        return edges.reshape(shape), nodes.reshape(shape[:3])
    n_chans = x.shape[1]
    edges = torch.empty(len(windows), n_chans, n_chans, dtype=torch.bool, device=x.device)
    nodes = torch.empty(len(windows), n_chans, dtype=torch.bool, device=x.device)
    for rows in _chunks(len(windows), n_chans):
        matrix = batch_correlation(windows[rows], None if kept is None else kept[rows])
        edges[rows], nodes[rows] = _graphs(matrix, percent)
    return edges.reshape(shape), nodes.reshape(shape[:3])


def correlation_percentile(
    matrix: "Tensor", percent: float, use: "Tensor | None" = None
) -> "Tensor":
    """Percentile of all entries of each correlation matrix, diagonal included.

    Linear between order statistics, at position ``percent / 100 * (n - 1)`` of
    n entries, in double precision, then rounded to the matrix' own.

    Parameters
    ----------
    matrix : Tensor, shape (..., n_chans, n_chans)
        Symmetric, at most 1, ones on the diagonal where used.
    percent : float
        0 to 100.
    use : Tensor, same shape, bool, optional
        Symmetric; False where an entry does not count.

    Returns
    -------
    Tensor, shape (...)
        Without gradient; NaN where nothing counts.

    Raises
    ------
    ConfigError
        If `percent` is out of range.

    Examples
    --------
    >>> import torch
    >>> correlation_percentile(torch.tensor([[1.0, 0.25], [0.25, 1.0]]), 50).item()
    0.625
    """
    import torch

    if not 0 <= percent <= 100:
        raise ConfigError(f"percent={percent} is not possible; use 0 to 100.")
    size = (-1, *matrix.shape[-2:])
    flat = matrix.detach().reshape(size)
    used = None if use is None else use.expand_as(matrix).reshape(size)
    on_cpu = flat.device.type == "cpu" and flat.dtype == torch.float32
    if on_cpu and not torch.compiler.is_compiling():
        from neuro.connectivity._order_numba import percentiles

        found = torch.empty(len(flat), dtype=torch.float64)
        none = torch.empty(0, 0, 0, dtype=torch.bool)
        percentiles(
            flat.contiguous().numpy(),
            (none if used is None else used.contiguous()).numpy(),
            percent / 100,
            found.numpy(),
        )
    else:
        found = _sorted_percentile(flat.flatten(1), percent / 100, used)
    return found.to(matrix.dtype).reshape(matrix.shape[:-2])


def _sorted_percentile(values: "Tensor", share: float, used: "Tensor | None") -> "Tensor":
    import torch

    values = values.double()
    if used is None:
        count = torch.full_like(values[:, :1], values.shape[1])
    else:
        used = used.flatten(1)
        count = used.sum(dim=1, keepdim=True).double()
        values = values.masked_fill(~used, torch.inf)
    ordered = values.sort(dim=1).values
    position = share * (count - 1).clamp(min=0)
    place = position.floor()
    low = ordered.gather(1, place.long())
    high = ordered.gather(1, torch.minimum(place + 1, (count - 1).clamp(min=0)).long())
    found = low + (high - low) * (position - place)
    return torch.where(count > 0, found, torch.full_like(found, torch.nan)).squeeze(1)


def _graphs(matrix: "Tensor", percent: float) -> tuple["Tensor", "Tensor"]:
    """Edges and nodes of correlation matrices (n, n_chans, n_chans)."""
    import torch

    nodes = matrix.diagonal(dim1=-2, dim2=-1) > 0.5
    use = None
    if torch.compiler.is_compiling() or not bool(nodes.all()):
        use = nodes[:, :, None] & nodes[:, None, :]
    above = matrix > correlation_percentile(matrix, percent, use)[:, None, None]
    return above if use is None else above & use, nodes


def _cut(
    x: "Tensor", starts: "Tensor", width: int, mask: "Tensor | None"
) -> tuple["Tensor", "Tensor | None"]:
    """Windows (batch, n_windows, n_chans, width), and which samples of them count."""
    import torch

    if x.ndim != 3 or starts.ndim not in (1, 2) or not 1 <= width <= x.shape[-1]:
        raise DataError(
            f"Expected (batch, n_chans, n_times) of {width} samples or more and one list of "
            f"starts; got {tuple(x.shape)} and starts of shape {tuple(starts.shape)}."
        )
    last = x.shape[2] - width
    traced = torch.compiler.is_compiling()
    if not traced and starts.numel() and not 0 <= int(starts.min()) <= int(starts.max()) <= last:
        raise DataError(
            f"Windows of {width} samples that start at {int(starts.min())} to "
            f"{int(starts.max())} reach beyond the signal; the last possible start is {last}."
        )
    at = starts.expand(x.shape[0], -1)[..., None] + torch.arange(width, device=x.device)
    rows = torch.arange(x.shape[0], device=x.device)[:, None, None]
    kept = None if mask is None else mask[rows, at]
    # time before channels, so that one window is one stretch of memory to gather
    windows = x.transpose(1, 2).contiguous()[rows, at].transpose(2, 3)
    return windows, kept


def _chunks(n_windows: int, n_chans: int) -> list[slice]:
    step = max(1, _CHUNK // n_chans**2)
    return [slice(k, min(k + step, n_windows)) for k in range(0, n_windows, step)]
