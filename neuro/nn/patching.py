"""Cut a signal into patches along time and put it together again."""

import torch
from torch import Tensor
from torch.nn import functional as F

from neuro.errors import ConfigError, DataError

__all__ = [
    "n_overlapping_patches",
    "n_patches",
    "overlap_add",
    "overlapping_patches",
    "pad_to_patches",
    "patchify",
    "unpatchify",
]


def n_patches(n_times: int, patch_times: int) -> int:
    """Patches that cover a window; the last one may be partly empty.

    Parameters
    ----------
    n_times : int
        Samples in the window.
    patch_times : int
        Samples in one patch.

    Returns
    -------
    int
        ``ceil(n_times / patch_times)``.

    Raises
    ------
    ConfigError
        If the patch length is not positive.

    Examples
    --------
    >>> n_patches(100, 32)
    4
    """
    if patch_times < 1:
        raise ConfigError(f"patch_times is {patch_times}; a patch needs at least one sample.")
    return -(-n_times // patch_times)


def pad_to_patches(x: Tensor, patch_times: int, value: float | bool = 0.0) -> Tensor:
    """Lengthen the last axis to a whole number of patches.

    Parameters
    ----------
    x : Tensor, shape (..., n_times)
        Signal or mask, time last.
    patch_times : int
        Samples in one patch.
    value : float or bool
        What the new samples hold.

    Returns
    -------
    Tensor, shape (..., n_patches * patch_times)
        `x` itself when nothing has to be added.

    Examples
    --------
    >>> import torch
    >>> pad_to_patches(torch.ones(5), 3)
    tensor([1., 1., 1., 1., 1., 0.])
    """
    n_times = x.shape[-1]
    missing = n_patches(n_times, patch_times) * patch_times - n_times
    return F.pad(x, (0, missing), value=value) if missing else x


def patchify(x: Tensor, patch_times: int) -> Tensor:
    """Non-overlapping patches of each row.

    Parameters
    ----------
    x : Tensor, shape (..., n_times)
        Signal whose length is a multiple of `patch_times`.
    patch_times : int
        Samples in one patch.

    Returns
    -------
    Tensor, shape (..., n_patches, patch_times)
        A view of `x` where its memory allows.

    Raises
    ------
    DataError
        If the length is not a multiple of the patch.

    Examples
    --------
    >>> import torch
    >>> patchify(torch.arange(6), 3)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    n_times = x.shape[-1]
    if n_patches(n_times, patch_times) * patch_times != n_times:
        raise DataError(
            f"{n_times} samples are not a whole number of patches of {patch_times}; "
            "lengthen the signal with pad_to_patches first."
        )
    return x.reshape(*x.shape[:-1], n_times // patch_times, patch_times)


def unpatchify(patches: Tensor, n_times: int | None = None) -> Tensor:
    """Exact inverse of `patchify`.

    Parameters
    ----------
    patches : Tensor, shape (..., n_patches, patch_times)
        Patches in order of time.
    n_times : int, optional
        Length of the result; samples behind it were padding and are dropped.

    Returns
    -------
    Tensor, shape (..., n_times)
        The signal.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(6.0)
    >>> torch.equal(unpatchify(patchify(x, 2)), x)
    True
    """
    x = patches.reshape(*patches.shape[:-2], patches.shape[-2] * patches.shape[-1])
    return x if n_times is None else x[..., :n_times]


def n_overlapping_patches(
    n_times: int, patch_times: int, step_times: int, *, pad_end: bool = True
) -> int:
    """Number of patches that `overlapping_patches` cuts.

    Parameters
    ----------
    n_times : int
        Samples in the window.
    patch_times : int
        Samples in one patch.
    step_times : int
        Samples from one patch's start to the next, at most a patch.
    pad_end : bool
        True: the end is always lengthened by one step, ``floor((n_times -
        patch_times) / step_times) + 2`` patches, as PatchTST does (Nie et al.,
        arXiv 2211.14730, section 3.1). False: only where samples would be lost.

    Returns
    -------
    int

    Raises
    ------
    ConfigError
        If the patch is empty or the step does not lie between 1 and a patch.
    DataError
        If the window is shorter than a patch.

    Examples
    --------
    >>> n_overlapping_patches(1200, 100, 50), n_overlapping_patches(1200, 100, 50, pad_end=False)
    (24, 23)
    """
    if not 1 <= step_times <= patch_times:
        raise ConfigError(
            f"Patches of {patch_times} samples every {step_times} leave samples out or do not "
            f"move on; use a step from 1 to {max(patch_times, 1)}."
        )
    if n_times < patch_times:
        raise DataError(
            f"The window has {n_times} samples, less than one patch of {patch_times}; "
            "give a longer window or shorter patches."
        )
    steps, rest = divmod(n_times - patch_times, step_times)
    return steps + 1 + bool(pad_end or rest)


def overlapping_patches(
    x: Tensor, patch_times: int, step_times: int, *, pad_end: bool = True
) -> Tensor:
    """Patches of each row that may share samples.

    Parameters
    ----------
    x : Tensor, shape (..., n_times)
        Signal or mask, time last.
    patch_times : int
        Samples in one patch.
    step_times : int
        Samples from one patch's start to the next, at most a patch.
    pad_end : bool
        Lengthen the end by a step always, or only where samples would be lost;
        see `n_overlapping_patches`. The new samples repeat the last one.

    Returns
    -------
    Tensor, shape (..., n_patches, patch_times)
        A view where nothing had to be added.

    Raises
    ------
    ConfigError
        If the step does not lie between 1 and a patch.
    DataError
        If the window is shorter than a patch.

    Examples
    --------
    >>> import torch
    >>> overlapping_patches(torch.arange(5), 4, 2)
    tensor([[0, 1, 2, 3],
            [2, 3, 4, 4]])
    """
    n_times = x.shape[-1]
    n = n_overlapping_patches(n_times, patch_times, step_times, pad_end=pad_end)
    missing = (n - 1) * step_times + patch_times - n_times
    if missing > 0:
        x = torch.cat([x, x[..., -1:].expand(*x.shape[:-1], missing)], dim=-1)
    return x.unfold(-1, patch_times, step_times)


def overlap_add(patches: Tensor, n_times: int, step_times: int) -> Tensor:
    """Mean of all patches that cover a sample: undoes `overlapping_patches`.

    Parameters
    ----------
    patches : Tensor, shape (..., n_patches, patch_times)
        Patches in order of time.
    n_times : int
        Length of the result; samples behind it were padding and are dropped.
    step_times : int
        Samples from one patch's start to the next.

    Returns
    -------
    Tensor, shape (..., n_times)
        The signal.

    Raises
    ------
    DataError
        If the patches do not reach the end of the signal.

    Examples
    --------
    >>> import torch
    >>> overlap_add(torch.tensor([[1.0, 1, 1, 1], [3, 3, 3, 3]]), 5, 2)
    tensor([1., 1., 2., 2., 3.])
    """
    n, patch_times = patches.shape[-2:]
    covered = (n - 1) * step_times + patch_times
    if covered < n_times:
        raise DataError(
            f"{n} patches of {patch_times} samples every {step_times} end at sample {covered}, "
            f"before the {n_times} that are asked for."
        )
    if step_times == patch_times:
        return unpatchify(patches, n_times)
    starts = torch.arange(n, device=patches.device)[:, None] * step_times
    where = (starts + torch.arange(patch_times, device=patches.device)).flatten()
    total = patches.new_zeros(*patches.shape[:-2], covered)
    total = total.index_add(-1, where, patches.flatten(-2))
    counts = torch.bincount(where, minlength=covered).to(patches.dtype)
    return (total / counts)[..., :n_times]
