"""Stage 1: from a single channel to code numbers and back to its spectrum."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuro.nn.linear_attention import LinearTransformer
from neuro.nn.quantise import VectorQuantiser
from neuro.nn.spectra import stft_magnitude

if TYPE_CHECKING:
    from neuro.models.tfm_tokenizer.config import TFMTokenizerConfig

__all__ = ["Frames", "Tokenizer", "half_masks", "quantile_scale"]

# Added to the quantile that a channel is divided by; a flat channel stays 0.
_FLAT = 1e-8
# Frames tokenised at a time: what is between two maps then stays in the
# processor's cache, and an hour needs no more memory than a minute.
_FRAMES = 256


class Frames(NamedTuple):
    """Single channels cut into frames.

    Attributes
    ----------
    signal : Tensor, shape (n_rows, n_times)
        Scaled samples; 0 where missing.
    spectra : Tensor, shape (n_rows, n_frames, n_freqs)
        Magnitudes of the scaled signal.
    valid : Tensor, shape (n_rows, n_frames), bool, or None
        False where a sample of the frame is missing; None if all are there.
    """

    signal: Tensor
    spectra: Tensor
    valid: Tensor | None


def quantile_scale(x: Tensor, share: float, valid: Tensor | None = None) -> Tensor:
    """Quantile of the absolute values of each row, linearly interpolated.

    Parameters
    ----------
    x : Tensor, shape (n_rows, n_times)
        Signals.
    share : float
        Which quantile, 0 to 1.
    valid : Tensor, same shape, bool, optional
        False where a sample does not count.

    Returns
    -------
    Tensor, shape (n_rows, 1)
        0 where no sample counts.

    Examples
    --------
    >>> import torch
    >>> quantile_scale(torch.tensor([[0.0, -1.0, 2.0, -3.0]]), 0.5)
    tensor([[1.5000]])
    """
    size = x.abs()
    if valid is None:
        # only the largest values are put in order: five times as fast as a sort
        place = share * (x.shape[-1] - 1)
        below = math.floor(place)
        largest = size.topk(x.shape[-1] - below, dim=-1).values
        low, high = largest[..., -1:], largest[..., -2:-1] if place > below else largest[..., -1:]
        return torch.lerp(low, high, place - below)
    size = size.masked_fill(~valid, math.inf).sort(dim=-1).values
    count = valid.sum(dim=-1, keepdim=True)
    position = share * (count - 1).clamp(min=0).to(x.dtype)
    first = position.floor().long()
    low = size.gather(-1, first)
    high = size.gather(-1, torch.minimum(first + 1, (count - 1).clamp(min=0)))
    scale = torch.lerp(low, high, position - first)
    return torch.where(count > 0, scale, torch.zeros_like(scale))


def half_masks(n_groups: int, n_frames: int, width: int, generator: torch.Generator) -> Tensor:
    """Random half of the frequency groups crossed with a random half of the frames.

    Parameters
    ----------
    n_groups : int
        Groups of neighbouring frequencies; half of them (rounded down) are hidden.
    n_frames : int
        Frames; half of them (rounded down) are hidden.
    width : int
        Frequencies of a group.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    Tensor, shape (n_frames, n_groups * width), bool
        True where both group and frame are kept; the second pass of a step
        sees the complement.

    Examples
    --------
    >>> import torch
    >>> keep = half_masks(20, 9, 5, torch.Generator().manual_seed(0))
    >>> keep.shape, int(keep.sum()) == 5 * 10 * (9 - 4)
    (torch.Size([9, 100]), True)
    """
    groups = _kept_half(n_groups, generator).repeat_interleave(width)
    return _kept_half(n_frames, generator)[:, None] & groups


def _kept_half(n: int, generator: torch.Generator) -> Tensor:
    """True for all but ``n // 2`` randomly chosen places."""
    keep = torch.ones(n, dtype=torch.bool, device=generator.device)
    hidden = torch.randperm(n, generator=generator, device=generator.device)[: n // 2]
    keep[hidden] = False
    return keep


class PlaceNorm(nn.Module):
    """Group normalisation of channels-last maps: groups of features over all places.

    Parameters
    ----------
    n_groups : int
        Groups of neighbouring features; must divide `width`.
    width : int
        Features of a place.
    """

    def __init__(self, n_groups: int, width: int) -> None:
        super().__init__()
        self.n_groups = n_groups
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise.

        Parameters
        ----------
        x : Tensor, shape (n, n_places, width)
            Features.
        valid : Tensor, shape (n, n_places), bool, optional
            False where a place has no part in mean and variance.

        Returns
        -------
        Tensor, same shape
        """
        if valid is None:
            off = x - self._by_group(x.mean(dim=1))
            variance = self._by_group(off.square().mean(dim=1))
        else:
            there = valid[..., None].to(x.dtype)
            count = there.sum(dim=1).clamp(min=1)
            off = x - self._by_group((x * there).sum(dim=1) / count)
            variance = self._by_group((off * there).square().sum(dim=1) / count)
        return torch.addcmul(self.bias, off, (variance + 1e-5).rsqrt() * self.weight)

    def _by_group(self, x: Tensor) -> Tensor:
        """Mean of each group of features in place of each feature, (n, 1, width)."""
        # places were averaged before: four times as fast as both at once
        groups = x.reshape(x.shape[0], self.n_groups, -1)
        return groups.mean(dim=2, keepdim=True).expand_as(groups).reshape(x.shape)[:, None]


class Stem(nn.Module):
    """Linear maps of each place, each followed by GELU and a norm over all places.

    Parameters
    ----------
    widths : tuple of int
        Inputs of a place, then the widths after each map.
    n_groups : int
        Of the norms; where it does not divide a width, the largest number
        that divides both.
    """

    def __init__(self, widths: tuple[int, ...], n_groups: int) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.maps = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.norms = nn.ModuleList(PlaceNorm(math.gcd(n_groups, b), b) for _, b in pairs)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Places (n, n_places, n_inputs) to features (n, n_places, width)."""
        for linear, norm in zip(self.maps, self.norms, strict=True):
            x = norm(F.gelu(linear(x)), valid)
        return x


class Tokenizer(nn.Module):
    """Masked autoencoder with a code book, for one channel at a time.

    No parameter knows which channel it sees, and nothing knows the time: a
    token says what happens in a frame, and stands in its window only through
    attention and the norm of the temporal path.

    Parameters
    ----------
    config : TFMTokenizerConfig
        Sizes.
    """

    bin_mean: Tensor
    bin_std: Tensor
    bin_weight: Tensor
    bins_known: Tensor

    def __init__(self, config: "TFMTokenizerConfig") -> None:
        super().__init__()
        self.config = config
        d_model, groups = config.d_model, config.n_groups
        self.frequency_stem = Stem((config.freq_patch, d_model, d_model, d_model), groups)
        self.frequency_blocks = self._blocks(config.frequency_depth)
        self.gate = nn.Linear(5 * d_model, config.d_gather)
        self.gather = nn.Linear(5 * d_model, config.d_gather)
        widths = (config.frame_times, d_model, d_model, d_model - config.d_frequency)
        self.temporal_stem = Stem(widths, groups)
        self.temporal_blocks = self._blocks(config.temporal_depth)
        self.quantiser = VectorQuantiser(
            config.n_codes,
            d_model,
            decay=config.decay,
            beta=config.beta,
            gradient=config.vq_grad,
            init=config.codebook_init,
            revive_after=config.revive_after,
        )
        if config.codebook_init != "uniform":
            # until data come: any directions, as long as the vectors are
            codes = F.normalize(torch.randn(config.n_codes, d_model), dim=1)
            self.quantiser.codes.copy_(codes)
            self.quantiser.sums.copy_(codes)
        self.decoder_blocks = self._blocks(config.decoder_depth)
        self.to_hidden = nn.Linear(d_model, d_model)
        self.to_spectrum = nn.Linear(d_model, config.n_freqs)
        self.register_buffer("bin_mean", torch.zeros(config.n_freqs))
        self.register_buffer("bin_std", torch.ones(config.n_freqs))
        self.register_buffer("bin_weight", torch.ones(config.n_freqs))
        self.register_buffer("bins_known", torch.tensor(config.whitening is None))

    def _blocks(self, depth: int) -> LinearTransformer:
        config = self.config
        return LinearTransformer(
            depth=depth, d_model=config.d_model, n_heads=config.n_heads, dropout=config.dropout
        )

    # -- from samples to vectors ------------------------------------------------

    def frames(self, x: Tensor, valid: Tensor | None = None) -> Frames:
        """Scale channels and take their spectra.

        Parameters
        ----------
        x : Tensor, shape (n_rows, n_times)
            Single channels in any linear unit.
        valid : Tensor, same shape, bool, optional
            False where a sample is missing. It may hold NaN.

        Returns
        -------
        Frames
            A frame that holds a missing sample is not valid as a whole.
        """
        config = self.config
        if valid is not None:
            # where, not a product: what stands under a mask may be NaN
            x = torch.where(valid, x, torch.zeros_like(x))
        signal = x / (quantile_scale(x, config.quantile, valid) + _FLAT)
        spectra = stft_magnitude(signal, config.frame_times, config.hop_times)
        spectra = spectra[..., : config.n_freqs, :].transpose(-1, -2)
        if valid is None:
            return Frames(signal, spectra, None)
        whole = valid.unfold(-1, config.frame_times, config.hop_times).all(dim=-1)
        return Frames(signal, spectra, whole)

    def temporal_features(self, frames: Frames) -> Tensor:
        """Features of the samples of each frame, (n_rows, n_frames, d_model - d_frequency)."""
        cut = frames.signal.unfold(-1, self.config.frame_times, self.config.hop_times)
        features: Tensor = self.temporal_stem(cut, frames.valid)
        return features

    def frequency_features(self, spectra: Tensor) -> Tensor:
        """Features of the spectrum of each frame, (n_rows, n_frames, d_frequency)."""
        flat = spectra.reshape(-1, spectra.shape[-1])
        # a graph has no loop of unknown length
        parts = (flat,) if torch.compiler.is_compiling() else torch.split(flat, _FRAMES)
        features = torch.cat([self._frequency_features(part) for part in parts])
        return features.reshape(*spectra.shape[:2], self.config.d_frequency)

    def _frequency_features(self, spectra: Tensor) -> Tensor:
        """The same for frames in a row, (n, n_freqs) to (n, d_frequency)."""
        config = self.config
        patches = spectra.reshape(-1, config.n_freqs // config.freq_patch, config.freq_patch)
        encoded = self.frequency_blocks(self.frequency_stem(patches))
        joined = encoded.reshape(encoded.shape[0], -1, 5 * config.d_model)
        gathered = torch.sigmoid(self.gate(joined)) * self.gather(joined)
        # features in the order feature * position, as published weights expect
        features: Tensor = gathered.transpose(1, 2).flatten(1)
        return features

    def _of_views(self, spectra: Tensor, views: Sequence[Tensor | None]) -> list[Tensor]:
        """`frequency_features` of what each pass sees.

        A frame's features depend on that frame alone, so that those which a pass
        sees whole are taken, dropout included, from the pass that sees everything,
        where there is one.
        """
        if not any(seen is None for seen in views):
            return [self.frequency_features(spectra * seen) for seen in views if seen is not None]
        whole, found = self.frequency_features(spectra), []
        for seen in views:
            if seen is None:
                found.append(whole)
                continue
            rest = (~seen.all(dim=1)).nonzero().squeeze(1)
            part = self.frequency_features(spectra[:, rest] * seen[rest])
            found.append(whole.index_copy(1, rest, part))
        return found

    def vectors(self, spectra: Tensor, temporal: Tensor, valid: Tensor | None) -> Tensor:
        """Vectors of unit length, (n_rows, n_frames, d_model), one a frame."""
        return self._joined(self.frequency_features(spectra), temporal, valid)

    def _joined(self, frequency: Tensor, temporal: Tensor, valid: Tensor | None) -> Tensor:
        both = torch.cat([frequency, temporal], dim=-1)
        return F.normalize(self.temporal_blocks(both, valid), dim=-1, eps=1e-12)

    def ids(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Code numbers.

        Parameters
        ----------
        x : Tensor, shape (n_rows, n_times)
            Single channels.
        valid : Tensor, same shape, bool, optional
            False where a sample is missing.

        Returns
        -------
        ids : Tensor, shape (n_rows, n_frames), int64
            0 to ``n_codes - 1``, also where not valid.
        valid : Tensor, shape (n_rows, n_frames), bool, or None
            Which frames are whole.
        """
        if torch.compiler.is_compiling():  # as in frequency_features
            return self._ids(x, valid)
        step = max(1, _FRAMES // self.config.n_tokens)
        parts = [
            self._ids(x[k : k + step], None if valid is None else valid[k : k + step])
            for k in range(0, x.shape[0], step)
        ]
        whole = [there for _, there in parts if there is not None]
        return torch.cat([ids for ids, _ in parts]), torch.cat(whole) if whole else None

    def _ids(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        frames = self.frames(x, valid)
        z = self.vectors(frames.spectra, self.temporal_features(frames), frames.valid)
        return self.quantiser.nearest(z), frames.valid

    # -- from codes to spectra, and the loss --------------------------------------

    def decode(self, codes: Tensor, valid: Tensor | None = None) -> Tensor:
        """Spectra (n_rows, n_frames, n_freqs) from codes (n_rows, n_frames, d_model)."""
        hidden = torch.tanh(self.to_hidden(self.decoder_blocks(codes, valid)))
        return torch.addcmul(self.bin_mean, self.to_spectrum(hidden), self.bin_std)

    def loss(self, frames: Frames, generator: torch.Generator) -> dict[str, Tensor]:
        """Error of the rebuilt spectra, and the quantiser's terms.

        Parameters
        ----------
        frames : Frames
            Of a batch.
        generator : torch.Generator
            Decides what is hidden, the same for all rows, and new codes.

        Returns
        -------
        dict of str to Tensor
            "loss", and without gradient "reconstruction" and "commitment",
            each the sum over the passes.
        """
        config = self.config
        if self.training and not bool(self.bins_known):
            self.fit_bins(frames)
        groups, n_frames = config.n_freqs // config.freq_patch, frames.spectra.shape[1]
        views: list[Tensor | None] = []
        if config.views != "whole":
            keep = half_masks(groups, n_frames, config.freq_patch, generator)
            keep = keep.to(frames.spectra.device)
            views += [keep, ~keep]
        if config.views != "halves":
            views.append(None)
        return self.loss_of(frames, views, generator)

    def loss_of(
        self,
        frames: Frames,
        views: Sequence[Tensor | None],
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """`loss` for given masks.

        Parameters
        ----------
        frames : Frames
            Of a batch.
        views : sequence of Tensor, shape (n_frames, n_freqs), bool, or None
            One a pass: True where the spectrum is seen; None where all of it is.
        generator : torch.Generator, optional
            Decides new codes.

        Returns
        -------
        dict of str to Tensor
            As `loss`.
        """
        spectra, valid, n = frames.spectra, frames.valid, len(views)
        temporal = self.temporal_features(frames)  # it sees everything in every pass
        frequency = torch.cat(self._of_views(spectra, views))
        all_valid = None if valid is None else valid.repeat(n, 1)
        z = self._joined(frequency, temporal.repeat(n, 1, 1), all_valid)
        # one after the other: each pass meets the codes that the one before it left
        quantised = [self.quantiser(part, valid, generator) for part in z.chunk(n)]
        decoded = self.decode(torch.cat([q.passed for q in quantised]), all_valid)
        error = sum((self._error(part, frames) for part in decoded.chunk(n)), spectra.new_zeros(()))
        total = sum((q.loss for q in quantised), spectra.new_zeros(()))
        commitment = sum((q.commitment for q in quantised), spectra.new_zeros(()))
        return {
            "loss": total + error,
            "reconstruction": error.detach(),
            "commitment": commitment,
        }

    def _error(self, decoded: Tensor, frames: Frames) -> Tensor:
        """Mean squared error of the valid frames, each bin by its weight."""
        weight = self.bin_weight
        squared = (decoded.to(weight) - frames.spectra.to(weight)).square() * weight
        if frames.valid is None:
            return squared.mean()
        squared = torch.where(frames.valid[..., None], squared, torch.zeros_like(squared))
        count = frames.valid.sum().clamp(min=1) * squared.shape[-1]
        return squared.sum() / count

    @torch.no_grad()
    def fit_bins(self, frames: Frames) -> None:
        """Take mean, deviation and weight of each frequency from training data.

        The decoder then has only to say how a spectrum differs from the mean
        one, in deviations; predicting the mean has an error of 1.

        Parameters
        ----------
        frames : Frames
            Of training windows.
        """
        if self.config.whitening is None:
            return
        spectra = frames.spectra if frames.valid is None else frames.spectra[frames.valid]
        variance, mean = torch.var_mean(spectra.flatten(0, -2), dim=0, correction=0)
        # an empty bin (above an anti-aliasing filter) must not rule the loss
        variance = variance.clamp(min=1e-3 * float(variance.mean()) + 1e-12)
        weight = variance**-self.config.whitening
        self.bin_mean.copy_(mean)
        self.bin_std.copy_(variance.sqrt())
        self.bin_weight.copy_(weight / (variance * weight).mean())
        self.bins_known.fill_(True)
