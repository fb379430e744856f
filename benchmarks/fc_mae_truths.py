"""What fc_mae finds in simulated scans whose connectivity switches, beside cheap predictors.

    python benchmarks/fc_mae_truths.py [--seeds 0 1 2] [--few-seeds 3 4] [--small]

Scans of 600 volumes and 30 regions jump between three block patterns (one volume a
second, windows of 50 s every 10 s). Half of them stay for 90 volumes on average, half
for 30: the same states, equally frequent, hence the same static connectivity. 200 scans
are for pretraining, 100 for labels, 100 for the test.

1. Hidden edges of a window: AUC from its rest, beside the scan's own mean connectivity
   and that of the group; edges of a whole window from an earlier and a later one without
   common samples, beside group mean and the mean of the two.
2. State of each window by a linear probe of the frozen codes, from 5 and 100 labelled
   scans, beside random weights and the windows' own correlations.
3. Slow or fast switching from 100 labelled scans: logistic regression on static
   connectivity, on the deviation of each correlation over windows, on the embedding;
   fine-tuning.
4. The same from 20 labelled scans, fine-tuned after pretraining and from scratch.
"""

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import neuro.models
from neuro.data import Batch
from neuro.datasets import synthetic

WINDOW, STEP, N_ROIS, N_TIMES = 50, 10, 30, 600
N_FREE, N_LABELLED, N_TEST = 200, 100, 100
SIZES = {"n_chans": N_ROIS, "n_times": N_TIMES, "sfreq": 1.0, "window_s": 50.0, "stride_s": 10.0}
Floats = NDArray[np.float64]


def pretrained(x: Tensor, steps: int, seed: int) -> torch.nn.Module:
    model = neuro.models.create("fc_mae", **SIZES, n_outputs=2, seed=seed)
    stage = model.stages()["pretrain"]
    optimiser = torch.optim.AdamW(stage.parameters(), lr=2e-3, weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.05)
    rng = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(x), (16,), generator=rng)
        optimiser.zero_grad()
        model.loss(x[rows], rng)["loss"].backward()
        optimiser.step()
        rate.step()
    return model.eval()


def finetuned(model: torch.nn.Module, batch: Batch, epochs: int, seed: int) -> torch.nn.Module:
    stage = model.stages()["finetune"]
    n_steps = epochs * (len(batch) // 10)
    optimiser = torch.optim.AdamW(stage.parameters(), lr=1e-3, weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=n_steps, pct_start=0.2)
    rng = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(batch), generator=rng).split(10):
            optimiser.zero_grad()
            model.supervised_loss(part(batch, rows), rng)["loss"].backward()
            optimiser.step()
            rate.step()
    return model.eval()


def part(batch: Batch, rows: Tensor) -> Batch:
    return whole(batch.x[rows], batch.target[rows])


def whole(x: Tensor, y: Tensor) -> Batch:
    n = len(x)
    return Batch(
        x=x,
        sfreq=1.0,
        ch_names=tuple(f"region{i + 1:02d}" for i in range(N_ROIS)),
        channel_mask=torch.ones(n, N_ROIS, dtype=torch.bool),
        time_mask=torch.ones(n, x.shape[2], dtype=torch.bool),
        positions=torch.full((n, N_ROIS, 3), float("nan")),
        start_s=torch.zeros(n, dtype=torch.float64),
        index=torch.arange(n),
        unit="z",
        modality="bold",
        target=y,
    )


# -- 1: hidden edges ---------------------------------------------------------------------


def hidden_edges(model: torch.nn.Module, x: Tensor, group: Tensor) -> dict[str, float]:
    with torch.no_grad():
        made = model.reconstruct_graphs(x, torch.Generator().manual_seed(1))
    above = torch.ones(N_ROIS, N_ROIS, dtype=torch.bool).triu(1)
    own = torch.stack([torch.corrcoef(scan) for scan in x])[:, None]
    between = (made.correlation[:, :, 0] + made.correlation[:, :, 2]) / 2

    def auc(rebuilt: object, scores: Tensor) -> float:
        asked = rebuilt.hidden_pairs & above
        return roc_auc_score(rebuilt.true_edges[asked], scores.expand_as(rebuilt.edges)[asked])

    return {
        "window: model": auc(made.space, made.space.edges),
        "window: scan's mean": auc(made.space, own[:, :, None]),
        "window: group mean": auc(made.space, group),
        "other times: model": auc(made.time, made.time.edges),
        "other times: group mean": auc(made.time, group),
        "other times: mean of both": auc(made.time, between),
    }


# -- 2: states of windows -------------------------------------------------------------------


def correlations(x: Floats) -> Floats:
    above = np.triu_indices(len(x), 1)
    cut = [x[:, s : s + WINDOW] for s in range(0, x.shape[1] - WINDOW, STEP)]
    return np.stack([np.corrcoef(w)[above] for w in cut])


def majority(states: NDArray[np.int64]) -> NDArray[np.int64]:
    cut = [states[:, s : s + WINDOW] for s in range(0, states.shape[1] - WINDOW, STEP)]
    return np.stack([[np.bincount(w).argmax() for w in rows] for rows in cut], axis=1)


def linear(train: Floats, y: Floats, test: Floats, truth: Floats) -> float:
    fit = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)).fit(train, y)
    return float(fit.score(test, truth))


def state_probe(codes: Floats, states: Floats, n_labelled: int) -> float:
    train = slice(N_FREE, N_FREE + n_labelled)
    test = slice(N_FREE + N_LABELLED, None)
    flat = [part.reshape(-1, codes.shape[2]) for part in (codes[train], codes[test])]
    return linear(flat[0], states[train].ravel(), flat[1], states[test].ravel())


def embedded(model: torch.nn.Module, x: Tensor) -> tuple[Floats, Floats]:
    with torch.no_grad():
        out = model(x)
    return out.embedding.numpy(), out.tokens.numpy()


# -- all of one seed ----------------------------------------------------------------------


def figures(seed: int, steps: int, epochs: int, all_of_it: bool) -> dict[str, float]:
    made = synthetic.switching_fc(
        seed, n_scans=N_FREE + N_LABELLED + N_TEST, n_rois=N_ROIS, dwell=(30, 90), within=0.35
    )
    series = np.stack([r.stream("bold").data for r in made.recordings])
    x = torch.tensor(series)
    slow = np.array([r.group == "slow" for r in made.recordings], dtype=np.float64)
    batch = whole(x, torch.tensor(slow, dtype=torch.float32))
    labelled = slice(N_FREE, N_FREE + N_LABELLED)
    test = slice(N_FREE + N_LABELLED, None)
    model = pretrained(x[:N_FREE], steps, seed)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    found: dict[str, float] = {}

    def tuned(weights: bool, rows: slice, epochs: int) -> float:
        net = neuro.models.create("fc_mae", **SIZES, n_outputs=2, seed=seed)
        if weights:
            net.load_state_dict(state)
        indices = torch.arange(rows.start, rows.stop)
        net = finetuned(net, part(batch, indices), epochs, seed)
        with torch.no_grad():
            guess = net(x[test]).prediction.argmax(dim=1).numpy()
        return float((guess == slow[test]).mean())

    if all_of_it:
        group = torch.stack([torch.corrcoef(scan) for scan in x[:N_FREE]]).mean(dim=0)
        found |= hidden_edges(model, x[test], group)
        random = neuro.models.create("fc_mae", **SIZES, seed=seed).eval()
        embedding, tokens = embedded(model, x)
        plain, plain_tokens = embedded(random, x)
        raw = np.stack([correlations(scan) for scan in series])
        states = majority(made.truth["states"])
        for n in (5, N_LABELLED):
            for name, codes in (("model", tokens), ("random", plain_tokens), ("raw", raw)):
                found[f"state, {n} scans: {name}"] = state_probe(codes, states, n)
        above = np.triu_indices(N_ROIS, 1)
        static = np.stack([np.corrcoef(scan)[above] for scan in series])
        features = {
            "static": static,
            "deviation": raw.std(axis=1),
            "model": embedding,
            "random": plain,
        }
        for name, values in features.items():
            score = linear(values[labelled], slow[labelled], values[test], slow[test])
            found[f"rate, 100 scans: {name}"] = score
        for name, weights in (("fine-tuned", True), ("from scratch", False)):
            found[f"rate, 100 scans: {name}"] = tuned(weights, labelled, epochs)
    few = slice(N_FREE, N_FREE + 20)
    for name, weights in (("fine-tuned", True), ("from scratch", False)):
        found[f"rate, 20 scans: {name}"] = tuned(weights, few, 2 * epochs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--few-seeds", type=int, nargs="*", default=[3, 4])
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="seed 0, hardly trained")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.small:
        args.seeds, args.few_seeds, args.steps, args.epochs = [0], [], 10, 1
    columns: dict[int, dict[str, float]] = {}
    for seed in [*args.seeds, *args.few_seeds]:
        began = time.process_time()
        columns[seed] = figures(seed, args.steps, args.epochs, seed in args.seeds)
        print(f"seed {seed}: {time.process_time() - began:.0f} s of CPU", flush=True)
        for name, value in columns[seed].items():
            print(f"  {name:32s} {value:.3f}", flush=True)
    print(f"\n{'':32s}" + "".join(f"{seed:>8d}" for seed in columns) + f"{'mean':>8s}")
    for name in max(columns.values(), key=len):
        values = [column.get(name) for column in columns.values()]
        shown = "".join("        " if v is None else f"{v:8.3f}" for v in values)
        print(f"{name:32s}{shown}{np.mean([v for v in values if v is not None]):8.3f}")


if __name__ == "__main__":
    main()
