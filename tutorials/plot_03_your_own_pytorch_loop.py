"""After this you can train our models, or your own, in a PyTorch loop you wrote yourself.

Nothing here needs our training loop: a batch is a dataclass of tensors, a model
is an `nn.Module`. The recordings are simulated, so what there is to find is
known: imagining one hand weakens a rhythm over the other hand's area.
"""

# %%
# Batches. Windows are an index; samples are read when a batch is asked for.
import tempfile

import torch
from torch import nn
from torch.nn import functional as F

import neuro
from neuro.data import InputContract, windows
from neuro.datasets import synthetic

simulated = synthetic.eeg(seed=5, n_subjects=5, n_trials=60, sfreq=64, snr=2.0, n_motifs=0)
six = InputContract(
    modality="eeg", sfreq=64, unit="uV", ch_names=("F3", "F4", "C3", "C4", "O1", "O2")
)
recordings = [six.conform(recording) for recording in simulated.recordings]
index = windows(recordings, stream="eeg", length_s=2.0, align=["left", "right"], label="type")
train, test = index.split("subject", test=["05"])
print(train, test, index.classes, sep="\n")

batch = train.batch([0, 1, 2])
print(batch.x.shape, batch.unit, batch.ch_names[:3], batch.target, batch.subject)


def batches(part, size, n, seed):
    """`n` random batches; any sampler or DataLoader of yours does as well."""
    draw = torch.Generator().manual_seed(seed)
    for _ in range(n):
        yield part.batch(torch.randint(len(part), (size,), generator=draw).numpy())


# %%
# Our model in your loop. `loss` gives a dictionary: under "loss" what is to fall,
# beside it figures worth watching, here the share of the hidden samples' variance
# that is explained. What is hidden is drawn from the generator you pass.
sizes = {"patch_times": 16, "depth": 2, "decoder_d_model": 64}
model = neuro.models.create("patch_mae", contract=train.contract(), n_outputs=2, **sizes)
model.prepare(train)  # centre and scale of the training windows
masks = torch.Generator().manual_seed(0)
optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
explained = []
for batch in batches(train, size=32, n=220, seed=1):
    out = model.loss(batch, masks)
    optimiser.zero_grad()
    out["loss"].backward()
    optimiser.step()
    explained.append(out["explained"].item())
first, last = (sum(part) / 20 for part in (explained[:20], explained[-20:]))
print(f"explained of what is hidden: {first:.2f} at first, {last:.2f} at the end")

# %%
# Its parts are yours: an embedding a window, a token a patch, a prediction where
# the model has a head. Saved, it opens anywhere with its contract.
with torch.no_grad():
    output = model.eval()(test.batch(range(4)))
print(output.embedding.shape, output.tokens.shape, output.prediction.shape)
folder = model.save(tempfile.mkdtemp(prefix="neuro-tutorial-") + "/model")
again = neuro.models.load(folder)
with torch.no_grad():
    assert torch.equal(again(test.batch(range(4))).embedding, output.embedding)

# %%
# What was not made for these windows is refused, with a reason, before it costs
# you a night of training.
try:
    model(windows(simulated.recordings, stream="eeg", length_s=2.0).batch([0]))
except neuro.errors.ContractError as error:
    print(f"refused: {error}")


# %%
# Your own network on our batches: filters over time, then over channels, then the
# logarithm of what is left of the power. It needs nothing of this package.
class Rhythms(nn.Module):
    def __init__(self, n_chans, n_outputs, n_filters=8, length=33):
        super().__init__()
        self.time = nn.Conv2d(1, n_filters, (1, length), padding="same", bias=False)
        self.space = nn.Conv2d(n_filters, n_filters, (n_chans, 1), bias=False)
        self.norm = nn.BatchNorm1d(n_filters)
        self.head = nn.Linear(n_filters, n_outputs)

    def forward(self, x):
        filtered = self.space(self.time(x[:, None]))[:, :, 0]
        power = filtered.square().mean(dim=-1)
        return self.head(self.norm(torch.log(power + 1e-6)))


torch.manual_seed(0)
mine = Rhythms(len(train.ch_names), len(index.classes))
optimiser = torch.optim.AdamW(mine.parameters(), lr=5e-3, weight_decay=0.01)
for batch in batches(train, size=64, n=150, seed=2):
    scores = mine(batch.x / 20)  # about one in size; batch.x is in batch.unit
    loss = F.cross_entropy(scores, batch.target.long())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

# %%
# Test on the person nobody has seen.
with torch.no_grad():
    whole = test.batch()
    hit = mine.eval()(whole.x / 20).argmax(dim=1) == whole.target
accuracy = hit.float().mean().item()

# %%
# What to expect: the masked autoencoder sits at nothing for some hundred steps,
# until it has found out who neighbours whom, then rises (what is noise nobody can
# guess); the small network tells the hands of an unseen person apart.
print(f"left or right hand of an unseen person: {accuracy:.2f}")
assert last > max(0.1, first)
assert accuracy > 0.8
