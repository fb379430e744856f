"""TFM-Tokenizer on motifs of known kind: what its tokens must tell after short training."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import nn
from torch.nn import functional as F

import neuro.models
from neuro.data import windows
from neuro.datasets import synthetic
from neuro.models.tfm_tokenizer import TokenFrontEnd
from neuro.nn.attention import Transformer
from neuro.nn.spectra import stft_magnitude
from neuro.train import fit

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("motifs")]

LENGTH_S, N_FRAMES, N_TIMES = 10, 19, 2000
# A small network, so that a test can train it; the sizes of "default" give the
# same picture in more time.
SMALL = {"n_codes": 128, "d_model": 32, "n_heads": 4, "n_groups": 8,
         "frequency_depth": 1, "temporal_depth": 1, "decoder_depth": 1}  # fmt: skip


def labels(truth, batch):
    """Motif of every frame (window, channel, frame); -1 where it lies in two."""
    out = np.full((len(batch), truth["motif"].shape[1], N_FRAMES), -1)
    for w, (subject, start) in enumerate(zip(batch.subject, batch.start_s.tolist(), strict=True)):
        motif = truth["motif"][int(subject) - 1]
        for frame in range(N_FRAMES):
            first = round(start) + frame // 2
            last = first + frame % 2
            out[w, :, frame] = np.where(motif[:, first] == motif[:, last], motif[:, first], -1)
    return out


def table(ids, kinds, n_codes=128):
    """Counts of (code, motif) over labelled frames."""
    known = kinds >= 0
    counts = np.zeros((n_codes, 6), dtype=int)
    np.add.at(counts, (np.asarray(ids)[known], kinds[known]), 1)
    return counts


def purity(counts):
    return counts.max(axis=1).sum() / counts.sum()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Tokenizer trained on four people, and what the other two look like to it."""
    made = synthetic.motifs(0, n_subjects=6, duration_s=160)
    # 5 ms more than a window, for the jittered copy
    index = windows(made.recordings, stream="eeg", length_s=LENGTH_S + 0.005, step_s=LENGTH_S)
    person = np.array([int(s) for s in index.column("subject")])
    plain = windows(made.recordings, stream="eeg", length_s=LENGTH_S, step_s=LENGTH_S)
    learn = plain.select(np.flatnonzero(plain.column("subject").astype(int) <= 4))
    model = neuro.models.create("tfm_tokenizer", contract=learn.contract(), seed=0, **SMALL)
    fit(model, learn, steps=80, batch_size=4, lr=3e-3, stage="tokenizer", seed=0, progress=False,
        out=tmp_path_factory.mktemp("run"), device="cpu")  # fmt: skip
    model.eval()
    train, test = index.batch(person <= 4), index.batch(person > 4)
    return SimpleNamespace(
        model=model,
        train=train.x[..., :N_TIMES],
        test=test.x[..., :N_TIMES],
        later=test.x[..., 1:],
        train_kinds=labels(made.truth, train),
        test_kinds=labels(made.truth, test),
        kinds=made.truth["kinds"],
        test_ids=model.tokenize(test.x[..., :N_TIMES]).ids,
        train_ids=model.tokenize(train.x[..., :N_TIMES]).ids,
    )


def test_codes_are_pure_many_and_near_what_clustering_gives(trained):
    counts = table(trained.test_ids, trained.test_kinds)
    # .98 over three seeds, see the card
    assert purity(counts) >= 0.8
    often = counts.sum(axis=1) >= 0.001 * counts.sum()
    codes = np.bincount(counts.argmax(axis=1)[often], minlength=6)
    assert codes.min() >= 3, codes

    def spectra(x):
        x = x / x.abs().quantile(0.95, dim=-1, keepdim=True)
        power = stft_magnitude(x, 200, 100)[..., :50, :].square()
        return torch.log(power + 1e-2).transpose(-1, -2)

    clusters = KMeans(64, n_init=1, random_state=0).fit(spectra(trained.train).reshape(-1, 50))
    found = clusters.predict(spectra(trained.test).reshape(-1, 50))
    yardstick = purity(table(found.reshape(trained.test_kinds.shape), trained.test_kinds))
    assert purity(counts) > yardstick - 0.1


def test_a_probe_on_single_codes_reads_the_motif_and_shuffled_labels_do_not(trained):
    def score(counts):
        guess = counts.argmax(axis=1)[trained.test_ids]
        known = trained.test_kinds >= 0
        return (guess == trained.test_kinds)[known].mean()

    # the best guess from a one-hot code is the motif it stood for most often
    assert score(table(trained.train_ids, trained.train_kinds)) >= 0.8
    rng, chance = np.random.default_rng(0), []
    known = trained.train_kinds >= 0
    for _ in range(40):
        shuffled = trained.train_kinds.copy()
        shuffled[known] = rng.permutation(shuffled[known])
        chance.append(score(table(trained.train_ids, shuffled)))
    # six kinds of nearly equal frequency; a single shuffle gets a whole motif right by
    # luck now and then, since all its frames share some twenty codes
    assert abs(np.mean(chance) - 1 / 6) < 0.05


def test_gain_jitter_and_noise_leave_most_tokens(trained):
    def kept(x):
        return (trained.model.tokenize(x).ids == trained.test_ids).float().mean().item()

    for gain in (0.01, 0.1, 10.0, 100.0):
        assert kept(gain * trained.test) >= 0.99
    noise = torch.randn(trained.test.shape, generator=torch.Generator().manual_seed(0))
    size = 0.1 * trained.test.std(dim=-1, keepdim=True)  # 20 dB
    assert kept(trained.test + size * noise) >= 0.6
    assert kept(trained.later) >= 0.6


def test_beta_survives_the_code_book(trained):
    spectra = trained.model.token_spectra(trained.test)
    beta = torch.tensor(trained.test_kinds == trained.kinds.index("beta"))
    band = (spectra.freqs >= 13) & (spectra.freqs < 30)
    truth, decoded = (s.transpose(-1, -2)[beta][:, band] for s in (spectra.truth, spectra.decoded))
    error = (truth - decoded).square().sum() / truth.square().sum()
    mean = spectra.truth.transpose(-1, -2).reshape(-1, len(band))[:, band].mean(dim=0)
    blind = (truth - mean).square().sum() / truth.square().sum()
    # the mean spectrum alone comes close to the bound of 0.6, so it is not enough
    assert error <= 0.6
    assert error < 0.7 * blind


def test_frozen_tokens_feed_another_encoder(trained):
    model = trained.model
    random = SimpleNamespace(config=model.config, token_vectors=_random_tokens(trained))
    informed, control = (accuracy(source, trained) for source in (model, random))
    assert informed >= control + 0.2


def _random_tokens(trained):
    """As many codes, drawn from those in use without regard to the signal."""
    generator, used = torch.Generator().manual_seed(0), trained.test_ids.unique()

    def token_vectors(x):
        shape = (*x.shape[:2], N_FRAMES)
        ids = used[torch.randint(len(used), shape, generator=generator)]
        return F.embedding(ids, trained.model.codebook), torch.ones(shape, dtype=torch.bool)

    return token_vectors


def accuracy(source, trained, steps=60):
    """Motif of each frame, by a small transformer on top of frozen tokens."""
    torch.manual_seed(0)
    front = TokenFrontEnd(source, 32)
    encoder, head = Transformer(depth=1, d_model=32, n_heads=4), nn.Linear(32, 6)
    parts = nn.ModuleList([front, encoder, head]).train()
    optimiser = torch.optim.AdamW(parts.parameters(), lr=3e-3)
    kinds = torch.tensor(trained.train_kinds)
    for step in range(steps):
        rows = torch.arange(4 * step, 4 * step + 4) % len(trained.train)
        scores = head(encoder(*front(trained.train[rows])))
        loss = F.cross_entropy(scores.flatten(0, 1), kinds[rows].flatten(), ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    kinds = torch.tensor(trained.test_kinds).flatten(1)
    with torch.no_grad():
        guess = head(encoder(*front(trained.test))).argmax(dim=-1)
    return (guess == kinds)[kinds >= 0].float().mean().item()
