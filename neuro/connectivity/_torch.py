"""The spectral measures on torch tensors: differentiable, on any device.

The same sums and formulas as the array path, with whole tensors instead of
compiled loops; memory grows with windows x pairs x frequencies.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from neuro.connectivity._sums import Statistics
from neuro.signal.cross import Tapering
from neuro.signal.spectra import _sides
from neuro.typing import AnyArray

if TYPE_CHECKING:
    import torch

__all__ = ["TensorSums", "as_array", "full_matrices", "is_tensor", "like", "tensor_sums"]


def is_tensor(x: object) -> bool:
    """Whether ``x`` is a torch tensor, without importing torch."""
    return type(x).__module__.partition(".")[0] == "torch" and hasattr(x, "device")


def as_array(x: "torch.Tensor") -> AnyArray:
    """Samples of a tensor as an array, detached."""
    return np.asarray(x.detach().cpu().numpy())


def like(a: AnyArray, other: Any) -> Any:
    """``a`` as a tensor that fits ``other``, or as it is where that is an array."""
    if not is_tensor(other):
        return a
    import torch

    return torch.as_tensor(a, dtype=other.dtype, device=other.device)


class TensorSums:
    """Sums over windows with the attributes the formulas read.

    Parameters
    ----------
    density : complex tensor, shape (n_windows, n_freqs, n_chans, n_chans)
        Cross-spectrum of each window.
    wanted : frozenset of str
        Which statistics to keep.
    """

    def __init__(self, density: "torch.Tensor", wanted: Statistics) -> None:
        import torch

        self.n = self.n2 = float(density.shape[0])
        rows, columns = np.triu_indices(density.shape[-1], 1)
        pairs = density[..., rows, columns]
        power = torch.diagonal(density.sum(dim=0).real, dim1=-2, dim2=-1)
        auto = (power[..., rows] * power[..., columns]).sqrt()
        self.cross, self.auto = pairs.sum(dim=0), auto + (auto == 0)
        if "absim" in wanted:
            self.absim = pairs.imag.abs().sum(dim=0)
        if "im2" in wanted:
            self.im2 = (pairs.imag**2).sum(dim=0)
        if "sign" in wanted:  # piecewise constant: its gradient is 0 everywhere
            self.sign = pairs.imag.sign().sum(dim=0)
        if "phase" in wanted:
            size = pairs.abs()
            unit = pairs / (size + (size == 0))
            self.phase_re, self.phase_im = unit.real.sum(dim=0), unit.imag.sum(dim=0)


def tensor_sums(
    x: "torch.Tensor", transform: Tapering, step: int, wanted: Statistics
) -> TensorSums:
    """Sums over all windows of a tensor of trials.

    Parameters
    ----------
    x : tensor, shape (n_epochs, n_chans, n_times)
        Trials.
    transform : Tapering
        Tapers and bins.
    step : int
        Samples from one window to the next.
    wanted : frozenset of str
        Statistics to keep.

    Returns
    -------
    TensorSums
        On the device and in the precision of x.
    """
    import torch

    windows = x.unfold(-1, transform.n_times, step).transpose(1, 2)
    windows = windows.reshape(-1, x.shape[1], transform.n_times)
    windows = windows - windows.mean(dim=-1, keepdim=True)
    tapers = torch.as_tensor(transform.tapers, dtype=x.dtype, device=x.device)
    scale = np.sqrt(_sides(transform.n_times)[transform.bins])
    full = torch.fft.rfft(windows.unsqueeze(-2) * tapers)[..., transform.bins]
    z = full * torch.as_tensor(scale, dtype=x.dtype, device=x.device)
    z = z.permute(0, 3, 1, 2)  # window, freq, channel, taper
    return TensorSums(z @ z.conj().transpose(-1, -2), wanted)


def full_matrices(packed: Any, n_chans: int, symmetry: str, diagonal: float) -> "torch.Tensor":
    """As :func:`neuro.connectivity._sums.unpack`, without breaking the gradient."""
    import torch

    rows, columns = np.triu_indices(n_chans, 1)
    place = torch.zeros((n_chans, n_chans), dtype=torch.long, device=packed.device)
    order = torch.arange(len(rows), device=packed.device)
    place[rows, columns] = place[columns, rows] = order
    spread = packed[..., place]
    mirror = {"symmetric": spread, "antisymmetric": -spread, "complement": 1 - spread}[symmetry]
    lower = torch.ones_like(place).tril(-1).bool()
    eye = torch.eye(n_chans, dtype=torch.bool, device=packed.device)
    out = torch.where(lower, mirror, spread)
    return torch.where(
        eye, torch.as_tensor(diagonal, dtype=packed.dtype, device=packed.device), out
    )
