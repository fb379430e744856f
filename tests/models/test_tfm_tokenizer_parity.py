"""TFM-Tokenizer: every frozen number of the original."""

import copy
from pathlib import Path

import pytest
import torch

import neuro
import neuro.models
from neuro.errors import FileError
from neuro.models.tfm_tokenizer import (
    RisingCosine,
)
from neuro.models.tfm_tokenizer.reference import our_tensors
from neuro.models.tfm_tokenizer.tokenizer import Frames, quantile_scale
from neuro.nn.quantise import VectorQuantiser

FOLDER = Path(__file__).parents[2].parent / "shared" / "oracles" / "tfm-tokenizer"
frozen = pytest.mark.skipif(not FOLDER.is_dir(), reason="no frozen numbers of the original")


# -- the original's numbers --------------------------------------------------------


@pytest.fixture(scope="module")
def arrays():
    from neuro.io.safe import load_npz

    return {
        k: torch.as_tensor(v)
        for k, v in load_npz(FOLDER / "io.npz").items()
        if v.dtype.kind in "fib"
    }


def _original(**config):
    """The original's network in our classes, with its weights."""
    return neuro.models.from_reference("tfm_tokenizer", FOLDER / "weights.safetensors", **config)


@pytest.fixture(scope="module")
def single():
    return _original()


@pytest.fixture(scope="module")
def double():
    return _original(dropout=0.0, embed_dropout=0.0).double()


def _close(found, expected, atol=0.0, rtol=0.0):
    torch.testing.assert_close(found, expected, atol=atol, rtol=rtol, check_dtype=False)


@frozen
def test_published_names_and_sizes_are_understood(single):
    config = single.config
    assert (config.n_codes, config.decoder_depth, config.encoder_depth) == (512, 2, 2)
    assert (config.n_outputs, config.n_chans, config.pool) == (6, 16, "cls")
    assert single.provenance["reference"]["licence"] == "MIT"
    assert not single.training


@frozen
def test_each_step_of_the_tokenizer_is_the_originals(single, arrays):
    tokenizer = single.tokenizer
    frames = tokenizer.frames(arrays["x"].flatten(0, 1))
    spectra = arrays["stft"].flatten(0, 1).mT
    # the stored input is scaled already: only 1e-8 / quantile of it changes
    _close(frames.spectra, spectra, atol=2e-5)
    frames = Frames(arrays["x"].flatten(0, 1), spectra, None)
    with torch.no_grad():
        patches = tokenizer.frequency_stem(spectra[0].reshape(9, 20, 5))
        _close(patches, arrays["tok_freq_patches"][0], atol=1e-5)
        _close(tokenizer.frequency_blocks(patches), arrays["tok_freq_encoded"][0], atol=1e-5)
        frequency = tokenizer.frequency_features(spectra)
        _close(frequency[:3], arrays["tok_freq_features"], atol=1e-5)
        temporal = tokenizer.temporal_features(frames)
        _close(temporal[:3], arrays["tok_temporal_features"], atol=1e-5)
        both = torch.cat([frequency, temporal], dim=-1)[:3]
        _close(tokenizer.temporal_blocks(both), arrays["tok_temporal_encoded"], atol=1e-5)
        z = tokenizer.vectors(spectra, temporal, None)
        _close(z, arrays["tok_z"], atol=2e-6)
        quantised = tokenizer.quantiser(z)
        assert torch.equal(quantised.ids, arrays["tok_ids"].flatten(0, 1))
        _close(quantised.codes[:3], arrays["tok_codes"])
        # theirs is z + (code - z), which rounds
        _close(quantised.passed[:3], arrays["tok_codes_st"], atol=1e-7)
        _close(
            tokenizer.decoder_blocks(quantised.passed)[:3], arrays["tok_decoder_hidden"], atol=1e-5
        )
        _close(tokenizer.decode(quantised.passed).mT, arrays["tok_recon"], atol=1e-5)


@frozen
def test_in_double_precision_the_tokenizer_is_the_original_to_ten_digits(double, arrays):
    tokenizer, frames = double.tokenizer, _given(arrays)
    with torch.no_grad():
        z = tokenizer.vectors(frames.spectra, tokenizer.temporal_features(frames), None)
        decoded = tokenizer.decode(tokenizer.quantiser(z).passed)
    _close(z, arrays["tok_z_f64"], rtol=1e-10, atol=1e-12)
    _close(decoded.mT[:3], arrays["tok_recon_f64"], rtol=1e-10, atol=1e-11)


def _given(arrays):
    """The stored input and its stored spectra, in double precision."""
    x, spectra = arrays["x"].double(), arrays["stft"].double()
    return Frames(x.flatten(0, 1), spectra.flatten(0, 1).mT, None)


@frozen
def test_code_numbers_are_the_originals(single, arrays):
    for x, ids in (("x", "tok_ids"), ("x_10s", "tok_ids_10s")):
        signal = arrays[x]
        found, valid = single.tokenizer.ids(signal.flatten(0, 1))
        assert valid is None
        assert torch.equal(found.reshape(arrays[ids].shape), arrays[ids])


@frozen
def test_scaling_by_the_quantile_is_the_originals(arrays):
    import scipy.signal

    raw = scipy.signal.resample(arrays["raw_256hz_uv"].numpy(), 1000, axis=-1)
    x = torch.tensor(raw).float()
    scaled = x / (quantile_scale(x, 0.95) + 1e-8)
    # float32 resampling and division of values up to about 5
    _close(scaled, arrays["x"], atol=2e-6)


def _loss_of_the_original(model, arrays):
    """Both masked passes; no update between them, as in the frozen numbers."""
    keep = arrays["mask_keep"].T
    return model.tokenizer.loss_of(_given(arrays), (keep, ~keep))


@frozen
def test_masked_losses_are_the_originals(double, arrays):
    out = _loss_of_the_original(double, arrays)
    total, errors = arrays["loss_total_f64"], [arrays[f"loss_recon{s}_f64"] for s in ("", "_sym")]
    pulls = [arrays[f"loss_commit{s}_f64"] for s in ("", "_sym")]
    _close(out["loss"], total, rtol=1e-10)
    _close(out["reconstruction"], sum(errors), rtol=1e-10)
    _close(out["commitment"], sum(pulls), rtol=1e-10)


@frozen
def test_masked_passes_are_the_originals(single, arrays):
    tokenizer, keep = single.tokenizer, arrays["mask_keep"].T
    spectra = arrays["stft"].flatten(0, 1).mT
    frames = Frames(arrays["x"].flatten(0, 1), spectra, None)
    with torch.no_grad():
        temporal = tokenizer.temporal_features(frames)
        for visible, name in ((keep, "masked_recon"), (~keep, "masked_recon_sym")):
            z = tokenizer.vectors(spectra * visible, temporal, None)
            decoded = tokenizer.decode(tokenizer.quantiser(z).passed).mT
            _close(decoded[:2], arrays[name], atol=1e-5)
            if name == "masked_recon":
                _close(z[:2], arrays["masked_z"], atol=2e-6)


def _gradients_by_their_names(model):
    """Gradients of the tokenizer in the original's layout."""
    from neuro.io.safe import read_tensors

    theirs = {
        k: v for k, v in read_tensors(FOLDER / "weights.safetensors")[0].items()
        if k.startswith("tokenizer.")
    }  # fmt: skip
    # each value of the original gets a number; the map carries the numbers along
    places, first = {}, 0
    for name, value in theirs.items():
        places[name] = first + torch.arange(value.numel()).reshape(value.shape)
        first += value.numel()
    flat = torch.full((first,), float("nan"), dtype=torch.float64)
    ours = our_tensors(dict(places), {}).tensors
    for name, parameter in model.named_parameters():
        if name in ours and parameter.grad is not None:
            flat[ours[name].flatten()] = parameter.grad.flatten()
    return {name.removeprefix("tokenizer."): flat[place] for name, place in places.items()}


def _pull_of_the_commitment(model, arrays):
    """The corrected objective's own part: both commitment terms, with gradient."""
    tokenizer, frames = model.tokenizer, _given(arrays)
    tokenizer.quantiser.gradient = "commit"
    temporal = tokenizer.temporal_features(frames)
    keep = arrays["mask_keep"].T
    return sum(
        tokenizer.quantiser(tokenizer.vectors(frames.spectra * visible, temporal, None)).loss
        for visible in (keep, ~keep)
    )


@frozen
@pytest.mark.parametrize("rule", ["total", "commit"])
def test_gradients_are_the_originals(double, arrays, rule):
    from neuro.io.safe import load_npz

    model = copy.deepcopy(double)
    if rule == "total":
        _loss_of_the_original(model, arrays)["loss"].backward()
    else:
        _pull_of_the_commitment(model, arrays).backward()
    gradients = _gradients_by_their_names(model)
    whole = [k for k in arrays if k.startswith(f"grad_{rule}:")]
    assert len(whole) == (9 if rule == "total" else 3)
    for key in whole:
        found, expected = gradients[key.split(":")[1]], arrays[key]
        _close(found, expected, rtol=1e-9, atol=1e-10 * float(expected.abs().max()))
    names = load_npz(FOLDER / "io.npz")["gradnorm_names"]
    for name, norm in zip(names, arrays[f"gradnorm_{rule}"].tolist(), strict=True):
        gradient = gradients[str(name)]
        if norm < 0:  # no gradient at all
            assert gradient.isnan().all()
        else:
            assert gradient.norm().item() == pytest.approx(norm, rel=1e-9)


@frozen
def test_the_quantisers_loss_of_the_original_pulls_nothing(double, arrays):
    assert arrays["gradmax_quant_reference_f64"] == 0
    model = copy.deepcopy(double)
    frames = _given(arrays)
    z = model.tokenizer.vectors(frames.spectra, model.tokenizer.temporal_features(frames), None)
    model.tokenizer.quantiser(z).loss.backward()
    largest = max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None)
    # two gradients of 1e-4 that cancel: rounding of float64
    assert largest < 1e-15


@frozen
def test_running_means_are_the_originals(single, arrays):
    quantiser = copy.deepcopy(single.tokenizer.quantiser).train()
    for turn in ("0", "1"):
        out = quantiser(arrays[f"ema_in{turn}"])
        assert torch.equal(out.ids, arrays[f"ema_ids{turn}"])
        # looked up before the update
        _close(out.codes[:1], arrays[f"ema_quantized{turn}"], atol=1e-6)
        _close(quantiser.codes, arrays[f"ema_weight_after{turn}"], atol=1e-6)
        _close(quantiser.counts, arrays[f"ema_cluster_size_after{turn}"], atol=1e-6)
        _close(quantiser.sums, arrays[f"ema_w_after{turn}"], atol=1e-6)


@frozen
def test_the_originals_start_throws_unused_codes_far_out(arrays):
    quantiser = VectorQuantiser(16, 64, init="uniform").train()
    quantiser.codes.copy_(arrays["ema_start_weight"])
    quantiser.sums.copy_(arrays["ema_start_weight"])
    for _ in range(2):
        quantiser(arrays["ema_start_in"])
    for ours, theirs in (("codes", "weight"), ("counts", "cluster_size"), ("sums", "w")):
        _close(getattr(quantiser, ours), arrays[f"ema_start_{theirs}_after2"], rtol=1e-5, atol=1e-6)
    assert quantiser.codes.norm(dim=1).max() > 1e4


@frozen
def test_the_encoder_is_the_original(single, double, arrays):
    ids = arrays["tok_ids"]
    encoder, codes = single.encoder, single.codebook
    with torch.no_grad():
        _close(encoder.sequence(ids[:1], codes), arrays["enc_sequence_in"], atol=1e-6)
        out = encoder.blocks(arrays["enc_sequence_in"])
        _close(out, arrays["enc_sequence_out"], atol=1e-5)
        for model, end, atol, rtol in ((single, "", 1e-5, 0), (double, "_f64", 0, 1e-6)):
            for name in ("", "_10s"):
                cls, _ = model.encoder(arrays[f"tok_ids{name}"], model.codebook)
                _close(model.head(cls), arrays[f"enc_logits{name}{end}"], atol=atol, rtol=rtol)


@frozen
def test_signals_give_the_originals_class_scores_end_to_end(arrays):
    # six of the sixteen channels, as in the frozen numbers
    model = _original(ch_names=tuple(f"ch{k}" for k in range(16)))
    scores = model(arrays["x_10s"]).prediction
    _close(scores, arrays["enc_logits_10s"], atol=1e-5)
    embedding, _ = model.encode(arrays["x"])
    _close(model.predict(embedding), arrays["enc_logits"], atol=1e-5)


@frozen
def test_masked_token_loss_and_gradients_are_the_originals(double, arrays):
    model = copy.deepcopy(double)
    hidden, ids = arrays["mtp_mask"] == 0, arrays["tok_ids"]
    with torch.no_grad():
        for mask, name in ((hidden, "masked"), (~hidden, "complement")):
            seen = ids.masked_fill(mask, 512)
            _, tokens = model.encoder(seen, model.codebook)
            scores = model.to_codes(tokens[0].flatten(0, 1)[:20])
            _close(scores, arrays[f"mtp_logits_{name}"], atol=1e-5)
    out = model.masked_token_loss(ids, None, hidden)
    total = arrays["mtp_loss_masked_f64"] + arrays["mtp_loss_complement_f64"]
    _close(out["loss"], total, rtol=1e-6)
    out["loss"].backward()
    table = model.encoder.offsets.grad[[int(ids[0, 0, 0]), 512]]
    qkv = model.encoder.blocks.blocks[0].attention.qkv.weight.grad
    for name, gradient in (
        ("mtp_grad:cls_token", model.encoder.cls.grad),
        ("mtp_grad:channel_embed.weight", model.encoder.channels.grad),
        ("mtp_grad:LAT.layers.layers.0.0.fn.to_q.weight", qkv[:64]),
        ("mtp_grad:classification_head.bias", model.to_codes.bias.grad),
        ("mtp_grad_token_table_rows", table),
    ):
        expected = arrays[name].reshape(gradient.shape)
        # the code of time is float32 on both sides
        _close(gradient, expected, atol=1e-6 * float(expected.abs().max()))


@frozen
def test_losses_of_fine_tuning_are_the_originals(arrays):
    model = neuro.models.create("tfm_tokenizer", "tiny", n_outputs=1, objective="focal")
    focal = model.binary_loss(arrays["bin_logits"], arrays["bin_labels"])
    _close(focal, arrays["bin_focal"], rtol=1e-10)
    model = neuro.models.create("tfm_tokenizer", "tiny", n_outputs=1, objective="bce")
    plain = model.binary_loss(arrays["bin_logits"], arrays["bin_labels"])
    _close(plain, arrays["bin_bce"], rtol=1e-10)
    model = neuro.models.create("tfm_tokenizer", "tiny", n_outputs=6)
    loss = model.class_loss(arrays["enc_logits_f64"], arrays["ft_labels"])
    _close(loss, arrays["ft_label_smoothing_ce"], rtol=1e-10)


@frozen
def test_the_rising_learning_rate_is_the_originals(arrays):
    base, final, epochs, steps, warmup = arrays["lr_schedule_args"].tolist()
    rate = RisingCosine(warmup=int(warmup * steps), final=final / base)
    total = int(epochs * steps)
    found = torch.tensor([base * rate(step, total) for step in range(total)], dtype=torch.float64)
    _close(found, arrays["lr_schedule"], rtol=1e-12)
    assert found.max() > 4 * base


@frozen
def test_the_tokenizers_file_alone_leaves_the_encoder_to_be_trained(tmp_path, arrays):
    from safetensors.torch import save_file

    from neuro.io.safe import read_tensors

    theirs = read_tensors(FOLDER / "weights.safetensors")[0]
    alone = {
        k.removeprefix("tokenizer."): v for k, v in theirs.items() if k.startswith("tokenizer.")
    }
    save_file(alone, tmp_path / "a.safetensors")
    model = neuro.models.from_reference("tfm_tokenizer", tmp_path / "a.safetensors", n_chans=6)
    assert torch.equal(model.tokenize(arrays["x"]).ids, arrays["tok_ids"])
    assert model.head is None
    save_file({**alone, "decoder.4.weight": torch.zeros(3)}, tmp_path / "b.safetensors")
    with pytest.raises(FileError, match=r"decoder\.4\.weight is not part of the model"):
        neuro.models.from_reference("tfm_tokenizer", tmp_path / "b.safetensors")
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "c.safetensors")
    with pytest.raises(FileError, match="it is not the file that this system's authors"):
        neuro.models.from_reference("tfm_tokenizer", tmp_path / "c.safetensors")
