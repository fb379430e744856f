"""The training loop."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from neuro.models.demovae.config import DemoVAEConfig
from neuro.models.demovae.guides import Draws, Guide, guide_losses
from neuro.models.demovae.losses import (
    decorrelation,
    latent_correlation,
    moments,
    package_decorrelation,
    rmse,
)
from neuro.models.demovae.network import Autoencoder

__all__ = ["Terms", "objective", "train"]


class Terms(NamedTuple):
    """The unweighted terms of one step."""

    rec: Tensor
    cov: Tensor
    mean: Tensor
    demo: Tensor
    guide: Tensor

    def weighted(self, config: DemoVAEConfig) -> Tensor:
        """What is minimised."""
        return (
            config.cov_weight * self.cov
            + config.mean_weight * self.mean
            + config.rec_weight * self.rec
            + config.demo_weight * self.demo
            + config.guide_weight * self.guide
        )


def objective(
    network: Autoencoder,
    x: Tensor,
    demo: Tensor,
    guides: list[Guide],
    draws: Draws,
    config: DemoVAEConfig,
) -> Terms:
    """All terms of one batch.

    Parameters
    ----------
    network : Autoencoder
        Encoder and decoder.
    x : Tensor, shape (n, n_features)
        Rows in the data's own unit.
    demo : Tensor, shape (n, n_columns)
        Encoded demographics.
    guides : list of Guide
        Not asked where their weight is 0.
    draws : Draws
        Demographics and codes for the guides.
    config : DemoVAEConfig
        Form of the losses.

    Returns
    -------
    Terms
    """
    package = config.losses == "package"
    z = network.encode(x)
    y = network.decode(z, _shown(demo, config))
    cov, mean = moments(z, summed=package)
    relation = package_decorrelation if package else latent_correlation
    guide = torch.zeros(())
    if config.guide_weight and config.condition:
        wanted = draws.demographics()
        sample = network.decode(draws.codes(z.shape[1]), wanted)
        sample = (sample - network.centre) / network.scale
        guide = torch.stack(guide_losses(guides, sample, wanted, package=package)).sum()
    rec = rmse(x, y) / network.scale
    return Terms(rec, cov, mean, decorrelation(relation(z, demo)), guide)


def train(
    network: Autoencoder,
    x: Tensor,
    demo: Tensor,
    guides: list[Guide],
    draws: Draws,
    config: DemoVAEConfig,
) -> Tensor:
    """Minimise the weighted terms with Adam.

    The package goes through the rows in file order and leaves a short last batch;
    calibrated losses need batches of one size, so rows are shuffled and parted evenly.

    Parameters
    ----------
    network, x, demo, guides, draws, config : object
        As in :func:`objective`; the network is changed in place.

    Returns
    -------
    Tensor, shape (n_steps, 5)
        The unweighted terms of every step, in the order of :class:`Terms`.
    """
    package = config.losses == "package"
    optimiser = torch.optim.Adam(
        network.parameters(), lr=config.lr, weight_decay=config.weight_decay, foreach=True
    )
    n_batches = math.ceil(len(x) / config.batch_size)
    n_steps = config.epochs * n_batches
    history: list[Tensor] = []
    for _ in range(config.epochs):
        for rows in _batches(len(x), n_batches, draws.generator, config):
            if not package:
                share = len(history) / n_steps
                optimiser.param_groups[0]["lr"] = config.lr * (1 + math.cos(math.pi * share)) / 2
            optimiser.zero_grad()
            terms = objective(network, x[rows], demo[rows], guides, draws, config)
            terms.weighted(config).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            history.append(torch.stack([term.detach() for term in terms]))
    return torch.stack(history) if history else torch.zeros(0, len(Terms._fields))


def _batches(
    n: int, n_batches: int, generator: torch.Generator, config: DemoVAEConfig
) -> list[slice] | list[Tensor]:
    if config.losses == "package" or n_batches == 1:
        starts = range(0, n, config.batch_size)
        return [slice(start, start + config.batch_size) for start in starts]
    return list(torch.randperm(n, generator=generator).tensor_split(n_batches))


def _shown(demo: Tensor, config: DemoVAEConfig) -> Tensor:
    """What the decoder is told."""
    return demo if config.condition else demo[:, :0]
