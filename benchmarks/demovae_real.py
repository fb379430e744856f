"""demovae on the real connectivity there is: what carries over to people left out.

    python benchmarks/demovae_real.py [--root FOLDER_OF_bold_difumo64] [--small]

hcp94 and gw94 (pieces of 170 s, told of the site; one person of each site left out in
turn), pain122 and bold_difumo64 (whole runs, told of the run; a quarter of the people
left out). Printed are the explained variance of people seen and left out, the median
variance ratio and energy distance of samples to people left out, the energy distance of
a Gaussian without covariance that learned from the same rows, and the share of samples
nearer to people seen. There are dozens of people where hundreds are needed.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import neuro.models
from neuro import datasets
from neuro.connectivity import connectivity
from neuro.data import windows
from neuro.models.demovae.fidelity import fidelity, nearest_subjects

Case = tuple[Any, Any, Any]  # rows, demographic, person


def two_sites() -> Case:
    people = [r for name in ("hcp94", "gw94") for r in datasets.load(name, download=True)]
    pieces = [
        connectivity(windows(p, stream="bold", length_s=170), method="correlation", average="time")
        for p in people
    ]
    n = [len(piece.values) for piece in pieces]
    rows = np.concatenate([piece.vector() for piece in pieces])
    return (
        rows,
        np.repeat([p.dataset for p in people], n),
        np.repeat([p.subject for p in people], n),
    )


def runs(name: str, **where: Any) -> Case:
    people = datasets.load(name, **where)
    found = [connectivity(p, method="correlation", stream="bold", bad="nan") for p in people]
    seen = np.all([one.usable for one in found], axis=0)
    rows = np.stack([one.select(nodes=seen).vector() for one in found])
    run, person = np.array([p.run for p in people]), np.array([p.subject for p in people])
    common = np.isin(run, [r for r in np.unique(run) if (run == r).sum() > 5])
    return rows[common], run[common], person[common]


def judged(case: Case, left_out: Any, name: str) -> dict[str, float]:
    rows, told, person = case
    out = np.isin(person, left_out)
    model = neuro.models.create("demovae").fit(rows[~out], {name: told[~out]})
    own = {name: told[out]}
    found = fidelity(rows[out], model.generate(int(out.sum()), own), train=rows[~out])
    many = model.generate(200, {name: np.resize(told[~out], 200)})
    return {
        "explained, seen": model.calibration_["explained"],
        "explained, left out": model.score(rows[out], own),
        "variance ratio": found.variance_ratio[1],
        "energy": found.energy,
        "energy, Gaussian": found.energy_floor,
        "nearer to seen": nearest_subjects(many, rows[~out], rows[out]).share,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of bold_difumo64; else it is left out")
    parser.add_argument("--small", action="store_true", help="one pair of hcp94 and gw94")
    args = parser.parse_args()
    case = two_sites()
    by_site = [sorted(set(case[2][case[1] == site].tolist())) for site in ("hcp94", "gw94")]
    pairs = list(zip(*by_site, strict=False))[: 1 if args.small else None]
    each = [judged(case, pair, "site") for pair in pairs]
    table = {"hcp94 + gw94": {k: float(np.mean([one[k] for one in each])) for k in each[0]}}
    others = [] if args.small else [("pain122", {"download": True})]
    if args.root is not None:
        others.append(("bold_difumo64", {"root": args.root}))
    for name, where in others:
        case = runs(name, **where)
        table[name] = judged(case, sorted(set(case[2].tolist()))[::4], "run")
    print(f"{'':22s}" + "".join(f"{name:>16s}" for name in table))
    for key in each[0]:
        print(f"{key:22s}" + "".join(f"{one[key]:16.3f}" for one in table.values()))


if __name__ == "__main__":
    main()
