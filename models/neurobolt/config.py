"""Configuration of NeuroBOLT."""

from dataclasses import dataclass
from typing import Literal

from neuro.models.labram.config import LaBraMConfig

__all__ = ["NeuroBOLTConfig"]

# The electrodes of the published models, in their order.
_CAP = """
Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 Fpz Fz Cz Pz POz Oz FT9 FT10 TP9 TP10
"""


@dataclass(frozen=True, kw_only=True)
class NeuroBOLTConfig(LaBraMConfig):
    """Configuration of `NeuroBOLT`; what is not listed is of the LaBraM branch.

    Parameters
    ----------
    n_chans, ch_names
        Electrodes by name; without any, the 26 of the published models.
    n_times : int
        Samples before a volume; 16 s in the published models.
    n_outputs : int
        Regions that are predicted.
    center : bool
        Subtract each channel's mean over the window, as the original does
        before its networks.
    n_levels : int
        Window lengths of the spectra; each is twice the one before.
    first_s : float
        Shortest of them in seconds.
    spectrum : {"amplitude", "noise"}
        Magnitudes as they are, which grow with the window; or over the square
        root of its samples, so that noise has one size at all levels.
    spectral_depth, spectral_heads : int
        Linear-attention transformer of the spectral branch.
    spectral_dropout, spectral_attention_dropout : float
        On its tokens, and on the output of each attention.
    """

    n_times: int = 3200
    dropout: float = 0.1
    center: bool = True
    n_levels: int = 4
    first_s: float = 0.5
    spectrum: Literal["amplitude", "noise"] = "noise"
    spectral_depth: int = 4
    spectral_heads: int = 8
    spectral_dropout: float = 0.1
    spectral_attention_dropout: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("n_levels", 1 <= self.n_levels <= 20, "1 to 20")
        first = self.first_s * self.sfreq
        fits = first >= 2 and first.is_integer()
        self.require("first_s", fits, f"a whole number of samples at {self.sfreq:g} Hz, 2 or more")
        longest = self.n_ffts[-1]
        self.require(
            "n_times", self.n_times % longest == 0, f"a multiple of the longest window, {longest}"
        )
        self.require("spectral_depth", 1 <= self.spectral_depth <= 1000, "1 to 1000")
        fits = self.spectral_heads >= 1 and self.d_model % self.spectral_heads == 0
        self.require("spectral_heads", fits, f"a divisor of d_model = {self.d_model}")
        for name in ("spectral_dropout", "spectral_attention_dropout"):
            self.require(name, 0 <= getattr(self, name) < 1, "a share from 0 to below 1")

    @classmethod
    def usual_names(cls) -> tuple[str, ...]:
        """Channels when none are named."""
        return tuple(_CAP.split())

    @property
    def n_ffts(self) -> tuple[int, ...]:
        """Samples of a window, level by level."""
        return tuple(round(self.first_s * self.sfreq) * 2**level for level in range(self.n_levels))

    @property
    def n_steps(self) -> int:
        """Tokens a channel in the spectral branch: shortest windows in `n_times`."""
        return self.n_times // self.n_ffts[0]
