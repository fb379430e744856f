"""Naming people from a run that was not learned from: fc_mae beside connectivity, pain122.

    python benchmarks/fc_mae_fingerprint.py [--steps 100] [--small]

33 people, 122 regions, runs of about 400 s in windows of 180 s. Pretraining and labels
come from each person's first runs, the last is the test, through
`neuro.evaluate.subject_identity`: a linear probe on frozen embeddings, the same with
random weights, and the linear floors on static connectivity.
"""

import argparse
import tempfile

import neuro.models
from neuro import datasets
from neuro.data import windows
from neuro.evaluate import subject_identity
from neuro.train import fit

SIZES = {"window_s": 60.0, "stride_s": 10.0, "n_draws": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--people", type=int, default=33)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="six people, hardly trained")
    args = parser.parse_args()
    if args.small:
        args.people, args.steps = 6, 3
    runs = datasets.load("pain122", download=True)
    names = sorted({r.subject for r in runs})[: args.people]
    runs = [r for r in runs if r.subject in names]
    last = {s: max(r.run for r in runs if r.subject == s) for s in names}
    cut = {"stream": "bold", "length_s": 180.0, "step_s": 60.0}
    known = windows([r for r in runs if r.run != last[r.subject]], **cut)
    model = neuro.models.create("fc_mae", contract=known.contract(), n_times=90, **SIZES)
    with tempfile.TemporaryDirectory() as folder:
        fit(model, known, steps=args.steps, batch_size=8, lr=2e-3, stage="pretrain",
            out=f"{folder}/run", seed=args.seed, progress=False)  # fmt: skip
    results = subject_identity(
        {"fc_mae": model.eval()},
        windows(runs, **cut),
        floors=["connectivity", "time_bins"],
        controls=("random_weights",),
        seeds=1,
        progress=False,
    )
    print(f"{len(names)} people, {args.steps} steps, chance {1 / len(names):.3f}")
    for row in results.rows:
        if row.metric == "balanced_accuracy":
            label = f"{row.model} / {row.control}" if row.control else row.model
            print(f"| {row.kind} | {label} | {row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}] |")


if __name__ == "__main__":
    main()
