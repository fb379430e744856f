"""The terms of the objective, in the package's form and in a calibrated one.

The KL term of a variational autoencoder is replaced by matching the second moment of
all codes together, which does not collapse where rows are few and features many: the
model is an autoencoder with a moment penalty, and is called a VAE by its authors. With
RMSE(a, b) = sqrt(mean (a - b)^2):

==================  ====================================  ================================
term                "package" (0.0.6)                     "calibrated"
==================  ====================================  ================================
reconstruction      RMSE(x, x_hat)                        the same, in units of the rows' rms
second moment       RMSE(Z'Z, n I): grows with n          RMSE(Z'Z / n, I)
mean                RMSE(mean z, 0)                       the same
demographics        r_cj sqrt(n - 1) / |z_j|, r           correlation r_cj itself, z centred
                    uncentred: grows as z shrinks
==================  ====================================  ================================

The demographic term is the sum over columns of the RMSE over codes.
"""

import torch
from torch import Tensor

__all__ = ["decorrelation", "latent_correlation", "moments", "package_decorrelation", "rmse"]


def rmse(a: Tensor, b: Tensor) -> Tensor:
    """Root of the mean squared difference, over all elements.

    Examples
    --------
    >>> rmse(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])).item()
    3.0
    """
    # a plain power has an infinite gradient at 0, where the training ends for a perfect fit
    return ((a - b) ** 2).mean().clamp_min(torch.finfo(a.dtype).tiny) ** 0.5


def moments(z: Tensor, *, summed: bool) -> tuple[Tensor, Tensor]:
    """Distance of the codes' second moment and mean from those of a standard normal.

    Parameters
    ----------
    z : Tensor, shape (n, n_latents)
        Codes.
    summed : bool
        Z'Z against n I, as the package has it; else Z'Z / n against I.

    Returns
    -------
    cov, mean : Tensor
        The two terms.

    Examples
    --------
    >>> z = 2 * torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    >>> [round(float(v), 6) for v in (*moments(z, summed=True), *moments(z, summed=False))]
    [12.0, 0.0, 3.0, 0.0]
    """
    n, n_latents = z.shape
    target = torch.eye(n_latents, dtype=z.dtype, device=z.device)
    gram = z.T @ z
    cov = rmse(gram, target * n) if summed else rmse(gram / n, target)
    mean = z.mean(dim=0)
    return cov, rmse(mean, torch.zeros_like(mean))


def package_decorrelation(z: Tensor, demo: Tensor) -> Tensor:
    """What the package calls correlation, (n_columns, n_latents).

    It divides by the energy of each code and not by its norm, so that it is the
    (uncentred) correlation over the code's rms, and falls when codes grow.

    Parameters
    ----------
    z : Tensor, shape (n, n_latents)
        Codes.
    demo : Tensor, shape (n, n_columns)
        Encoded demographics.

    Examples
    --------
    >>> z, d = torch.tensor([[1.0], [0.0], [-1.0]]), torch.tensor([[2.0], [0.0], [-2.0]])
    >>> package_decorrelation(z, d).item(), package_decorrelation(2 * z, d).item()
    (1.0, 0.5)
    """
    centred = demo - demo.mean(dim=0)
    return (centred.T @ z) / demo.std(dim=0)[:, None] / (z * z).sum(dim=0)


def latent_correlation(z: Tensor, demo: Tensor) -> Tensor:
    """Correlation of every column with every code, (n_columns, n_latents).

    A column that is constant in these rows correlates with nothing.

    Examples
    --------
    >>> z, d = torch.tensor([[1.0], [0.0], [-1.0]]), torch.tensor([[2.0], [0.0], [-2.0]])
    >>> round(latent_correlation(5 + 2 * z, d).item(), 6)
    1.0
    """
    z, demo = z - z.mean(dim=0), demo - demo.mean(dim=0)
    least = torch.finfo(z.dtype).eps
    unit_z: Tensor = z / z.norm(dim=0).clamp_min(least)
    unit_demo: Tensor = demo / demo.norm(dim=0).clamp_min(least)
    return unit_demo.T @ unit_z


def decorrelation(table: Tensor) -> Tensor:
    """Sum over columns of the root mean square over codes.

    Parameters
    ----------
    table : Tensor, shape (n_columns, n_latents)
        Of one of the two functions above.

    Examples
    --------
    >>> decorrelation(torch.tensor([[3.0, 3.0], [0.0, 0.0]])).item()
    3.0
    """
    mean = (table**2).mean(dim=1)
    return (mean.clamp_min(torch.finfo(table.dtype).tiny) ** 0.5).sum()
