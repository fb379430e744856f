"""What brainmae finds of a simulation's truth, beside cheap predictors and plain connectivity.

    OMP_NUM_THREADS=2 python benchmarks/brainmae_truths.py [--seeds 0 1 2] [--ablations] [--small]

Simulated people (`neuro.datasets.synthetic.modular_bold`): 40 regions in 5 modules, 420
volumes of 0.72 s; patients have one coupling more. The network is trained without
labels on 160 people; everything is measured on others:

* skill: squared error for hidden regions (half of them hidden in every segment) over
  that of their mean; beside it the mean of the visible regions, a straight line between
  the region's own visible neighbours, and ridge regression on the visible regions with
  the covariance of the training people;
* modules: adjusted Rand index of k-means on the region embeddings, on the learned
  graph, and on correlations;
* groups: AUROC of a logistic probe on [CLS], beside correlations, for 160 people;
* TR: cosine of the embeddings of the same signals at 0.72 and 1.44 s, after the mean
  over people is taken off.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

import neuro
from neuro.data import InputContract, windows
from neuro.datasets import synthetic
from neuro.evaluate import Split, evaluate
from neuro.train import fit

CONTRACT = InputContract(modality="bold", sfreq="1/0.72", unit="z", scaling="zscore")
ABLATIONS = {
    "default": {},
    "ag": {"encoder": "ag"},
    "vanilla": {"encoder": "vanilla"},
    "self-loops": {"self_loops": True},
    "hidden regions as keys": {"masked_keys": True},
    "fixed embeddings": {"positions": "fixed"},
    "attention readout": {"readout": "attention"},
    "sum in the decoder": {"decoder": "sum"},
    "no masking": {"mask_high": 0.0},
}


def cut(recordings):
    return windows([CONTRACT.conform(r) for r in recordings], stream="bold", label="group")


def train(index, seed, steps, **config):
    model = neuro.models.create("brainmae", contract=index.contract(), seed=seed, **config)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        fit(model, index, steps=steps, batch_size=16, lr=4e-3, seed=seed, out=Path(folder, "run"),
            progress=False)  # fmt: skip
    return model.eval(), time.process_time() - began


# -- reconstruction --------------------------------------------------------------------


def reconstruct(model, batch, ratio=0.5):
    """Half of the regions hidden, whatever the model was trained with."""
    trained = model.config
    model.config = dataclasses.replace(trained, mask_low=ratio, mask_high=ratio)
    with torch.no_grad():
        made = model.reconstruct(batch, torch.Generator().manual_seed(0))
    model.config = trained
    return made


def skill(made, guess):
    hidden = made.hidden[..., None] & made.valid
    return float(((guess - made.truth)[hidden] ** 2).mean() / (made.truth[hidden] ** 2).mean())


def mean_of_others(made):
    seen = (~made.hidden)[..., None].float()
    mean = (made.truth * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True)
    return mean.expand_as(made.truth)


def straight_line(made):
    n, times = made.truth.shape[:2], np.arange(made.truth[0, 0].numel())
    rows = made.truth.reshape(-1, len(times)).numpy()
    seen = (~made.hidden)[..., None].expand_as(made.truth).reshape(-1, len(times)).numpy()
    out = np.zeros_like(rows)
    for row, here, guess in zip(rows, seen, out, strict=True):
        if here.any():
            guess[:] = np.interp(times, times[here], row[here])
    return torch.from_numpy(out).reshape(*n, *made.truth.shape[2:])


def ridge(made, trained_on):
    """Best linear guess from the visible regions at the same moment."""
    x = trained_on.x.transpose(0, 1).flatten(1).double()
    covariance = x @ x.T / x.shape[1]
    guess = torch.zeros_like(made.truth)
    for scan, segment in np.ndindex(made.hidden.shape[0], made.hidden.shape[2]):
        hidden = made.hidden[scan, :, segment]
        seen = covariance[~hidden][:, ~hidden]
        weights = torch.linalg.solve(
            seen + 0.01 * torch.eye(len(seen)), covariance[~hidden][:, hidden]
        )
        guess[scan, hidden, segment] = weights.T.float() @ made.truth[scan, ~hidden, segment]
    return guess


# -- modules, groups, TR ------------------------------------------------------------------


def rand_index(rows, module):
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    found = KMeans(len(set(module)), n_init=20, random_state=0).fit_predict(np.asarray(rows))
    return adjusted_rand_score(module, found)


def graph(model):
    if model.config.encoder == "vanilla":
        return None
    mean = model.adjacency().mean(0)
    return (mean + mean.T) / 2


def same_at_another_tr(model, seed, n):
    facts = {"n_scans": n}
    embedded = []
    for tr, n_volumes in ((0.72, 420), (1.44, 210)):
        made = synthetic.modular_bold(seed, n_volumes=n_volumes, tr=tr, **facts)
        with torch.no_grad():
            found = model(cut(made.recordings).batch()).embedding
        embedded.append(found - found.mean(0))
    return float(F.cosine_similarity(*embedded).mean())


def measure(name, seed, steps, n_train, n_judged, config):
    made = synthetic.modular_bold(seed, n_scans=n_train + n_judged)
    learned = cut(made.recordings[:n_train])
    judged = cut(made.recordings[n_train:])
    model, cpu_s = train(learned, seed, steps, **config)
    batch, module = judged.batch(range(min(40, n_judged))), made.truth["module"]
    shown = reconstruct(model, batch)
    correlation = np.mean([np.corrcoef(x) for x in batch.x.numpy()], axis=0)
    print(f"\n{name}, seed {seed}: {model.n_parameters():,} parameters, {steps} steps, "
          f"{cpu_s:.0f} s of CPU time")  # fmt: skip
    print(f"  error  {skill(shown, shown.prediction):.3f}   mean of others "
          f"{skill(shown, mean_of_others(shown)):.3f}   straight line "
          f"{skill(shown, straight_line(shown)):.3f}   ridge "
          f"{skill(shown, ridge(shown, learned.batch())):.3f}")  # fmt: skip
    edges = graph(model)
    print(f"  modules  embeddings {rand_index(model.roi_embedding, module):.2f}   graph "
          f"{'-' if edges is None else f'{rand_index(edges, module):.2f}'}   correlations "
          f"{rand_index(correlation, module):.2f}")  # fmt: skip
    results = evaluate(
        {"brainmae": model}, judged, split=Split("subject", n=5), seeds=1, metrics=["auroc"],
        floors=["connectivity", "tangent_connectivity"], controls=["random_weights"],
        progress=False,
    )  # fmt: skip
    for row in results.rows:
        if row.metric == "auroc":
            label = f"{row.model} / {row.control}" if row.control else row.model
            print(f"  groups  {label}: {row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}]")
    print(f"  same scan at TR 1.44 s: cosine {same_at_another_tr(model, seed, 12):.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--ablations", action="store_true", help="all of them, on the first seed")
    parser.add_argument("--small", action="store_true", help="a few steps, to see that it runs")
    args = parser.parse_args()
    steps, n_train, n_judged = (4, 20, 20) if args.small else (args.steps, 160, 160)
    for seed in args.seeds[: 1 if args.small else None]:
        measure("default", seed, steps, n_train, n_judged, {})
    if args.ablations:
        for name, config in list(ABLATIONS.items())[1:]:
            measure(name, args.seeds[0], steps, n_train, n_judged, config)


if __name__ == "__main__":
    main()
