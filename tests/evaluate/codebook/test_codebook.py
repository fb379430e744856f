"""A code book under the microscope: every number against one made by hand or by a peer."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score
from sklearn.naive_bayes import MultinomialNB

from neuro.data import Axis, Events, Recording, Regular, windows
from neuro.datasets import synthetic
from neuro.errors import ConfigError, DataError
from neuro.evaluate.codebook import (
    NgramBayes,
    Stretches,
    agreement,
    inspect_codebook,
    ngram_counts,
    ngram_evidence,
    read_tokens,
)
from neuro.evaluate.codebook.evidence import _note
from neuro.evaluate.codebook.ngrams import Ngrams, counts_of
from neuro.evaluate.codebook.reading import noisy, shifted
from neuro.models._tokens import Tokens, TokenSpectra

# ---- plain tokenizers --------------------------------------------------------------


class Nearest:
    """Nearest of k-means centres of log spectra of one second."""

    name = "nearest"

    def __init__(self, windows, n_codes=32, seed=0):
        from sklearn.cluster import KMeans

        self.n_codes, self.sfreq = n_codes, round(windows.sfreq)
        log = self._log(windows.batch().x).flatten(0, 2).numpy()
        fitted = KMeans(n_codes, n_init=1, max_iter=25, random_state=seed).fit(log)
        self.codebook = torch.from_numpy(fitted.cluster_centers_.astype(np.float32))

    def _log(self, x):
        seconds = x.unfold(-1, self.sfreq, self.sfreq)
        return torch.log1p(torch.fft.rfft(seconds, dim=-1).abs()[..., 1:])

    def tokenize(self, batch):
        log = self._log(batch.x)
        ids = torch.cdist(log, self.codebook.expand(log.shape[0], log.shape[1], -1, -1)).argmin(-1)
        return Tokens(ids, torch.arange(log.shape[2]).double(), 1.0, self.n_codes)

    def token_spectra(self, batch):
        truth = self._log(batch.x)
        decoded = self.codebook[self.tokenize(batch).ids]
        hz = torch.arange(1, truth.shape[-1] + 1).double()
        return TokenSpectra(truth.transpose(2, 3), decoded.transpose(2, 3), hz)


class Written:
    """Codes stand in the samples: each second's mean, rounded, is its code."""

    name = "written"

    def __init__(self, n_codes=8, loss=0.0):
        self.n_codes, self.loss = n_codes, loss
        self.codebook = torch.arange(n_codes).float()[:, None]

    def tokenize(self, batch):
        seconds = batch.x.unfold(-1, round(batch.sfreq), round(batch.sfreq)).mean(-1)
        ids = seconds.round().long().clamp(-1, self.n_codes - 1)
        return Tokens(ids, torch.arange(ids.shape[-1]).double(), 1.0, self.n_codes)

    def token_spectra(self, batch):
        seconds = batch.x.unfold(-1, round(batch.sfreq), round(batch.sfreq))
        truth = torch.fft.rfft(seconds, dim=-1).abs().transpose(2, 3)
        hz = torch.arange(truth.shape[2]).double()
        return TokenSpectra(truth, (1 - self.loss) * truth, hz)


def written(codes, sfreq=40, subjects=None, label=None, length_s=None, seed=0, segments=None):
    """Windows whose samples hold `codes` (recording, channel, second) and a little noise."""
    codes = np.asarray(codes)
    rng = np.random.default_rng(seed)
    axis = Axis([f"c{i}" for i in range(codes.shape[1])], "eeg")
    recordings = []
    for r, rows in enumerate(codes):
        x = np.repeat(rows, sfreq, axis=1) + 0.1 * rng.standard_normal(
            (codes.shape[1], codes.shape[2] * sfreq)
        )
        events = Events.empty()
        if label is not None:
            each = length_s or codes.shape[2]
            n = int(codes.shape[2] / each)
            events = Events.make(
                each * np.arange(n), np.asarray(label)[r], duration_s=each, block=np.arange(n)
            )
        subject = f"{r:02d}" if subjects is None else subjects[r]
        signal = Regular(x.astype(np.float32), sfreq, "uV", axis, "eeg", segments=segments)
        recordings.append(Recording({"x": signal}, events, dataset="d", subject=subject))
    return windows(
        recordings, stream="x", length_s=length_s, label=None if label is None else "type"
    )


@pytest.fixture
def ids():
    rng = np.random.default_rng(0)
    out = rng.integers(0, 5, (30, 3, 8))
    out[rng.random(out.shape) < 0.1] = -1
    return out


# ---- n-grams ----------------------------------------------------------------------


def by_hand(ids, orders, by_channel):
    """One Counter a window, by plain loops."""
    out = []
    for window in ids.tolist():
        found = Counter()
        for c, row in enumerate(window):
            for n in orders:
                for t in range(len(row) - n + 1):
                    gram = tuple(row[t : t + n])
                    if min(gram) >= 0:
                        found[(c if by_channel else None, gram)] += 1
        out.append(found)
    return out


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("orders", [(1,), (2,), (1, 2, 3), (3, 1)])
def test_counts_are_those_of_plain_loops(ids, orders, by_channel):
    counts, names = ngram_counts(ids, 5, orders, by_channel=by_channel)
    found = [{name: n for name, n in zip(names, row, strict=True) if n} for row in counts.toarray()]
    assert found == by_hand(ids, orders, by_channel)
    assert len(set(names)) == len(names)


def test_no_ngram_crosses_a_channel_a_window_or_a_gap():
    ids = np.array([[[0, 1], [2, 3]], [[4, -1], [-1, 5]]])
    _, names = ngram_counts(ids, 6, orders=(2,))
    assert [codes for _, codes in names] == [(0, 1), (2, 3)]


def test_ngrams_longer_than_a_window_are_none():
    counts, names = ngram_counts(np.zeros((2, 1, 2), int), 3, orders=(1, 3))
    assert names == [(None, (0,))]
    assert counts.toarray().tolist() == [[2], [2]]


@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("balanced", [False, True])
def test_bayes_equals_that_of_scikit_learn(ids, alpha, balanced):
    counts, _ = ngram_counts(ids, 5)
    y = np.arange(len(ids)) % 4 == 0
    weight = np.where(y, len(y) / 2 / y.sum(), len(y) / 2 / (~y).sum()) if balanced else None
    peer = MultinomialNB(alpha=alpha).fit(counts, y, sample_weight=weight)
    own = NgramBayes.fitted(counts, y, alpha=alpha, balanced=balanced)
    assert np.abs(own.log_p - peer.feature_log_prob_).max() < 1e-8
    assert np.abs(own.log_prior - peer.class_log_prior_).max() < 1e-8
    joint = peer.predict_joint_log_proba(counts)
    assert np.abs(own.log_odds(counts) - (joint[:, 1] - joint[:, 0])).max() < 1e-8


def test_a_windows_tokens_add_up_to_what_the_classifier_saw(ids):
    grams = Ngrams.of(ids, 5)
    vocabulary = grams.vocabulary(np.arange(len(ids)))
    place = grams.positions(vocabulary)
    counts = counts_of(place, len(vocabulary))
    y = np.arange(len(ids)) % 3 == 0
    bayes = NgramBayes.fitted(counts, y)
    total = grams.projected(place, bayes.evidence).sum(axis=(1, 2))
    prior = bayes.log_prior[1] - bayes.log_prior[0]
    # sums of some 60 doubles of size 1
    assert np.abs(total + prior - bayes.log_odds(counts)).max() < 1e-10


def test_evidence_of_an_ngram_lies_on_its_own_tokens():
    ids = np.array([[[3, 1, 2, 3]]])
    grams = Ngrams.of(ids, 4, orders=(2,))
    vocabulary = grams.vocabulary(np.array([0]))
    wanted = np.array([6.0 if grams.named(int(k))[1] == (1, 2) else 0.0 for k in vocabulary])
    found = grams.projected(grams.positions(vocabulary), wanted)
    assert found.tolist() == [[[0.0, 3.0, 3.0, 0.0]]]


def test_ngrams_that_training_never_saw_say_nothing():
    grams = Ngrams.of(np.array([[[0, 0]], [[1, 1]]]), 2, orders=(1,))
    place = grams.positions(grams.vocabulary(np.array([0])))
    assert place[0].tolist() == [[[0, 0]], [[-1, -1]]]
    assert grams.projected(place, np.array([5.0])).tolist() == [[[5.0, 5.0]], [[0.0, 0.0]]]


@pytest.mark.parametrize("orders", [(), (0,), (2, 2)])
def test_orders_that_mean_nothing_are_refused(ids, orders):
    with pytest.raises(ConfigError, match="orders="):
        ngram_counts(ids, 5, orders)


def test_too_many_ngrams_are_refused(ids):
    with pytest.raises(ConfigError, match="shorter"):
        ngram_counts(ids, 8192, orders=(5,))
    with pytest.raises(DataError, match="window, channel, token"):
        ngram_counts(ids[0], 5)


# ---- evidence ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    made = synthetic.motifs(0, n_subjects=6, n_chans=4, planted=0.2)
    cut = windows(made.recordings, stream="eeg", length_s=12.0, label="type")
    return made, cut, Nearest(cut.select(slice(0, 40)), 24)


@pytest.fixture(scope="module")
def looked(planted):
    made, cut, model = planted
    known = Stretches.of_truth(made.truth)
    return inspect_codebook(model, cut, stretches=known, localise="spike_wave")


def test_planted_runs_are_told_and_found_in_people_never_seen(looked):
    found = looked.evidence
    assert found.positive == "seizure"
    assert np.mean(found.auroc) >= 0.90
    assert np.mean(found.place_auroc) >= 0.80
    assert np.mean(found.auroc_shuffled) == pytest.approx(0.5, abs=0.08)
    assert np.mean(found.place_auroc_shuffled) == pytest.approx(0.5, abs=0.08)


def test_areas_are_those_of_scikit_learn(looked):
    found, near = looked.evidence, []
    people = looked.windows.select(found.rows).column("subject")
    # four folds of six people: one person's windows were scored by one classifier
    for person in np.unique(people):
        mine = people == person
        scores = []
        _note(scores, found.score[mine], found.is_positive[mine])
        near.append(scores[0] - roc_auc_score(found.is_positive[mine], found.score[mine]))
    tied = []
    _note(tied, np.array([1.0, 1.0, 0.0, 2.0]), np.array([True, False, False, True]))
    assert np.abs(near).max() < 1e-12
    assert tied == [0.875]


def test_evidence_does_not_point_at_what_has_nothing_to_do_with_it(planted, looked):
    made, cut, _ = planted
    known = Stretches.of_truth(made.truth)
    found = ngram_evidence(cut, looked.grid, stretches=known, localise="alpha", shuffles=0)
    assert np.mean(found.place_auroc) < 0.65


def test_smoothing_alone_makes_rare_ngrams_signs_of_the_smaller_class_unless_balanced():
    # one common n-gram and one that no other window has: neither says anything
    n = 100
    counts = np.concatenate([np.full((n, 1), 50.0), np.eye(n)], axis=1)
    y = np.arange(n) < 20
    plain = NgramBayes.fitted(counts, y).evidence[1:].mean()
    even = NgramBayes.fitted(counts, y, balanced=True).evidence[1:].mean()
    assert plain > 0.8
    assert abs(even) < 0.2


def test_no_persons_windows_teach_the_map_of_that_person():
    """Labels go with a code that means the opposite in every other person."""
    rng = np.random.default_rng(0)
    label = np.array([["no", "yes"] * 10] * 2)
    mark = np.where((label == "yes") ^ (np.arange(2)[:, None] == 1), 1, 2)
    codes = np.repeat(mark, 2, axis=1)[:, None] + np.zeros((2, 3, 1), int)
    codes[:, 1:] = rng.integers(3, 6, codes[:, 1:].shape)
    cut = written(codes, label=label, length_s=2)
    found = ngram_evidence(cut, read_tokens(Written(), cut), shuffles=0)
    # what one person teaches is wrong for the other: held out, it must fail
    assert np.mean(found.auroc) < 0.1
    blocks = ngram_evidence(cut, read_tokens(Written(), cut), by="block", shuffles=0)
    assert np.mean(blocks.auroc) > 0.3


def test_places_are_told_by_the_share_of_a_token_that_covers_them(planted, looked):
    made, cut, _ = planted
    half = replace(looked.grid, start_s=looked.grid.start_s - 0.0)
    known = Stretches.of_truth(made.truth)
    finer = Stretches([np.repeat(a, 2, axis=1) for a in known.label], known.names, step_s=0.5)
    a = ngram_evidence(cut, half, stretches=known, localise="spike_wave", shuffles=0)
    b = ngram_evidence(cut, half, stretches=finer, localise="spike_wave", shuffles=0)
    # halves of a second carry half its evidence: the same order, so the same area
    assert b.place_auroc == pytest.approx(a.place_auroc, abs=1e-12)


def test_the_strongest_ngrams_are_those_of_the_planted_motif(looked):
    best = looked.evidence.top[0]
    table = looked.truth.table[list(best.codes)].sum(axis=0)
    assert looked.truth.names[int(table.argmax())] == "spike_wave"
    assert best.in_positive > 20 * max(1, best.in_other)


def test_windows_without_classes_or_with_one_are_refused():
    plain = written(np.zeros((2, 1, 8), int), length_s=2)
    with pytest.raises(DataError, match="have none"):
        ngram_evidence(plain, read_tokens(Written(), plain))
    one = written(np.zeros((2, 1, 4), int), label=[["a", "a"]] * 2, length_s=2)
    with pytest.raises(DataError, match="two classes are needed"):
        ngram_evidence(one, read_tokens(Written(), one))
    alone = written(np.zeros((1, 1, 4), int), label=[["a", "b"]], length_s=2)
    with pytest.raises(DataError, match="only one subject"):
        ngram_evidence(alone, read_tokens(Written(), alone))
    with pytest.raises(ConfigError, match="No class 'c'"):
        ngram_evidence(one, read_tokens(Written(), one), positive="c")


# ---- use and agreement ------------------------------------------------------------


def test_use_is_counted_over_the_whole_set_and_not_over_batches():
    # every window holds one code: a perplexity of batches of one would be 1
    codes = np.repeat(np.arange(4), 3)[None, None]
    cut = written(codes, length_s=3)
    one = inspect_codebook(Written(8), cut, batch_size=1)
    assert one.perplexity == pytest.approx(4.0)
    assert inspect_codebook(Written(8), cut, batch_size=4).perplexity == one.perplexity
    assert one.counts.tolist() == [3, 3, 3, 3, 0, 0, 0, 0]
    assert (one.n_used, one.n_dead) == (4, 4)


def test_purity_counts_the_most_frequent_label_of_each_code():
    code = np.array([0, 0, 0, 1, 1, 2, -1, 2])
    kind = np.array([0, 0, 1, 1, 1, 0, 1, -1])
    found = agreement(code, kind, ("a", "b"), n_codes=4)
    assert found.table.tolist() == [[2, 1], [0, 2], [1, 0], [0, 0]]
    assert found.purity == pytest.approx(5 / 6)
    assert found.chance == pytest.approx(3 / 6)
    assert (found.n_used, found.codes_per_label) == (3, (2, 1))


def test_nmi_is_that_of_scikit_learn_and_a_renaming_changes_nothing():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 400)
    code = np.where(rng.random(400) < 0.7, kind, rng.integers(0, 6, 400))
    found = agreement(code, kind, ("a", "b", "c"), n_codes=6)
    assert found.nmi == pytest.approx(normalized_mutual_info_score(kind, code), abs=1e-12)
    assert agreement(5 - code, kind, ("a", "b", "c"), n_codes=6).purity == found.purity


def test_a_code_of_its_own_for_every_token_is_pure_and_says_nothing():
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 4, 1000)
    group = np.arange(1000) // 100
    found = agreement(np.arange(1000), kind, tuple("abcd"), n_codes=1000, group=group)
    assert found.purity == found.purity_shuffled == 1.0
    # new people's codes are unknown: the most frequent label is guessed, 0.25 +- 0.014
    assert found.held_out == pytest.approx(0.25, abs=0.06)


def test_codes_that_mean_another_thing_in_every_person_do_not_hold_up():
    kind = np.tile([0, 1], 50)
    group = np.repeat([0, 1], 50)
    code = np.where(group == 0, kind, 1 - kind)
    found = agreement(code, kind, ("a", "b"), n_codes=2, group=group)
    assert (found.purity, found.held_out) == (0.5, 0.0)


def test_motifs_have_codes_of_their_own(looked):
    truth = looked.truth
    assert truth.purity >= 0.9
    assert truth.held_out >= 0.9
    assert truth.purity_shuffled < 0.35
    assert min(truth.codes_per_label) >= 1
    assert looked.yardstick_centres == 24
    assert looked.yardstick.purity >= 0.9


# ---- stretches --------------------------------------------------------------------


def test_a_token_has_a_label_only_where_it_lies_in_one():
    known = Stretches([np.array([[0, 0, 1, 1, 1, -1]])], ("a", "b"))
    cut = written(np.zeros((1, 2, 6), int))
    found = known.of_tokens(cut, np.array([0.0, 0.5, 1.5, 2.0, 3.5, 4.5, 5.5]), 1.0)
    # the last two touch the unknown second and the end
    assert found.tolist() == [[[0, 0, -1, 1, 1, -1, -1]] * 2]


def test_labels_follow_the_windows_start_the_channel_and_the_recording():
    label = [np.arange(12).reshape(2, 6) % 3, (np.arange(12).reshape(2, 6) + 1) % 3]
    cut = written(np.zeros((2, 2, 6), int), length_s=2)
    found = Stretches(label, tuple("abc")).of_tokens(cut, np.array([0.0, 1.0]), 1.0)
    for row in range(len(cut)):
        second = int(cut.start[row] / cut.sfreq)
        assert np.array_equal(found[row], label[cut.recording[row]][:, second : second + 2])


def test_annotations_name_the_stretches_they_cover():
    cut = written(np.zeros((1, 1, 6), int), label=[["left", "right"]], length_s=3)
    known = Stretches.of_events(cut.recordings, "x")
    assert known.names == ("left", "right")
    assert known.label[0].tolist() == [[0, 0, 0, 1, 1, 1]]
    with pytest.raises(DataError, match="No recording has events"):
        Stretches.of_events(written(np.zeros((1, 1, 6), int)).recordings, "x")


def test_stretches_of_other_recordings_are_refused():
    cut = written(np.zeros((2, 1, 4), int))
    with pytest.raises(DataError, match="1 recordings are labelled"):
        Stretches([np.zeros((1, 4), int)], ("a",)).of_tokens(cut, np.zeros(1), 1.0)
    with pytest.raises(DataError, match="1 channels, its stretches are of 3"):
        Stretches([np.zeros((3, 4), int)] * 2, ("a",)).of_tokens(cut, np.zeros(1), 1.0)
    with pytest.raises(DataError, match="must be -1 to 0"):
        Stretches([np.ones((1, 4), int)], ("a",))


# ---- shaken -----------------------------------------------------------------------


def test_shifted_windows_begin_a_sample_later_and_stay_in_their_segment():
    segments = np.array([[0, 160], [160, 320]])
    cut = written(np.zeros((1, 1, 8), int), sfreq=40, length_s=1, segments=segments)
    later, rows = shifted(cut, 0.03)
    assert rows.tolist() == [0, 1, 2, 4, 5, 6]
    assert (later.start - cut.start[rows]).tolist() == [1] * 6
    assert later.n_times == 40


def test_noise_has_the_ratio_asked_for_and_spares_absent_channels():
    x = np.random.default_rng(0).integers(0, 5, (1, 2, 400))
    batch = written(x).batch()
    mask = torch.tensor([[True, False]])
    batch = replace(batch, channel_mask=mask, x=batch.x * mask[:, :, None])
    out = noisy(batch, 20.0, np.random.default_rng(0))
    added = (out.x - batch.x)[0]
    ratio = batch.x[0, 0].var() / added[0].var()
    # 16,000 samples: the variance is known to 1 %
    assert 10 * torch.log10(ratio).item() == pytest.approx(20.0, abs=0.2)
    assert not added[1].any()


def test_codes_that_ignore_the_signal_never_change_and_random_ones_always_do():
    codes = np.random.default_rng(0).integers(0, 4, (2, 2, 40))
    cut = written(codes, length_s=4)
    steady = inspect_codebook(Written(8), cut)
    # sd of the samples is at most 2, of the noise of a second's mean 0.2 / sqrt(40)
    assert [s.kept for s in steady.stability] == [1.0, 1.0]
    assert steady.stability[0].name == "shift by 5 ms"

    class Nervous(Written):
        def tokenize(self, batch):
            tokens = super().tokenize(batch)
            seconds = batch.x.unfold(-1, 40, 40).double().sum(-1)
            return tokens._replace(ids=(seconds * 1e6).long() % self.n_codes)

    restless = inspect_codebook(Nervous(8), cut)
    # 144 and 160 tokens at 1 in 8: sd 0.028
    for s in restless.stability:
        assert s.kept == pytest.approx(s.chance, abs=0.11)


# ---- looks and bands --------------------------------------------------------------


def test_prototypes_are_the_means_of_the_raw_stretches():
    codes = np.random.default_rng(0).integers(0, 3, (2, 2, 12))
    cut = written(codes, length_s=4)
    p = inspect_codebook(Written(8), cut, batch_size=2).prototypes
    x = cut.batch().x.double().numpy().reshape(len(cut), 2, 4, 40)
    x -= x.mean(axis=-1, keepdims=True)
    ids = read_tokens(Written(8), cut).ids
    assert sorted(p.codes.tolist()) == [0, 1, 2]
    for i, code in enumerate(p.codes.tolist()):
        mine = x[ids == code]
        assert p.counts[i] == len(mine)
        assert np.abs(p.waveform[i] - mine.mean(0)).max() < 1e-9
        assert any(np.array_equal(p.example[i], one) for one in mine)
    # Parseval: the density of a Hann window adds up to the variance on the average
    power = p.spectrum[0].sum() * (p.freqs[1] - p.freqs[0])
    assert power == pytest.approx(0.1**2, rel=0.3)


def test_spectra_of_codes_peak_at_their_motif(looked):
    table = looked.truth.table
    for code, hz in zip(looked.prototypes.codes, looked.prototypes.peak_hz(), strict=True):
        name = looked.truth.names[int(table[code].argmax())]
        if name in ("alpha", "theta", "beta"):
            low, high = {"alpha": (8, 12), "theta": (4, 6), "beta": (18, 24)}[name]
            assert low <= hz <= high


@pytest.mark.parametrize(("loss", "error"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_error_of_a_band_is_the_share_that_is_lost(loss, error):
    codes = np.random.default_rng(0).integers(0, 3, (1, 2, 12))
    found = inspect_codebook(Written(8, loss), written(codes, sfreq=80, length_s=4)).bands
    assert [b.band for b in found] == ["delta", "theta", "alpha", "beta", "gamma"]
    # single-precision spectra
    assert [b.error for b in found] == pytest.approx([error] * 5, abs=1e-6)
    assert (found[0].r2 == pytest.approx(1.0)) == (loss == 0.0)


def test_error_of_a_label_is_of_its_own_tokens():
    codes = np.array([[[0, 0, 1, 1, 0, 1, 0, 1]]])

    class Half(Written):
        def token_spectra(self, batch):
            spectra = super().token_spectra(batch)
            keep = (self.tokenize(batch).ids == 0).float()[:, :, None]
            return spectra._replace(decoded=spectra.truth * keep)

    known = Stretches([codes[0]], ("kept", "lost"))
    found = inspect_codebook(Half(4), written(codes, length_s=4), stretches=known).bands
    by_label = {(b.label, b.band): b.error for b in found}
    assert by_label["kept", "alpha"] == 0.0
    assert by_label["lost", "alpha"] == 1.0
    assert 0.0 < by_label["", "alpha"] < 1.0


def test_a_model_without_spectra_is_noted(planted):
    class Bare:
        def __init__(self, model):
            self.tokenize = model.tokenize

    _, cut, model = planted
    found = inspect_codebook(Bare(model), cut.select(slice(0, 8)))
    assert found.bands == ()
    assert any("token_spectra" in n for n in found.notes)


# ---- the whole --------------------------------------------------------------------


def test_the_same_seed_gives_the_same_report_whatever_the_batches_are(planted):
    made, cut, model = planted
    few = cut.select(np.flatnonzero(np.arange(len(cut)) % 20 < 8))
    options = {"stretches": Stretches.of_truth(made.truth), "localise": "spike_wave", "shuffles": 2}
    first = inspect_codebook(model, few, **options).to_json()
    assert inspect_codebook(model, few, **options).to_json() == first
    other = inspect_codebook(model, few, batch_size=7, **options).to_json()
    assert other["counts"] == first["counts"]
    assert other["evidence"] == first["evidence"]


def test_json_holds_plain_values(looked, tmp_path):
    found = looked.to_json(tmp_path / "codes.json")
    assert json.loads((tmp_path / "codes.json").read_text()) == found
    assert found["n_codes"] == 24
    assert found["simulated"] is True
    assert found["datasets"] == ["synthetic_motifs"]
    assert sum(found["counts"]) == found["n_tokens"] == 120 * 4 * 12
    assert "purity 0.9" in repr(looked)


def test_the_page_stands_alone_and_says_what_was_found(looked, tmp_path):
    text = looked.to_html(tmp_path / "codes.html").read_text()
    assert text.count("<html") == text.count("</html>") == 1
    assert "<script" not in text
    assert "http:" not in text
    assert "https:" not in text
    assert text.count("<img") == text.count('<img src="data:image/svg+xml;base64,') == 6
    assert "Simulated data." in text
    assert f"24 of {looked.n_codes}" in text
    assert "spike wave" in text
    assert "Which runs of codes mark “seizure”" in text
    assert "ever used" not in text


def test_a_collapsed_code_book_is_called_so(tmp_path):
    codes = np.zeros((1, 2, 200), int)
    text = inspect_codebook(Written(16), written(codes, length_s=4)).to_html(tmp_path / "p.html")
    assert "Only 1 of 16 codes are ever used" in text.read_text()


def test_names_cannot_break_the_page(tmp_path):
    evil = '<script>alert("x")</script>$\\frac$'
    codes = np.random.default_rng(0).integers(0, 4, (3, 2, 16))
    label = [[evil, "b"] * 2] * 3
    cut = written(codes, label=label, length_s=4)
    known = Stretches(list(codes), [evil, "b", "c", "d"])
    found = inspect_codebook(Written(4), cut, name=evil, stretches=known, localise=evil,
                             positive=evil, shuffles=2)  # fmt: skip
    text = found.to_html(tmp_path / "p.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_missing_channels_have_no_codes():
    codes = np.random.default_rng(0).integers(0, 3, (2, 2, 8))
    cut = written(codes, length_s=4)
    first = cut.recordings[0].regular("x")
    bad = replace(first, axis=first.axis.replace(bad=np.array([False, True])))
    recs = (cut.recordings[0].replace(streams={"x": bad}), cut.recordings[1])
    grid = read_tokens(Written(4), windows(recs, stream="x", length_s=4))
    assert (grid.ids[:2, 1] == -1).all()
    assert (grid.ids[2:] >= 0).all()


def test_what_cannot_be_inspected_is_refused(planted):
    _, cut, model = planted
    with pytest.raises(ConfigError, match="has no code book"):
        inspect_codebook(torch.nn.Linear(2, 2), cut)
    with pytest.raises(DataError, match="no windows"):
        inspect_codebook(model, cut.select(slice(0, 0)))
    with pytest.raises(ConfigError, match="localise= needs stretches"):
        inspect_codebook(model, cut, localise="spike_wave")
    silent = written(np.full((1, 1, 8), -1), length_s=4)
    with pytest.raises(DataError, match="No token got a code"):
        inspect_codebook(Written(4), silent)

    class Wrong(Written):
        def tokenize(self, batch):
            return super().tokenize(batch)._replace(n_codes=1)

    with pytest.raises(DataError, match="Code numbers run from"):
        inspect_codebook(Wrong(4), written(np.ones((1, 1, 8), int), length_s=4))


def test_a_network_is_left_in_eval_mode_and_unchanged(planted):
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def tokenize(self, batch):
            return Written(4).tokenize(batch)

    model = Network().train()
    cut = written(np.random.default_rng(0).integers(0, 3, (2, 2, 8)), length_s=4)
    inspect_codebook(model, cut)
    assert not model.training
    assert model.weight.item() == 1.0
