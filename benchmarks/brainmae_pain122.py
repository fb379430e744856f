"""brainmae on real fMRI: 33 people in heat, beside floors, controls and connectivity.

    OMP_NUM_THREADS=2 python benchmarks/brainmae_pain122.py [--folds 5] [--steps 150] [--small]

Heat or the rest before it, from ten seconds, whole people held out: the network is
pretrained without labels on the runs of each fold's training people. Fingerprints: a
network pretrained on everybody's first run embeds the two later ones; whose embedding is
nearest? Last, whether the region embeddings know the atlas's networks.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import neuro
from neuro.data import InputContract, windows
from neuro.evaluate import Split, evaluate
from neuro.evaluate.suite.offline import offline_task
from neuro.train import fit

CONTRACT = InputContract(modality="bold", sfreq="1/2", unit="z", scaling="zscore")
# segments of 10 s instead of 15: the windows to be decoded are no longer
CONFIG = {"segment_s": 10.0}
STRETCH_S = 100.0


def pretrained(recordings, steps):
    """A network trained on 100 s stretches of whole runs."""
    index = windows(recordings, stream="bold", length_s=STRETCH_S, step_s=STRETCH_S / 4)
    contract = replace(index.contract(), n_times=None)
    model = neuro.models.create("brainmae", contract=contract, n_times=index.n_times, **CONFIG)
    with tempfile.TemporaryDirectory() as folder:
        run = fit(model, index, steps=steps, batch_size=16, lr=4e-3, out=Path(folder, "run"),
                  progress=False)  # fmt: skip
        explained = run.metrics()[-1]["explained"]
    print(
        f"trained on {len(index)} windows: {explained:.2f} of hidden regions explained", flush=True
    )
    return model.eval()


def heat(people, folds, steps, seeds):
    index = offline_task("pain122").cut(people)

    def inside(train):
        used = [train.recordings[i] for i in np.unique(train.recording)]
        return pretrained(used, steps)

    split = Split("subject", test=0.25) if folds < 2 else Split("subject", n=folds)
    results = evaluate({"brainmae": inside}, index, split=split, seeds=seeds, progress=False)
    print(f"heat or rest, {index!r}, {split}")
    for row in results.rows:
        if row.metric == "balanced_accuracy":
            label = f"{row.model} / {row.control}" if row.control else row.model
            print(f"| {row.kind} | {label} | {row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}] |")


def identified(first, second):
    """People whose second row is most like their own first row."""
    n = len(first)
    alike = np.corrcoef(first, second)[:n, n:]
    return int((alike.argmax(axis=0) == np.arange(n)).sum())


def fingerprints(people, steps):
    scaled = [CONTRACT.conform(r, "bold") for r in people]
    model = pretrained([r for r in scaled if r.run == "1"], steps)
    runs = [{r.subject: r for r in scaled if r.run == number} for number in ("3", "7")]
    both = sorted(set(runs[0]) & set(runs[1]))
    fresh = neuro.models.create("brainmae", contract=model.contract,
                                n_times=model.config.n_times, **CONFIG)  # fmt: skip
    # the union of the regions decides the columns: both runs are cut together
    ordered = [run[s] for run in runs for s in both]
    pieces = windows(ordered, stream="bold", length_s=STRETCH_S)
    print(f"fingerprints of {len(both)} people between two runs (chance 1)")
    for name, network in (("brainmae", model), ("random weights", fresh.eval())):
        with torch.no_grad():
            out = network(pieces.batch())
        spread = torch.cat([out.tokens.mean(1), out.tokens.std(1)], dim=1)
        for what, values in (("[CLS]", out.embedding), ("mean and spread of segments", spread)):
            # a run is the mean of its stretches, as long as those of the training
            rows = np.stack([values.numpy()[pieces.recording == i].mean(0)
                             for i in range(len(ordered))])  # fmt: skip
            rows -= rows.mean(0)
            print(f"| {name} | {what} | {identified(*np.split(rows, 2))} |")
    batch = windows(ordered, stream="bold").batch()
    x = batch.x.numpy() + 1e-6 * np.random.default_rng(0).standard_normal(batch.x.shape)
    upper = np.triu_indices(x.shape[1], 1)
    plain = np.stack([np.corrcoef(row)[upper] for row in x])
    print(f"| correlations |  | {identified(*np.split(plain, 2))} |")
    networks(model, people[0].regular("bold").axis, x)


def networks(model, axis, x):
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    rows = axis.index(model.contract.ch_names)
    module = np.asarray(axis.columns["module"])[rows]
    n = len(np.unique(module))
    mean = np.mean([np.corrcoef(row) for row in x], axis=0)
    for name, values in (("embeddings", model.roi_embedding.numpy()), ("correlations", mean)):
        found = KMeans(n, n_init=20, random_state=0).fit_predict(values)
        print(f"the atlas's {n} networks from {name}: Rand index "
              f"{adjusted_rand_score(module, found):.2f}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=5, help="1: a quarter of the people held out")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--parts", nargs="+", default=["fingerprints", "heat"])
    parser.add_argument("--small", action="store_true", help="a few steps, to see that it runs")
    args = parser.parse_args()
    people = neuro.datasets.load("pain122", download=True)
    folds, steps, seeds = (1, 2, 1) if args.small else (args.folds, args.steps, args.seeds)
    if "fingerprints" in args.parts:
        fingerprints(people, steps)
    if "heat" in args.parts:
        heat(people, folds, steps, seeds)


if __name__ == "__main__":
    main()
