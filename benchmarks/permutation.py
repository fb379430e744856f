"""Permutation test of a ridge probe: all shuffles at once beside refitting each.

    python benchmarks/permutation.py [--n 1000] [--windows 500] [--features 1000] [--repeats 3]

The same question is put to three contenders in one run: 5 folds, ridge on scaled
features, n shuffled targets. scikit-learn's permutation_test_score refits every
fold of every shuffle, so it runs a share of the shuffles (`--share`) and its time
is scaled up; the equality of scores is checked on those. Printed are seconds
(median over repeats), the ratio to ours, and ours in units of one fit of the probe
of `evaluate`, which decomposes the features and chooses the penalty.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold, permutation_test_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neuro.evaluate import permutation_score
from neuro.evaluate.probing.permutation import PENALTIES
from neuro.evaluate.probing.probes import RidgeProbe


def seconds(work: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=500)
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.02)
    a = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((a.windows, a.features))
    y = x[:, :5].sum(1) + 5 * rng.standard_normal(a.windows)
    folds = list(KFold(5).split(x))
    few = max(1, round(a.n * a.share))
    fixed, size = 0.03, folds[0][0].size * a.features

    def peer(model: object) -> float:
        def run() -> None:
            permutation_test_score(
                make_pipeline(StandardScaler(), model), x, y, cv=folds, scoring="r2",
                n_permutations=few, n_jobs=1, random_state=0,
            )  # fmt: skip

        # the true target is scored as well: few + 1 rounds are what was timed
        return seconds(run, a.repeats) * (a.n + 1) / (few + 1)

    def ours(penalty: object) -> float:
        def run() -> None:
            permutation_score(
                x, y, seed=0, folds=folds, n=a.n, metric="r2", penalty=penalty  # type: ignore[arg-type]
            )  # fmt: skip

        return seconds(run, a.repeats)

    model = make_pipeline(StandardScaler(), Ridge(alpha=fixed * size))
    check = permutation_score(x, y, seed=0, folds=folds, n=1, metric="r2", penalty=fixed).score
    theirs = permutation_test_score(
        model, x, y, cv=folds, scoring="r2", n_permutations=1, random_state=0
    )[0]
    print(f"score of the true target: ours {check:.12f}, scikit-learn {theirs:.12f}")
    rows = [
        ("one penalty", ours(fixed), peer(Ridge(alpha=fixed * size))),
        (
            f"{len(PENALTIES)} penalties, chosen inside",
            ours(PENALTIES),
            peer(RidgeCV(alphas=np.array(PENALTIES) * size)),
        ),
    ]
    print(f"{a.n} shuffles, {a.windows} windows, {a.features} features, 5 folds")
    print(f"{'':28s}{'ours s':>9s}{'sklearn s':>11s}{'ratio':>8s}")
    for name, mine, other in rows:
        print(f"{name:28s}{mine:9.2f}{other:11.1f}{other / mine:8.0f}")
    shift = iter(range(10**6))  # the probe remembers what it decomposed: new features each time
    fit = seconds(lambda: RidgeProbe().fit(x + next(shift), y), max(3, a.repeats))
    print(f"one fit of the probe: {fit:.3f} s; ours with the choice = {rows[1][1] / fit:.0f} fits")


if __name__ == "__main__":
    main()
