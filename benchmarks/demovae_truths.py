"""What demovae keeps, removes and samples, against planted truth.

    python benchmarks/demovae_truths.py [--seeds 1 2 3] [--latent-dim 0] [--small]

600 people, 190 features: age, sex, site, five traits that have nothing to do with them,
noise (`neuro.datasets.synthetic.demographic_fc`). 400 train, 200 are held out and
judged. Printed for each seed:

- correlation of held-out codes with demographics, of the model, of the same model
  without demographic loss and conditioning, and of codes of pure noise;
- what ridge regression finds of age and of the traits in codes and in features;
- the sex map of 1,000 + 1,000 sampled people against the planted one, and of the 400
  real people's own difference (what the data allow without a model);
- variances, energy distance and MMD of samples, beside a Gaussian without covariance;
- linear models that learn on samples and are asked about people, and the reverse;
- whether samples copy training people;
- a site probe after swapping all to one site, beside ComBat (neuroCombat where it is
  installed, else the same location and scale regression without its prior);
- how many features and codes correlate with a phenotype that is age, and one that is a
  trait (Bonferroni).

"start" is the linear solution that training begins with (epochs=0): the floor that
hidden layers must beat, and cannot on rows as linear as these. `--bend 0.7` adds
squares of the traits, where they can.
"""

import argparse
from typing import Any

import numpy as np
from scipy.stats import pearsonr
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import cross_val_score

import neuro.models
from neuro.datasets import synthetic
from neuro.models.demovae.fidelity import (
    fidelity,
    group_map,
    map_error,
    nearest_subjects,
    transfer,
)

NAMES = ("age", "sex", "site")
PENALTIES = np.logspace(-3, 4, 15)


def demographics(truth: Any, rows: Any) -> dict[str, Any]:
    return {name: truth[name][rows] for name in NAMES}


def ridge(x: Any, y: Any, x_test: Any, y_test: Any) -> float:
    return float(RidgeCV(PENALTIES).fit(x, y).score(x_test, y_test))


def site_probe(x: Any, site: Any) -> float:
    return float(cross_val_score(LogisticRegression(C=0.1, max_iter=2000), x, site, cv=5).mean())


def correlations(model: Any, truth: Any, rows: Any) -> Any:
    z = model.get_latents(truth["x"][rows])
    columns = model.table.encode(demographics(truth, rows), len(z), standardise=True)
    return np.abs(np.corrcoef(z.T, columns.T)[: z.shape[1], z.shape[1] :])


def significant(x: Any, y: Any) -> int:
    return int(sum(pearsonr(column, y).pvalue < 0.05 / x.shape[1] for column in x.T))


def sampled_sex_map(model: Any, n: int) -> Any:
    rng = np.random.default_rng(0)
    everyone = {"age": rng.uniform(8, 22, n), "site": np.array(["A", "B", "C"])[np.arange(n) % 3]}
    women, men = (model.generate(n, everyone | {"sex": s}, seed=i) for i, s in enumerate("FM"))
    return men.mean(axis=0) - women.mean(axis=0)


def combat(x: Any, truth: Any, rows: Any) -> Any:
    """Site effects removed, age and sex kept; (n, feature) and how."""
    site, age, sex = truth["site"][rows], truth["age"][rows], truth["sex"][rows] == "M"
    try:
        import pandas as pd
        from neuroCombat import neuroCombat

        facts = pd.DataFrame({"site": site, "age": age, "sex": sex.astype(int)})
        done = neuroCombat(dat=x.T, covars=facts, batch_col="site", continuous_cols=["age"],
                           categorical_cols=["sex"])  # fmt: skip
        return done["data"].T, "neuroCombat"
    except ImportError:
        kept = np.column_stack([age - age.mean(), sex - sex.mean()])
        sites = (site[:, None] == np.unique(site)).astype(float)
        slopes = np.linalg.lstsq(np.column_stack([sites, kept]), x, rcond=None)[0]
        own = kept @ slopes[-2:]
        rest = x - own
        out = np.empty_like(x)
        overall = (rest - sites @ slopes[:-2]).std(axis=0)
        for k in range(sites.shape[1]):
            here = sites[:, k] > 0
            spread = rest[here].std(axis=0, ddof=1)
            out[here] = (rest[here] - rest[here].mean(axis=0)) / spread * overall
        return out + own + (sites @ slopes[:-2]).mean(axis=0), "location and scale regression"


def off_target(harmonised: Any, wanted: Any) -> float:
    """Distance to the same people without site effect, relative to their spread."""
    a, b = harmonised - harmonised.mean(axis=0), wanted - wanted.mean(axis=0)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def measured(seed: int, options: dict[str, Any], bend: float) -> dict[str, float]:
    t = synthetic.demographic_fc(seed, bend=bend).truth
    train, test = np.arange(400), np.arange(400, 600)
    x, x_test, own = t["x"][train], t["x"][test], demographics(t, test)
    known = demographics(t, train)
    model = neuro.models.create("demovae", seed=seed, **options).fit(x, known)
    start = neuro.models.create("demovae", seed=seed, **(options | {"epochs": 0})).fit(x, known)
    control = neuro.models.create(
        "demovae", seed=seed, **(options | {"condition": False, "demo_weight": 0.0})
    ).fit(x, known)
    z, z_test = model.get_latents(x), model.get_latents(x_test)
    r, noise = correlations(model, t, test), np.random.default_rng(seed)
    pure = np.corrcoef(noise.standard_normal((z.shape[1] + r.shape[1], len(test))))
    chance = np.abs(pure[: z.shape[1], z.shape[1] :])
    out = {
        "size of code": z.shape[1],
        "max |r|": r.max(),
        "median |r|": np.median(r),
        "max |r| of noise": chance.max(),
        "max |r| of control": correlations(control, t, test).max(),
        "R2 age from z": ridge(z, known["age"], z_test, own["age"]),
        "R2 age from x": ridge(x, known["age"], x_test, own["age"]),
        "sex from z, boosted trees": float(
            HistGradientBoostingClassifier(random_state=0)
            .fit(z, known["sex"])
            .score(z_test, own["sex"])
        ),
        "R2 traits from z": ridge(z, t["traits"][train], z_test, t["traits"][test]),
        "R2 traits from x": ridge(x, t["traits"][train], x_test, t["traits"][test]),
        "explained, held out": model.score(x_test, own),
        "explained, start": start.score(x_test, own),
        "second moment error": model.calibration_["second_moment_error"],
        "sex map error": map_error(t["sex_map"], sampled_sex_map(model, 1000)),
        "sex map error, start": map_error(t["sex_map"], sampled_sex_map(start, 1000)),
        "sex map error, real": map_error(t["sex_map"], group_map(x, known["sex"] == "M")),
    }
    made = model.generate(200, own, seed=seed)
    found = fidelity(x_test, made, train=x, seed=seed)
    for share, ratio in zip((10, 50, 90), found.variance_ratio, strict=True):
        out[f"variance ratio {share} %"] = ratio
    out |= {
        "energy": found.energy,
        "energy, Gaussian": found.energy_floor,
        "MMD": found.mmd,
        "MMD, Gaussian": found.mmd_floor,
    }
    for name, kind in (("age", "continuous"), ("sex", "categorical")):
        scores = transfer((x, known[name]), (x_test, own[name]), (made, own[name]), kind=kind)
        out |= {f"{name} {key}": v for key, v in scores._asdict().items()}
    near = nearest_subjects(model.generate(400, known, seed=seed), x, x_test)
    out |= {"nearer to training": near.share, "distance ratio": near.ratio}
    return out | harmonised(model, t, test) | phenotypes(t, x_test, z_test, test, seed)


def harmonised(model: Any, t: Any, test: Any) -> dict[str, float]:
    x, own, effects = t["x"][test], demographics(t, test), t["effects"][:, 3:]
    site = own["site"]
    at_a = x + (effects[:, [0]] - effects[:, np.searchsorted(["A", "B", "C"], site)]).T
    theirs, how = combat(x, t, test)
    swapped = model.swap(x, own, to={"site": "A"})
    kept = model.swap(x, own, to={"site": "A"}, keep_rest=True)
    return {
        "site from x": site_probe(x, site),
        "site from swapped": site_probe(swapped, site),
        "site from swapped, rest kept": site_probe(kept, site),
        f"site, {how}": site_probe(theirs, site),
        "off target, untouched": off_target(x, at_a),
        "off target, rest kept": off_target(kept, at_a),
        f"off target, {how}": off_target(theirs, at_a),
    }


def phenotypes(t: Any, x: Any, z: Any, test: Any, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    ages, traits = (t["age"][test] - 15) / 4.04, t["traits"][test]
    out = {}
    for name, cause in (("age", ages), ("trait", traits[:, 0])):
        y = cause + 0.5 * rng.standard_normal(len(cause))
        out |= {f"features with {name} phenotype": significant(x, y),
                f"codes with {name} phenotype": significant(z, y)}  # fmt: skip
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--latent-dim", type=int, default=0)
    parser.add_argument("--bend", type=float, default=0.0)
    parser.add_argument("--small", action="store_true", help="one seed, small network")
    args = parser.parse_args()
    options: dict[str, Any] = {"latent_dim": args.latent_dim}
    if args.small:
        args.seeds, options = args.seeds[:1], options | {"hidden": 16, "epochs": 30}
    found = [measured(seed, options, args.bend) for seed in args.seeds]
    print(f"{'':36s}" + "".join(f"{f'seed {seed}':>9s}" for seed in args.seeds))
    for key in found[0]:
        print(f"{key:36s}" + "".join(f"{one[key]:9.3f}" for one in found))


if __name__ == "__main__":
    main()
