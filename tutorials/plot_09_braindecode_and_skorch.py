"""After this you can use braindecode's networks here, and ours inside skorch and braindecode.

Both ways end at the same places: our evaluation with its floors and controls, or
scikit-learn's. The recordings are simulated: imagining one hand weakens a rhythm
over the other hand's area. Install once: ``pip install "neuro-fm[braindecode]"``.
"""

# %%
# Windows of five people; the fifth is kept for the end.
import tempfile

import torch
from torch import nn

import neuro
from neuro.data import InputContract, windows
from neuro.datasets import synthetic
from neuro.errors import MissingDependencyError
from neuro.models import PlainModule
from neuro.train import fit

simulated = synthetic.eeg(seed=5, n_subjects=5, n_trials=60, sfreq=64, snr=2.0, n_motifs=0)
six = InputContract(
    modality="eeg", sfreq=64, unit="uV", ch_names=("F3", "F4", "C3", "C4", "O1", "O2")
)
recordings = [six.conform(recording) for recording in simulated.recordings]
index = windows(recordings, stream="eeg", length_s=2.0, align=["left", "right"], label="type")
train, test = index.split("subject", test=["05"])
whole = test.batch()

# %%
# A network of braindecode, under our contract. It refuses other units, rates and
# orders of channels, scales microvolts by what the training data were (say
# normalize="none" for values as they are), and is saved without pickle. Arguments
# of the class go by their own names. Where torchaudio is missing or of another
# build, braindecode does not load; the error then says what to install.
folder = tempfile.mkdtemp(prefix="neuro-tutorial-")
try:
    eegnet = neuro.models.create("braindecode/EEGNet", contract=train.contract(), F1=4)
    run = fit(eegnet, train, steps=100, lr=3e-3, stage="finetune", out=f"{folder}/run")
    said = neuro.models.load(run.best() / "model")(whole)
    right = (said.prediction.argmax(dim=1) == whole.target).float().mean().item()
    print(f"EEGNet, an unseen person: {right:.2f}; its embedding: {tuple(said.embedding.shape)}")
except MissingDependencyError as error:
    print(f"not here: {error}")

# %%
# To judge such a network beside ours, with floors and controls, fine-tune it inside
# every fold: in the YAML of `neuro evaluate`, a network that learns from labels
# alone has 0 steps of its own.
#
#     models:
#       EEGNet: {train: braindecode/EEGNet, steps: 0}
#       patch_mae: {train: patch_mae, steps: 300}
#     probe: {mode: full, steps: 200}

# %%
# Ours in skorch. `PlainModule` takes a tensor and returns the prediction; its
# arguments have braindecode's names, so that braindecode's own EEGClassifier fills
# in all but `sfreq`. skorch alone needs neither braindecode nor torchaudio.
from skorch import NeuralNetClassifier

classifier = NeuralNetClassifier(
    PlainModule,
    module__model="patch_mae",
    module__n_chans=6,
    module__n_times=128,
    module__n_outputs=2,
    module__sfreq=64.0,
    module__depth=2,
    module__patch_times=16,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.AdamW,
    lr=1e-3,
    max_epochs=15,
    batch_size=32,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
batch = train.batch()
torch.manual_seed(0)
classifier.fit(batch.x.numpy(), batch.target.long().numpy())
accuracy = classifier.score(whole.x.numpy(), whole.target.long().numpy())

# %%
# It is a scikit-learn estimator now: clone, cross_val_score, GridSearchCV and
# pipelines work. The network inside is still ours, and is saved as ours; and
# `module__weights="folder"` starts from a pretrained one, with a new head.
network = classifier.module_.network
network.save(f"{folder}/trained")
print(neuro.models.load(f"{folder}/trained").config.n_outputs, "outputs come back")

# %%
# What to expect: both tell the hands of a person they have never seen apart, as
# the rhythm is strong in these simulations. On real people compare with the floors.
print(f"patch_mae in skorch, an unseen person: {accuracy:.2f}")
assert accuracy > 0.9
