"""Where and when a token is: seconds, places in the head, channel names."""

import math

import torch
from torch import Tensor, nn

from neuro.errors import ConfigError

__all__ = ["ChannelPlaces", "frame_code", "time_code"]


def time_code(seconds: Tensor, d_model: int, shortest_s: float, longest_s: float) -> Tensor:
    """Sinusoidal code of a time in seconds.

    Because the argument is a time and not an index, recordings sampled at
    different rates get the same code for the same moment.

    Parameters
    ----------
    seconds : Tensor, shape (...,)
        Times.
    d_model : int
        Width of the code; even.
    shortest_s, longest_s : float
        Periods of the fastest and the slowest pair; the others lie between
        them in equal ratios.

    Returns
    -------
    Tensor, shape (..., d_model), float32
        First half sines, second half cosines.

    Raises
    ------
    ConfigError
        If the width is odd or the periods are not 0 < shortest < longest.

    Examples
    --------
    >>> import torch
    >>> code = time_code(torch.tensor([0.0, 1.0]), 4, shortest_s=1.0, longest_s=4.0)
    >>> [round(v, 6) for v in code[0].tolist()]
    [0.0, 0.0, 1.0, 1.0]
    """
    if d_model % 2 or not 0 < shortest_s < longest_s:
        raise ConfigError(
            f"A time code of width {d_model} with periods {shortest_s:g} to {longest_s:g} s is "
            "not possible; give an even width and 0 < shortest < longest."
        )
    n_freqs = d_model // 2
    steps = torch.linspace(0.0, 1.0, n_freqs, device=seconds.device)
    periods = shortest_s * (longest_s / shortest_s) ** steps
    angle = 2 * math.pi * seconds.float()[..., None] / periods
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def frame_code(n_frames: int, d_model: int, device: torch.device | None = None) -> Tensor:
    """Sinusoidal code of frame numbers: sines and cosines in turn.

    Parameters
    ----------
    n_frames : int
        Frames; numbers start at 0.
    d_model : int
        Width, even. Pair i has the angle ``number * 10000**(-2 i / d_model)``.
    device : torch.device, optional
        Where to make it.

    Returns
    -------
    Tensor, shape (n_frames, d_model), float32

    Examples
    --------
    >>> frame_code(2, 4).tolist()[0]
    [0.0, 1.0, 0.0, 1.0]
    """
    pair = torch.arange(0, d_model, 2, device=device, dtype=torch.float32)
    rate = torch.exp(pair * (-math.log(10000.0) / d_model))
    angle = torch.arange(n_frames, device=device, dtype=torch.float32)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


class ChannelPlaces(nn.Module):
    """Embedding of a sensor or region by its position in space.

    Sines and cosines of each coordinate at wavelengths that halve from
    `longest_m`, then a linear map. A channel whose position is unknown (NaN)
    gets one learned vector instead.

    Parameters
    ----------
    d_model : int
        Width of the embedding.
    n_octaves : int
        Wavelengths a coordinate.
    longest_m : float
        Longest wavelength in metres; the default spans a head twice.

    Examples
    --------
    >>> import torch
    >>> places = ChannelPlaces(8)
    >>> places(torch.tensor([[[0.0, 0.1, 0.0], [float("nan")] * 3]])).shape
    torch.Size([1, 2, 8])
    """

    def __init__(self, d_model: int, n_octaves: int = 5, longest_m: float = 0.4) -> None:
        super().__init__()
        self.n_octaves = n_octaves
        self.longest_m = longest_m
        self.project = nn.Linear(6 * n_octaves, d_model)
        self.unknown = nn.Parameter(torch.zeros(d_model))
        nn.init.normal_(self.unknown, std=0.02)

    def forward(self, positions: Tensor) -> Tensor:
        """Embed positions.

        Parameters
        ----------
        positions : Tensor, shape (batch, n_chans, 3), metres
            NaN where a position is not known.

        Returns
        -------
        Tensor, shape (batch, n_chans, d_model)
            One vector a channel.
        """
        known = ~positions.isnan().any(dim=-1, keepdim=True)
        place = torch.where(known, positions, torch.zeros_like(positions)).float()
        octaves = 2.0 ** torch.arange(self.n_octaves, device=place.device)
        angle = 2 * math.pi * place[..., None] * octaves / self.longest_m
        waves = torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(-2)
        embedded: Tensor = self.project(waves)
        return torch.where(known, embedded, self.unknown.to(embedded.dtype))
