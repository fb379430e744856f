"""After this you can pretrain a network on region series and look at what it learned of regions.

Real data: 33 people in heat, 122 regions, a volume every two seconds. The network never
sees a label: regions are hidden for fifteen seconds at a time and rebuilt from the
others. Twenty seconds of training are enough to see what it learns first.
"""

# %%
# Windows of 112 s hold seven segments of eight volumes. What the network accepts (rate,
# regions in order, atlas, scaling) is the contract; it is saved with the weights.
import tempfile
from pathlib import Path

import numpy as np
import torch

import neuro
from neuro.data import InputContract, map_regions, windows
from neuro.datasets import synthetic
from neuro.errors import ContractError
from neuro.nn.patching import unpatchify
from neuro.plot import reconstruction, region_map, training_curve
from neuro.train import fit

people = neuro.datasets.load("pain122", download=True)
contract = InputContract(
    modality="bold", sfreq="1/2", unit="z", scaling="zscore", atlas="MIST122", missing="mask"
)
index = windows([contract.conform(r, "bold") for r in people], stream="bold", length_s=112)
learned = index.select(index.column("subject") <= "25")
judged = index.select(index.column("subject") > "25")
print(learned, judged, sep="\n")

# %%
# Train. From the shell: `neuro train brainmae --data FOLDER --out brainmae`.
folder = Path(tempfile.mkdtemp(prefix="neuro-tutorial-"))
model = neuro.models.create("brainmae", contract=index.contract(), depth=1)
run = fit(model, learned, steps=250, batch_size=8, lr=6e-3, out=folder / "run")
training_curve(run.metrics()).savefig(folder / "training.png", dpi=120)

# %%
# Eight people it has never seen. How much of the hidden regions is rebuilt, and how much
# does the mean of the visible regions explain? The score is the variance explained.
with torch.no_grad():
    made = model.eval().reconstruct(judged.batch(), torch.Generator().manual_seed(0))
hidden = made.hidden[..., None] & made.valid
seen = (~made.hidden)[..., None] & made.valid
others = (made.truth * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp(min=1)


def explained(guess):
    error = (guess - made.truth)[hidden].square().mean()
    return 1 - float(error / made.truth[hidden].square().mean())


print(f"network {explained(made.prediction):.2f}, mean of the others {explained(others):.2f}")
x, rebuilt, shaded = (
    unpatchify(a[0, :4], 56).numpy() for a in (made.truth, made.prediction, hidden)
)
figure = reconstruction(x, rebuilt, shaded, sfreq=0.5, unit="z", names=index.ch_names[:4])
figure.savefig(folder / "rebuilt.png", dpi=120)

# %%
# One vector a region, learned from nothing but who helps to rebuild whom. Are regions of
# one network of the atlas neighbours? Correlations know it too: the yardstick.
axis = people[0].regular("bold").axis
networks = np.asarray(axis.columns["module"])[axis.index(index.ch_names)]
vectors = model.roi_embedding.numpy()
region_map(vectors, networks).savefig(folder / "regions.png", dpi=120)


def neighbours(similarity):
    similarity = similarity - 9 * np.eye(len(similarity))
    return float((networks[similarity.argmax(1)] == networks).mean())


unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
batch = learned.batch()
whole = batch.x[batch.channel_mask.all(1)].transpose(0, 1).flatten(1).numpy()
size = np.unique(networks, return_counts=True)[1]
chance = float((size * (size - 1)).sum() / (len(networks) * (len(networks) - 1)))
near = neighbours(unit @ unit.T)
print(f"nearest region of the same network: {near:.0%}, by correlation "
      f"{neighbours(np.corrcoef(whole)):.0%}, by chance {chance:.0%}")  # fmt: skip

# %%
# Scans of another TR are resampled by `model.contract.conform`, missing regions masked.
# Regions of another atlas are refused until you say which correspond.
elsewhere = synthetic.modular_bold(seed=0, n_scans=1, n_rois=30, tr=0.72).recordings[0]
mapping = dict(zip(index.ch_names, elsewhere.regular("bold").axis.names, strict=False))
try:
    model.contract.conform(elsewhere)
except ContractError as error:
    print(f"refused: {error}")
    mapped = model.contract.conform(map_regions(elsewhere, mapping, atlas="MIST122"))
print(mapped.provenance.steps[1], mapped.provenance.steps[-2], sep="; ")

# %%
# What to expect:
print(sorted(p.name for p in folder.iterdir()))
assert near > 2 * chance
assert explained(made.prediction) > 0.2
