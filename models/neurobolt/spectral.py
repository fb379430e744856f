"""The spectral branch: magnitudes at four window lengths, all channels at once."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.models.labram.encoder import start_linear
from neuro.models.neurobolt.config import NeuroBOLTConfig
from neuro.nn.heads import masked_mean
from neuro.nn.linear_attention import LinearTransformer
from neuro.nn.patching import patchify
from neuro.nn.positions import frame_code
from neuro.nn.spectra import stft_magnitude

__all__ = ["SpectralBranch"]


class SpectralBranch(nn.Module):
    """Spectra of consecutive windows at several lengths, added up, through a transformer.

    Parameters
    ----------
    config : NeuroBOLTConfig
        Sizes.
    """

    def __init__(self, config: NeuroBOLTConfig) -> None:
        super().__init__()
        width, n_steps = config.d_model, config.n_steps
        self.n_ffts = config.n_ffts
        self.noise_scale = config.spectrum == "noise"
        self.dropout = config.spectral_dropout
        self.frequencies = nn.ModuleList(nn.Linear(n // 2 + 1, width) for n in self.n_ffts)
        self.windows = nn.ModuleList(nn.Linear(config.n_times // n, n_steps) for n in self.n_ffts)
        self.channels = nn.Parameter(torch.randn(config.n_chans, width))
        self.register_buffer("steps", frame_code(n_steps, width))
        self.steps: Tensor
        self.transformer = LinearTransformer(
            depth=config.spectral_depth,
            d_model=width,
            n_heads=config.spectral_heads,
            mlp_ratio=config.mlp_ratio,
            dropout=config.spectral_attention_dropout,
        )
        start_linear(self, config.init_std)

    def forward(
        self, x: Tensor, channel_index: Tensor | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            In network units, 0 where not valid.
        channel_index : Tensor, shape (n_chans,), int64, optional
            Which of the model's channels these are; the first ones if omitted.
        valid : Tensor, shape (batch, n_chans, n_times), bool, optional
            Samples that exist. A step without any is left out.

        Returns
        -------
        pooled : Tensor, shape (batch, d_model)
            Mean over steps and channels.
        tokens : Tensor, shape (batch, n_chans * n_steps, d_model)
            Channel by channel; 0 where left out.
        """
        there = None if valid is None else patchify(valid, self.n_ffts[0]).any(-1).flatten(1)
        tokens = self.transformer(self.embed(x, channel_index), there)
        if there is not None:
            tokens = tokens.masked_fill(~there[..., None], 0.0)
        return masked_mean(tokens, there), tokens

    def embed(self, x: Tensor, channel_index: Tensor | None = None) -> Tensor:
        """What the transformer reads, (batch, n_chans * n_steps, d_model)."""
        rows = slice(x.shape[1]) if channel_index is None else channel_index
        tokens = self.mixed(x) + self.channels[rows, None, :] + self.steps
        return F.dropout(tokens, self.dropout, self.training).flatten(1, 2)

    def mixed(self, x: Tensor) -> Tensor:
        """Spectra of all levels as steps, (batch, n_chans, n_steps, d_model)."""
        levels = torch.cat(
            [
                linear(self.spectrum(x, n))
                for n, linear in zip(self.n_ffts, self.frequencies, strict=True)
            ],
            dim=2,
        )
        # the sum over levels as one product
        maps = [linear for linear in self.windows if isinstance(linear, nn.Linear)]
        weight = torch.cat([linear.weight for linear in maps], dim=1)
        bias = torch.stack([linear.bias for linear in maps]).sum(dim=0)
        return weight @ levels + bias[:, None]

    def spectrum(self, x: Tensor, n_fft: int) -> Tensor:
        """Magnitudes of consecutive windows, (batch, n_chans, n_windows, n_freqs)."""
        magnitude = stft_magnitude(x, n_fft, n_fft, "boxcar").transpose(-1, -2)
        return magnitude / n_fft**0.5 if self.noise_scale else magnitude
