"""Bring a signal to unit size without losing what its size tells.

The usual z-score of every window erases amplitude: band power, firing rate,
the sign of a slow potential. `Scaling` offers it, and also a fixed centre and
scale learned once from the training data.
"""

import math
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from neuro.errors import ConfigError, DataError, did_you_mean

__all__ = ["Scaling", "ScalingKind", "moments", "robust_center_scale"]

ScalingKind: TypeAlias = Literal["fixed", "window", "channel"]
# Share of the typical size below which a deviation counts as none: a flat
# channel must give zeros, not magnified rounding noise.
_FLOOR = 0.05


class Scaling(nn.Module):
    """Centre, scale and clip patches.

    Parameters
    ----------
    kind : {"fixed", "window", "channel"}
        Statistics of the training data, kept as buffers; of each window over
        all its channels; or of each channel of each window.
    n_rows : int
        Rows of the fixed statistics: one a channel, or 1 for all.
    typical : float
        Expected size of the signal in its unit: the fixed scale until `fit`
        is called, and the yardstick of the features.
    clip : float
        Limit of the result in both directions, which keeps single artefacts
        from ruling a batch.

    Raises
    ------
    ConfigError
        If the kind is unknown or a number not positive.

    Examples
    --------
    >>> import torch
    >>> scaling = Scaling("fixed", n_rows=1, typical=20.0)
    >>> patches = torch.full((1, 2, 3, 4), 40.0)
    >>> z, features = scaling(patches)
    >>> z.unique().tolist(), features
    ([2.0], None)
    """

    center: Tensor
    scale: Tensor
    known: Tensor

    def __init__(
        self, kind: ScalingKind, *, n_rows: int, typical: float, clip: float = 20.0
    ) -> None:
        super().__init__()
        if kind not in get_args(ScalingKind):
            raise ConfigError(
                f"No scaling is called {kind!r}. {did_you_mean(kind, get_args(ScalingKind))}"
            )
        if n_rows < 1 or typical <= 0 or clip <= 0:
            raise ConfigError(
                f"Scaling needs positive numbers, got n_rows = {n_rows}, typical = {typical}, "
                f"clip = {clip}."
            )
        self.kind = kind
        self.typical = typical
        self.clip = clip
        self.register_buffer("center", torch.zeros(n_rows))
        self.register_buffer("scale", torch.full((n_rows,), float(typical)))
        self.register_buffer("known", torch.tensor(False))

    @property
    def n_features(self) -> int:
        """Numbers a patch is told about its normaliser: none where it is fixed."""
        return 0 if self.kind == "fixed" else 2

    @torch.no_grad()
    def fit(self, patches: Tensor, valid: Tensor | None = None) -> None:
        """Set the fixed statistics from training data; see `robust_center_scale`.

        Parameters
        ----------
        patches : Tensor, shape (batch, n_chans, n_patches, patch_times)
            Training data; a few hundred windows are plenty.
        valid : Tensor, same shape, bool, optional
            False where a sample is missing.

        Raises
        ------
        DataError
            If the channels are not those of the buffers.
        """
        rows = len(self.center)
        if rows not in (1, patches.shape[1]):
            raise DataError(f"The scale has {rows} channels, the data {patches.shape[1]}.")
        values = patches.transpose(0, 1).reshape(rows, -1).double()
        if valid is None:
            there = torch.ones_like(values, dtype=torch.bool)
        else:
            there = valid.transpose(0, 1).reshape(rows, -1)
        center, scale = robust_center_scale(values, there)
        self.center.copy_(center)
        self.scale.copy_(scale)
        self.known.fill_(True)

    def forward(
        self,
        patches: Tensor,
        valid: Tensor | None = None,
        seen: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Scale.

        Parameters
        ----------
        patches : Tensor, shape (batch, n_chans, n_patches, patch_times)
            Signal in its unit; finite also where not valid.
        valid : Tensor, same shape, bool, optional
            False where a sample is missing; the result is 0 there.
        seen : Tensor, shape (batch, n_chans, n_patches), bool, optional
            Patches that statistics of a window may use. Without it a hidden
            patch would tell about itself through the mean.
        channel_index : Tensor, shape (n_chans,), int64, optional
            Row of each channel in the fixed statistics.

        Returns
        -------
        z : Tensor, same shape, float32
            Scaled signal.
        features : Tensor, shape (batch, n_chans or 1, 1, 2), or None
            Where the statistics vary: their centre (asinh) and scale (log), in
            typical sizes, so that a model can undo the loss of amplitude.
        """
        x = patches.float()
        features = None
        if self.kind == "fixed":
            center, scale = self.center, self.scale
            if len(center) > 1:
                rows = slice(x.shape[1]) if channel_index is None else channel_index
                center, scale = center[rows], scale[rows]
            center, scale = center[:, None, None], scale[:, None, None]
        else:
            center, scale = self._of_windows(x, valid, seen)
            features = torch.cat(
                [torch.asinh(center / self.typical), torch.log(scale / self.typical)], dim=-1
            )
        z = ((x - center) / scale).clamp(-self.clip, self.clip)
        return (z if valid is None else z.masked_fill(~valid, 0.0)), features

    def _of_windows(
        self, x: Tensor, valid: Tensor | None, seen: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        weight = torch.ones_like(x) if valid is None else valid.to(x.dtype)
        if seen is not None:
            weight = weight * seen[..., None]
        center, scale = moments(x, weight, (1, 2, 3))
        if self.kind == "channel":
            own_center, own_scale = moments(x, weight, (2, 3))
            # a channel of which nothing is visible borrows from the window
            counted = weight.sum(dim=(2, 3), keepdim=True) > 0
            center = torch.where(counted, own_center, center)
            scale = torch.where(counted, own_scale, scale)
        return center, scale.clamp(min=_FLOOR * self.typical)


def moments(x: Tensor, weight: Tensor | None, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation.

    Parameters
    ----------
    x : Tensor
        Values.
    weight : Tensor, same shape, optional
        1 where a value counts, 0 where not.
    dims : tuple of int
        Dimensions to average over; they stay, with length 1.

    Returns
    -------
    tuple of Tensor
        Mean and deviation; 0 and almost 0 where nothing counts.

    Examples
    --------
    >>> import torch
    >>> mean, deviation = moments(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([1.0, 1, 0]), (0,))
    >>> mean.item(), round(deviation.item(), 4)
    (2.0, 1.0)
    """
    if weight is None:
        mean = x.mean(dim=dims, keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=dims, keepdim=True)
    else:
        count = weight.sum(dim=dims, keepdim=True).clamp(min=1)
        mean = (x * weight).sum(dim=dims, keepdim=True) / count
        variance = ((x - mean) ** 2 * weight).sum(dim=dims, keepdim=True) / count
    # the root has no finite slope at 0, where flat patches lie
    return mean, (variance + 1e-12).sqrt()


def robust_center_scale(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Median and spread of each row.

    The spread is the interquartile range / 1.349 (the deviation of a normal
    distribution with that range); where it is far below the standard deviation
    (sparse spike counts are mostly 0) the standard deviation; where a row is
    constant, the median spread of the others.

    Parameters
    ----------
    values : Tensor, shape (n_rows, n)
        Floating point.
    valid : Tensor, shape (n_rows, n), bool
        False where a value does not count.

    Returns
    -------
    tuple of Tensor, shape (n_rows,)
        Centre and spread; 0 and 1 where nothing is known.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[0.0, 1, 2, 3, 4], [7.0, 7, 7, 7, 7]])
    >>> center, scale = robust_center_scale(x, torch.ones(2, 5, dtype=torch.bool))
    >>> center.tolist(), [round(s, 3) for s in scale.tolist()]
    ([2.0, 7.0], [1.483, 1.483])
    """
    ordered = values.masked_fill(~valid, math.inf).sort(dim=1).values
    count = valid.sum(dim=1, keepdim=True)
    # torch.quantile refuses more than 16 million values
    last = (count - 1).clamp(min=0)
    low, center, high = (
        ordered.gather(1, (share * last).round().long()).squeeze(1).nan_to_num(posinf=0.0)
        for share in (0.25, 0.5, 0.75)
    )
    spread = (high - low) / 1.349
    off = torch.where(valid, values - center[:, None], torch.zeros_like(values))
    deviation = ((off**2).sum(dim=1) / count.squeeze(1).clamp(min=1)).sqrt()
    scale = torch.where(spread > 0.1 * deviation, spread, deviation)
    known = scale > 0
    others = scale[known].median() if bool(known.any()) else scale.new_tensor(1.0)
    return center, torch.where(known, scale, others)
