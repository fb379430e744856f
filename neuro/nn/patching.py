"""Cut a signal into patches along time and put it together again."""

from torch import Tensor
from torch.nn import functional as F

from neuro.errors import ConfigError, DataError

__all__ = ["n_patches", "pad_to_patches", "patchify", "unpatchify"]


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
