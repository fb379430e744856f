"""Connectivity vectors of people whose age, sex and site leave known marks."""

from typing import TYPE_CHECKING

import numpy as np

from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Recording

__all__ = ["demographic_fc"]

_SITES = ("A", "B", "C")
_SEXES = ("F", "M")
_AGES = (8.0, 22.0)  # years, uniform
_COLUMNS = ("age", *(f"sex={s}" for s in _SEXES), *(f"site={s}" for s in _SITES))


def demographic_fc(
    seed: int = 0,
    *,
    n: int = 600,
    n_rois: int = 20,
    n_traits: int = 5,
    effect: float = 0.15,
    noise: float = 0.15,
    bend: float = 0.0,
) -> Simulation:
    """Simulate connectivity as a sum of demographics, own traits and noise.

    x = B d + W u + noise: standardised age, sex and site (one column a level) through
    B, traits u that have nothing to do with them through W, entries of both drawn once
    from a normal distribution. With `bend`, squares of the traits are added through a
    map of their own, so that no linear code and no Gaussian describes the rows.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n, n_rois, n_traits : int
        People, regions (a vector has n_rois (n_rois - 1) / 2 features) and traits.
    effect : float
        Standard deviation of the entries of all maps.
    noise : float
        Standard deviation of the noise.
    bend : float
        Size of the squares' map relative to the others.

    Returns
    -------
    Simulation
        Static stream ``"fc"``, the vector, with age (years), sex and site as facts.
        Truth: ``x`` (n, feature), ``age``, ``sex``, ``site`` (n,), ``traits`` (n, trait),
        ``columns`` (names), ``effects`` (feature, column), ``trait_maps`` (feature,
        trait), ``sex_map`` (feature,; M less F), ``noise``.

    Raises
    ------
    ConfigError
        Sizes out of range.

    Examples
    --------
    >>> made = demographic_fc(seed=1, n=12, n_rois=4)
    >>> made.recordings[0].stream("fc"), made.truth["sex_map"].shape
    (Static(edge 6, au), (6,))
    """
    check_positive(n=n, n_rois=n_rois, n_traits=n_traits, effect=effect, noise=noise)
    if n < 12 or n_rois < 3 or not 0 <= bend < np.inf:
        raise ConfigError(f"n={n} (12 or more), n_rois={n_rois} (3 or more) or bend={bend:g} "
                          "(0 or more) is out of range.")  # fmt: skip
    rng = rng_of(seed)
    n_features = n_rois * (n_rois - 1) // 2
    effects = effect * rng.standard_normal((n_features, len(_COLUMNS)))
    maps = effect * rng.standard_normal((n_features, n_traits))
    bent = bend * effect * rng.standard_normal((n_features, n_traits))
    age = rng.uniform(*_AGES, n)
    sex = rng.permutation(np.arange(n) % len(_SEXES))
    site = rng.permutation(np.arange(n) % len(_SITES))
    standard = (age - np.mean(_AGES)) / (np.ptp(_AGES) / np.sqrt(12))
    columns = np.column_stack([standard, np.eye(len(_SEXES))[sex], np.eye(len(_SITES))[site]])
    traits = rng.standard_normal((n, n_traits))
    x = columns @ effects.T + traits @ maps.T + (traits**2 - 1) @ bent.T
    x += noise * rng.standard_normal(x.shape)
    truth = {
        "x": x,
        "age": age,
        "sex": np.array(_SEXES)[sex],
        "site": np.array(_SITES)[site],
        "traits": traits,
        "columns": _COLUMNS,
        "effects": effects,
        "trait_maps": maps,
        "sex_map": effects[:, 2] - effects[:, 1],
        "noise": noise,
    }
    people = zip(x, age.tolist(), truth["sex"].tolist(), truth["site"].tolist(), strict=True)
    recordings = [_recording(i, *person, seed) for i, person in enumerate(people)]
    return Simulation(tuple(recordings), truth)


def _recording(
    number: int, x: FloatArray, age: float, sex: str, site: str, seed: int
) -> "Recording":
    from neuro.data import Recording, Static

    return Recording(
        {"fc": Static(x.astype(np.float32), ("edge",))},
        dataset="synthetic_demographic_fc",
        subject=f"{number + 1:04d}",
        task="rest",
        age=age,
        sex=sex,
        site=site,
        provenance=simulated("demographic_fc", seed),
    )
