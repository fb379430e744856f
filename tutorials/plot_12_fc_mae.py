"""After this you can find in a scan what its static connectivity cannot hold.

Two groups of simulated people visit the same three patterns of connectivity equally
often; one group switches between them four times as fast. Averaged over a scan nothing
differs. The scans are made up, so that the truth is known; nothing here is measured.
"""

# %%
# 160 scans of 400 volumes, 30 regions. What the network is to learn from is cut as any
# other data: one window a scan.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from neuro import models
from neuro.connectivity.tensors import batch_correlation, batch_vector
from neuro.data import windows
from neuro.datasets import synthetic
from neuro.train import fit

made = synthetic.switching_fc(seed=3, n_scans=160, n_volumes=400, dwell=(20, 80))
slow = np.array([r.group == "slow" for r in made.recordings])
free = windows(made.recordings[:80], stream="bold", length_s=400)
labelled = windows(made.recordings[80:], stream="bold", length_s=400)
print(made)

# %%
# Pretraining: half of the regions and half of the other pairs of each window are hidden,
# and windows are predicted from earlier and later ones. No label is seen. Windows are
# in seconds, so that another repetition time needs no other setting.
model = models.create(
    "fc_mae", contract=free.contract(), n_times=400, window_s=50, stride_s=20,
    d_model=32, depth=2, n_draws=2,
)  # fmt: skip
folder = Path(tempfile.mkdtemp(prefix="neuro-tutorial-"))
run = fit(model, free, steps=100, batch_size=16, lr=3e-3, stage="pretrain",
          out=folder / "run", progress=False)  # fmt: skip
model.eval()

# %%
# Did it learn? Hidden pairs of people it has never seen: which are edges?
batch = labelled.batch()
with torch.no_grad():
    hidden = model.reconstruct_graphs(batch, torch.Generator().manual_seed(0)).space
    out = model(batch)
asked = hidden.hidden_pairs
told, others = hidden.edges[asked & hidden.true_edges], hidden.edges[asked & ~hidden.true_edges]
auc = (told[::7, None] > others[None, ::7]).float().mean().item()
print(f"a hidden edge looks likelier than a pair without one: {auc:.2f} (chance 0.50)")

# %%
# Who switches slowly? The same 40 labels for three linear readers, the same 40 scans to
# judge them: connectivity over the scan, the embedding, and that of random weights.
static = batch_vector(batch_correlation(batch.x)).numpy()
fresh = models.create("fc_mae", contract=free.contract(), n_times=400, window_s=50, stride_s=20,
                      d_model=32, depth=2).eval()  # fmt: skip
with torch.no_grad():
    untrained = fresh(batch).embedding.numpy()


def read(features: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression

    z = (features - features[:40].mean(axis=0)) / features[:40].std(axis=0)
    y = slow[80:]
    return float(LogisticRegression(C=0.01).fit(z[:40], y[:40]).score(z[40:], y[40:]))


scores = {
    "static connectivity": read(static),
    "fc_mae, random weights": read(untrained),
    "fc_mae, pretrained": read(out.embedding.numpy()),
}
for name, score in scores.items():
    print(f"{name:24s} {score:.2f}")

# %%
# Where in time: the codes of the windows of one fast and one slow scan beside the true
# state of each volume.
figure, axes = plt.subplots(2, 2, figsize=(9, 4.5), sharex="col", height_ratios=(5, 1))
for column, scan in enumerate((0, 1)):
    codes = out.tokens[scan].numpy()
    codes = (codes - codes.mean(axis=0)) / (codes.std(axis=0) + 1e-6)
    order = np.argsort(codes[: len(codes) // 2].mean(axis=0))
    axes[0, column].imshow(codes[:, order].T, aspect="auto", cmap="RdBu_r", extent=(15, 375, 0, 1))
    axes[0, column].set(title=f"{made.recordings[80 + scan].group} switching", yticks=[])
    axes[1, column].imshow(made.truth["states"][80 + scan][None], aspect="auto", cmap="viridis",
                           extent=(0, 400, 0, 1))  # fmt: skip
    axes[1, column].set(yticks=[], xlabel="time (s)")
axes[0, 0].set_ylabel("codes of windows")
axes[1, 0].set_ylabel("state", rotation=0, ha="right", va="center")
figure.tight_layout()
figure.savefig(folder / "codes.png", dpi=120)
plt.close(figure)

# %%
# What to expect: static connectivity is at chance (40 scans: 0.50 give or take 0.08),
# the embedding well above it. Random weights are a strong rival here, as they often are:
# most of the information is in the windows.
assert auc > 0.8
assert scores["static connectivity"] < 0.66
assert scores["fc_mae, pretrained"] > 0.75
