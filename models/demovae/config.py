"""Settings of demovae."""

from dataclasses import dataclass
from typing import Literal

from neuro.errors import ConfigError
from neuro.models._config import Config

__all__ = ["DemoVAEConfig", "Measure"]

Measure = Literal["correlation", "fisher_z", "shrunk_correlation", "partial_correlation"]


@dataclass(frozen=True, kw_only=True)
class DemoVAEConfig(Config):
    """Settings of :class:`neuro.models.demovae.DemoVAE`; the values here are our defaults.

    Parameters
    ----------
    seed : int
        Of weights, order of rows and random demographics.
    latent_dim : int
        Size of the code; 0 takes the number of principal components beyond what
        demographics explain that stand out from shuffled data.
    hidden : int
        Units of the one hidden layer of encoder and decoder.
    linear_path : bool
        A linear map beside each hidden layer, which starts at the regression on
        demographics and the principal components of its residuals.
    condition : bool
        False keeps demographics from the decoder: a control.
    output : {"vector", "lowrank", "corr"}
        The decoder gives the features; or a matrix A of `rank` columns whose products
        A A' are the features, so that no eigenvalue is negative; or the same with rows
        of length 1, a correlation matrix.
    rank : int
        Columns of A; 0 takes 5 for "lowrank", and for "corr" as many as regions: with
        fewer, correlations cannot all be small.
    measure : {"correlation", "fisher_z", "shrunk_correlation", "partial_correlation"}
        What recordings are turned into, and what the features are when time series are
        drawn from them.
    demographics : str
        Facts of recordings, separated by commas; "" takes those of age, sex, group,
        site, dataset that are known for all and vary.
    losses : {"calibrated", "package"}
        "package" are those of the public package 0.0.6; see
        :mod:`neuro.models.demovae.losses`.
    standardise : bool
        Centre features, divide them by one number, and standardise continuous
        demographics, all inside.
    whiten : bool
        Keep mean and Cholesky factor of the training codes and hand out whitened ones.
    scatter : bool
        Samples get back, feature by feature, the variance that the decoder leaves
        unexplained. Only for ``output="vector"``: noise would spoil a matrix.
    rec_weight, cov_weight, mean_weight, demo_weight, guide_weight : float
        Of reconstruction, second moment of the codes, their mean, their correlation with
        demographics, and guides on samples.
    guide_alpha, guide_c : float
        Ridge penalty and inverse logistic penalty of the guides.
    epochs, batch_size : int
        Passes, and rows of a step.
    lr, weight_decay : float
        Of Adam. With calibrated losses the rate falls to 0 along a cosine.

    Raises
    ------
    ConfigError
        If values contradict each other.
    """

    seed: int = 0
    latent_dim: int = 0
    hidden: int = 128
    linear_path: bool = True
    condition: bool = True
    output: Literal["vector", "lowrank", "corr"] = "vector"
    rank: int = 0
    measure: Measure = "correlation"
    demographics: str = ""
    losses: Literal["calibrated", "package"] = "calibrated"
    standardise: bool = True
    whiten: bool = True
    scatter: bool = True
    rec_weight: float = 100.0
    cov_weight: float = 10.0
    mean_weight: float = 10.0
    demo_weight: float = 10.0
    guide_weight: float = 0.1
    guide_alpha: float = 1.0
    guide_c: float = 1.0
    epochs: int = 200
    batch_size: int = 1000
    lr: float = 1e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("latent_dim", "epochs", "rank"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} = {getattr(self, name)} must be 0 or more.")
        if self.hidden < 1:
            raise ConfigError(f"hidden = {self.hidden} must be at least 1.")
        if self.batch_size < 2:
            raise ConfigError(f"batch_size = {self.batch_size} has no covariance; use 2 or more.")
        for name in ("lr", "guide_alpha", "guide_c"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} = {getattr(self, name)} must be above 0.")
        weights = ("rec", "cov", "mean", "demo", "guide")
        for name in (*(f"{w}_weight" for w in weights), "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} = {getattr(self, name)} must be 0 or more.")
        if self.losses == "package" and (self.standardise or not self.latent_dim):
            raise ConfigError(
                "losses='package' needs standardise=False and a latent_dim, as the package has it."
            )
