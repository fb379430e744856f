"""Guides: frozen linear predictors of demographics that samples are to satisfy.

They are fitted to the real rows once. Every step decodes `N_SAMPLES` random codes with
random demographics and asks that the predictors find those demographics again. In the
package's form logits (-s, s) double the logistic score, one level is drawn for all
samples of a step, and a demographic of m levels counts m times the sum over its levels.
The calibrated form is the cross-entropy over levels, with levels drawn row by row.
"""

import random
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neuro.models.demovae.config import DemoVAEConfig
from neuro.models.demovae.demographics import Demographic, Table
from neuro.models.demovae.losses import rmse
from neuro.typing import FloatArray

__all__ = ["N_SAMPLES", "Draws", "Guide", "fit_guides", "guide_losses"]

N_SAMPLES = 100


@dataclass(frozen=True)
class Guide:
    """One demographic's predictor.

    Parameters
    ----------
    row : Demographic
        What it predicts.
    columns : slice
        Its columns among all.
    weight, bias : Tensor, shape (n_features, n_columns) and (n_columns,)
        The amount, or one score a level.
    """

    row: Demographic
    columns: slice
    weight: Tensor
    bias: Tensor


def fit_guides(x: FloatArray, demo: FloatArray, table: Table, config: DemoVAEConfig) -> list[Guide]:
    """Ridge for every continuous demographic, logistic regression for the others.

    Parameters
    ----------
    x : array, shape (n, n_features)
        Rows, in the unit that the guides will see.
    demo : array, shape (n, n_columns)
        Encoded demographics.
    table : Table
        What the columns are.
    config : DemoVAEConfig
        Penalties.

    Returns
    -------
    list of Guide
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    package = config.losses == "package"
    out = []
    for row, columns in table.blocks():
        if row.kind == "continuous":
            ridge = Ridge(alpha=config.guide_alpha).fit(x, demo[:, columns.start])
            weight, bias = ridge.coef_[np.newaxis], np.atleast_1d(ridge.intercept_)
        else:
            steps = 100 if package else 1000
            with warnings.catch_warnings():
                # the package leaves the search after 100 steps, where groups separate
                warnings.simplefilter("ignore", ConvergenceWarning)
                found = LogisticRegression(C=config.guide_c, max_iter=steps)
                found.fit(x, demo[:, columns].argmax(axis=1))
            weight, bias = found.coef_, found.intercept_
            if len(weight) == 1:
                weight, bias = np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
                # softmax of (-s/2, s/2) is the logistic function of s
                half = 1.0 if package else 0.5
                weight, bias = half * weight, half * bias
        out.append(
            Guide(
                row,
                columns,
                torch.from_numpy(np.ascontiguousarray(weight.T)).float(),
                torch.from_numpy(bias).float(),
            )
        )
    return out


class Draws:
    """Random demographics and codes of the samples, in the package's order of draws.

    Parameters
    ----------
    table : Table
        Demographics.
    config : DemoVAEConfig
        Form of the losses.
    generator : torch.Generator
        Of codes and continuous demographics.
    levels : random.Random
        Of the package's levels.
    """

    def __init__(
        self,
        table: Table,
        config: DemoVAEConfig,
        generator: torch.Generator,
        levels: random.Random,
    ) -> None:
        self.table, self.config = table, config
        self.generator, self.levels = generator, levels

    def demographics(self) -> Tensor:
        """One set of demographics a sample, (N_SAMPLES, n_columns)."""
        return torch.cat([self._columns(row) for row in self.table.rows], dim=1)

    def _columns(self, row: Demographic) -> Tensor:
        if row.kind == "continuous":
            drawn = torch.randn(N_SAMPLES, generator=self.generator)
            if not self.config.standardise:
                drawn = drawn * row.sd + row.mean
            return drawn[:, None]
        if self.config.losses == "package":
            level = self.levels.randint(0, row.n_columns - 1)
            chosen = torch.full((N_SAMPLES,), level)
        else:
            shares = torch.tensor(row.shares)
            chosen = torch.multinomial(shares, N_SAMPLES, True, generator=self.generator)
        return F.one_hot(chosen, row.n_columns).float()

    def codes(self, n_latents: int) -> Tensor:
        """Standard normal codes, (N_SAMPLES, n_latents)."""
        return torch.randn(N_SAMPLES, n_latents, generator=self.generator)


def guide_losses(guides: list[Guide], y: Tensor, demo: Tensor, *, package: bool) -> list[Tensor]:
    """What each demographic's guide says about decoded samples.

    Parameters
    ----------
    guides : list of Guide
        Of `fit_guides`.
    y : Tensor, shape (n, n_features)
        Decoded samples.
    demo : Tensor, shape (n, n_columns)
        Demographics they were decoded with.
    package : bool
        The package's form.

    Returns
    -------
    list of Tensor
        One a demographic; the objective takes their sum.
    """
    out = []
    for guide in guides:
        said, wanted = y @ guide.weight + guide.bias, demo[:, guide.columns]
        if guide.row.kind == "continuous":
            out.append(rmse(wanted, said))
        elif not package:
            out.append(F.cross_entropy(said, wanted.argmax(dim=1)))
        else:
            each = [
                F.cross_entropy(torch.stack([-s, s], dim=1), w)
                for s, w in zip(said.T, wanted.long().T, strict=True)
            ]
            out.append(guide.row.n_columns * torch.stack(each).sum())
    return out
