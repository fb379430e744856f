import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from train_toys import Autoencoder, Rows, same_bits, weights

import neuro.data as data
from neuro.errors import ConfigError
from neuro.io.safe import read_json
from neuro.train import Callback, EarlyStopping, Run, TrainingError, fit, hash_subject
from neuro.train.order import Order


def go(out, model=None, train=None, valid=None, **options):
    model = Autoencoder() if model is None else model
    settings = {"steps": 12, "batch_size": 8, "log_every": 1, "device": "cpu", **options}
    return fit(model, Rows() if train is None else train, valid, out=out, **settings)


def full_loss(model, rows):
    with torch.no_grad():
        return float(model.eval().loss(rows.x, torch.Generator())["loss"])


def pca_floor(rows, k=2):
    values = np.linalg.eigvalsh(np.cov(rows.x.numpy().T.astype(np.float64), bias=True))
    return float(values[:-k].sum() / len(values))


# ---- learning ---------------------------------------------------------------


def test_linear_autoencoder_reaches_the_principal_components(tmp_path):
    rows, model = Rows(200), Autoencoder()
    go(tmp_path, model, rows, steps=300, batch_size=200, lr=0.2, weight_decay=0.0, log_every=100)
    # no linear map of rank 2 beats the floor; 1 % is left to the finite number of steps
    assert 0.9999 * pca_floor(rows) <= full_loss(model, rows) <= 1.01 * pca_floor(rows)


def test_first_step_is_adamw_by_hand(tmp_path):
    rows, model = Rows(8), Autoencoder()
    before = weights(model)
    generator = torch.Generator()
    twin = Autoencoder()
    twin.loss(rows.x, generator)["loss"].backward()
    go(tmp_path, model, rows, steps=1, lr=0.01, weight_decay=0.1, warmup=0, clip=None)
    # AdamW's first step moves every value by lr * sign(gradient); eps = 1e-8 is
    # far below these gradients, float32 leaves 1e-6
    for name, decays in (("encoder.weight", True), ("encoder.bias", False)):
        start, gradient = before[name], twin.get_parameter(name).grad
        expected = start * (1 - 0.01 * 0.1 * decays) - 0.01 * gradient.sign()
        assert torch.allclose(weights(model)[name], expected, atol=1e-6)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulation_changes_nothing_but_rounding(tmp_path, accumulate):
    whole, parts = Autoencoder(), Autoencoder()
    one = go(tmp_path / "a", whole).metrics()
    many = go(tmp_path / "b", parts, accumulate=accumulate).metrics()
    # float32 sums in another order; Adam's division enlarges it for tiny gradients
    for name in ("loss", "grad_norm"):
        assert [m[name] for m in many] == pytest.approx([m[name] for m in one], rel=1e-4)
    for name, value in weights(whole).items():
        assert torch.allclose(value.float(), weights(parts)[name].float(), atol=1e-4), name


def test_gradient_is_clipped_to_the_norm(tmp_path):
    seen = []

    class Norm(Callback):
        def on_gradients(self, state):
            grads = [p.grad.flatten() for p in state.model.parameters()]
            seen.append((state.grad_norm, float(torch.cat(grads).norm())))

    go(tmp_path, clip=0.01, callbacks=[Norm()], steps=3)
    assert all(before > 0.1 for before, _ in seen)
    assert [after for _, after in seen] == pytest.approx(3 * [0.01], rel=1e-3)


def test_bf16_trains_with_float32_parameters(tmp_path):
    seen = []

    class Spy(Autoencoder):
        def loss(self, batch, generator):
            seen.append(self.encoder(batch).dtype)
            return super().loss(batch, generator)

    model, rows = Spy(), Rows(200)
    go(tmp_path, model, rows, steps=300, batch_size=40, lr=0.02, precision="bf16")
    assert set(seen) == {torch.bfloat16}
    assert model.encoder.weight.dtype == torch.float32
    # bf16 keeps 8 bits: an error of 0.4 % of values near 1 adds about 1e-4 to the loss
    assert full_loss(model, rows) < 1.3 * pca_floor(rows)


def test_order_of_examples_is_the_documented_one(tmp_path):
    read = []

    class Spy(Rows):
        def batch(self, indices):
            read.append(np.asarray(indices).tolist())
            return super().batch(indices)

    go(tmp_path, train=Spy(20), steps=5, seed=9)
    assert read == [Order(20, 8, 9).rows(s).tolist() for s in range(5)]


# ---- what must not change the weights ---------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"valid": Rows(10, seed=1), "valid_every": 1},
        {"checkpoint_every": 1, "keep": 1},
        {"log_every": 5},
        {"callbacks": [EarlyStopping()]},
        {"progress": True},
    ],
    ids=["validation", "checkpoints", "log", "callback", "progress"],
)
def test_watching_does_not_change_the_weights(tmp_path, options, capsys):
    config = {"hide": 0.5, "dropout": 0.3}
    plain, watched = Autoencoder(**config), Autoencoder(**config)
    go(tmp_path / "a", plain)
    go(tmp_path / "b", watched, **options)
    assert same_bits(weights(plain), weights(watched))
    assert bool(capsys.readouterr().err) == ("progress" in options)


def test_reading_processes_do_not_change_the_weights(tmp_path):
    plain, workers = Autoencoder(hide=0.5), Autoencoder(hide=0.5)
    go(tmp_path / "a", plain, accumulate=2)
    go(tmp_path / "b", workers, accumulate=2, num_workers=2)
    assert same_bits(weights(plain), weights(workers))


def test_seed_decides_the_weights(tmp_path):
    runs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        runs.append(Autoencoder(dropout=0.3))
        go(tmp_path / name, runs[-1], seed=seed)
    assert same_bits(weights(runs[0]), weights(runs[1]))
    assert not same_bits(weights(runs[0]), weights(runs[2]))


def test_generator_as_seed_gives_one_number(tmp_path):
    run = go(tmp_path, seed=np.random.default_rng(4))
    assert run.config["arguments"]["seed"] == int(np.random.default_rng(4).integers(2**32))


def test_callers_random_stream_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    go(tmp_path, Autoencoder(dropout=0.5))
    assert torch.equal(torch.rand(3), expected)


# ---- hooks ------------------------------------------------------------------


def test_stage_trains_its_part_with_its_loss(tmp_path):
    model = Autoencoder(dropout=0.5)
    before = weights(model)
    modes = []

    class Modes(Callback):
        def on_gradients(self, state):
            modes.append(
                (state.model.training, state.model.decoder.training, state.model.drop.training)
            )

    go(tmp_path, model, stage="decoder", lr=0.05, steps=60, callbacks=[Modes()])
    after = weights(model)
    assert torch.equal(before["encoder.weight"], after["encoder.weight"])
    assert not torch.equal(before["decoder.weight"], after["decoder.weight"])
    assert after["decoder.bias"].abs().max() < before["decoder.bias"].abs().max()  # its penalty
    assert set(modes) == {(True, True, False)}
    assert all(p.requires_grad for p in model.parameters())


def test_unknown_stage_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no stage 'decodr'. Did you mean 'decoder'"):
        go(tmp_path, stage="decodr")


def test_param_groups_keep_their_ratio_to_the_rate(tmp_path):
    class Layered(Autoencoder):
        def param_groups(self, lr):
            return [
                {"params": list(self.encoder.parameters()), "lr": 0.0},
                {"params": list(self.decoder.parameters()), "lr": 0.1 * lr},
            ]

    model, twin = Layered(), Autoencoder()
    rows = Rows(8)
    twin.loss(rows.x, torch.Generator())["loss"].backward()
    start = weights(model)
    go(tmp_path, model, rows, steps=1, lr=0.1, warmup=0, weight_decay=0.0)
    moved = weights(model)["decoder.weight"] - start["decoder.weight"]
    # AdamW's first step is lr * sign(gradient)
    assert torch.allclose(moved, -0.01 * twin.decoder.weight.grad.sign(), atol=1e-6)
    assert torch.equal(weights(model)["encoder.weight"], start["encoder.weight"])


def test_on_step_is_told_step_and_total(tmp_path):
    calls = []

    class Hooked(Autoencoder):
        def on_step(self, step, total):
            calls.append((step, total))

    go(tmp_path, Hooked(), steps=3)
    assert calls == [(0, 3), (1, 3), (2, 3)]


def test_training_mode_is_put_back(tmp_path):
    model = Autoencoder().eval()
    go(tmp_path, model)
    assert not any(m.training for m in model.modules())


def test_early_stopping_ends_the_run(tmp_path):
    class Random(Rows):  # nothing to learn: the loss rises from its start
        def __init__(self):
            super().__init__()
            self.x = torch.full_like(self.x, 50.0)

    run = go(
        tmp_path,
        valid=Random(),
        steps=400,
        valid_every=2,
        lr=1e-4,
        callbacks=[EarlyStopping(patience=3, min_delta=1e6)],
    )
    # the first validation beats infinity, three more do not
    assert run.step == 8
    assert "in 3 validations" in run.stopped


def test_callback_hooks_come_in_order(tmp_path):
    calls = []

    class Log(Callback):
        pass

    for name in ("on_start", "on_gradients", "on_step", "on_valid", "on_end"):
        setattr(Log, name, lambda self, state, name=name: calls.append((name, state.step)))
    go(tmp_path, valid=Rows(5), steps=2, valid_every=2, callbacks=[Log()])
    assert calls == [
        ("on_start", 0),
        ("on_gradients", 0),
        ("on_step", 1),
        ("on_gradients", 1),
        ("on_step", 2),
        ("on_valid", 2),
        ("on_end", 2),
    ]


# ---- the run folder ---------------------------------------------------------


def test_metrics_hold_one_line_an_interval(tmp_path):
    run = go(tmp_path, steps=10, log_every=5, lr=0.01, schedule="constant", warmup=4)
    lines = run.metrics()
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 11))


def test_logged_loss_is_the_mean_of_the_interval(tmp_path):
    each = go(tmp_path / "a", steps=10, checkpoint_every=10).metrics()
    run = go(tmp_path / "b", steps=10, checkpoint_every=10, log_every=5)
    assert [line["step"] for line in run.metrics()] == [5, 10]
    for line, part in zip(run.metrics(), (each[:5], each[5:]), strict=True):
        assert line["loss"] == pytest.approx(np.mean([e["loss"] for e in part]), rel=1e-12)
        assert {"lr", "grad_norm", "samples_per_s", "wall_s", "kept"} <= line.keys()
        assert line["lr"] == part[-1]["lr"]


def test_validation_is_the_mean_over_all_examples(tmp_path):
    model, valid = Autoencoder(), Rows(21, seed=3)  # 21 examples in parts of 8: the last is short
    run = go(tmp_path, model, valid=valid)
    assert run.metrics()[-2]["valid_loss"] == pytest.approx(full_loss(model, valid), rel=1e-5)


def test_best_checkpoint_is_kept_and_loaded(tmp_path):
    model, valid = Autoencoder(), Rows(20, seed=0)
    # a rate far too large in the second half spoils what the first half learned
    run = go(
        tmp_path,
        model,
        valid=valid,
        steps=40,
        schedule=lambda step, total: 1.0 if step < 20 else 100.0,
        lr=0.01,
        valid_every=5,
        checkpoint_every=10,
        keep=1,
    )
    scores = {m["step"]: m["valid_loss"] for m in run.metrics() if "valid_loss" in m}
    best = min(scores, key=scores.get)
    assert best <= 20
    assert run.best().name == f"step-{best:06d}"
    assert run.last().name == "step-000040"
    assert full_loss(run.load("best"), valid) == pytest.approx(scores[best], rel=1e-5)
    assert full_loss(run.load("last"), valid) == pytest.approx(scores[40], rel=1e-5)
    fresh = Run(tmp_path).load("best", model=Autoencoder(seed=8))
    assert full_loss(fresh, valid) == pytest.approx(scores[best], rel=1e-5)


def test_last_k_checkpoints_stay(tmp_path):
    go(tmp_path, steps=10, checkpoint_every=2, keep=3)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-000006", "step-000008", "step-000010"]


def test_folder_says_what_was_run_and_with_what(tmp_path):
    go(tmp_path, lr=0.02, callbacks=[EarlyStopping(patience=3)], valid=Rows(5))
    config = read_json(tmp_path / "config.json")
    assert config["arguments"]["lr"] == 0.02
    assert config["arguments"]["schedule"] == {"name": "cosine", "warmup": 1}
    assert config["arguments"]["callbacks"] == ["EarlyStopping(patience=3, min_delta=0.0)"]
    assert config["model"] == {
        "name": "toy",
        "config": {"n_in": 6, "n_hidden": 2, "hide": 0.0, "dropout": 0.0},
    }
    assert read_json(tmp_path / "contract.json") == {"modality": "eeg"}
    assert read_json(tmp_path / "versions.json")["torch"] == torch.__version__.split("+")[0] or (
        read_json(tmp_path / "versions.json")["torch"] == torch.__version__
    )
    assert read_json(tmp_path / "data.json")["valid"] == {"examples": 5}


def windows_of(subject="maria", n=6):
    rng = np.random.default_rng(0)
    stream = data.Regular(
        rng.standard_normal((3, 2 * n)).astype(np.float32),
        1,
        "au",
        data.Axis(["a", "b", "c"], "eeg"),
        "eeg",
    )
    source = data.Provenance(source="secret_name.edf", sha256="ab" * 32)
    recording = data.Recording(
        {"eeg": stream}, subject=subject, dataset="scp1", session="s1", provenance=source
    )
    return data.windows(recording, stream="eeg", length_s=2.0)


def test_windows_are_trained_on_and_described_without_names(tmp_path):
    train = windows_of()
    model = Autoencoder()  # 3 channels x 2 samples
    go(tmp_path, model, train, steps=3, batch_size=4)
    told = read_json(tmp_path / "data.json")["train"]
    assert told["examples"] == 6
    assert told["subjects"] == [hash_subject("scp1", "maria")]
    assert told["recordings"] == [
        {
            "sha256": "ab" * 32,
            "subject": hash_subject("scp1", "maria"),
            "run": hash_subject("scp1", "maria", "s1", ""),
            "windows": 6,
            "start_s": 0.0,
            "stop_s": 12.0,
            "covered_s": [[0.0, 12.0]],
        }
    ]
    assert model.provenance["training"][0]["data"]["train"] == told
    for path in tmp_path.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            for secret in (b"maria", b"secret_name", str(tmp_path).encode()):
                assert secret not in raw, path.name


def test_gaps_in_what_was_trained_on_are_told(tmp_path):
    go(tmp_path, train=windows_of(n=6).select([5, 0, 1, 3]), steps=1, batch_size=4)
    told = read_json(tmp_path / "data.json")["train"]["recordings"][0]
    assert told["covered_s"] == [[0.0, 4.0], [6.0, 8.0], [10.0, 12.0]]


def test_other_windows_of_the_same_recording_are_other_data(tmp_path):
    go(tmp_path, train=windows_of().select([0, 1, 2]), steps=1, batch_size=2)
    with pytest.raises(ConfigError, match=r"data\.train\.sha256 was"):
        go(tmp_path, train=windows_of().select([0, 1, 3]), steps=1, batch_size=2)


def test_second_training_is_added_to_the_provenance(tmp_path):
    model = Autoencoder()
    go(tmp_path / "a", model, seed=1)
    go(tmp_path / "b", model, seed=2)
    told = read_json(tmp_path / "b" / "checkpoints" / "step-000012" / "model" / "model.json")
    assert [t["seed"] for t in told["provenance"]["training"]] == [1, 2]


def test_windows_are_read_by_workers(tmp_path):
    plain, workers = Autoencoder(), Autoencoder()
    go(tmp_path / "a", plain, windows_of(), steps=3, batch_size=4)
    go(tmp_path / "b", workers, windows_of(), steps=3, batch_size=4, num_workers=1)
    assert same_bits(weights(plain), weights(workers))


# ---- trouble ----------------------------------------------------------------


class Explodes(Autoencoder):
    def loss(self, batch, generator):
        out = super().loss(batch, generator)
        bad = torch.inf if self.training and self.seen > 8 * 7 else 1.0
        return {**out, "loss": out["loss"] * bad}


def test_loss_that_is_not_finite_names_step_checkpoint_and_remedy(tmp_path):
    model = Explodes()
    with pytest.raises(TrainingError) as caught:
        go(tmp_path, model, checkpoint_every=3, lr=0.01)
    text = str(caught.value)
    for part in ("Step 8", "the loss is inf", "checkpoint: step 6", "smaller lr", "train.batch(["):
        assert part in text
    assert all(torch.isfinite(v).all() for v in weights(model).values())
    assert Run(tmp_path).step == 6


def test_gradient_that_is_not_finite_is_caught(tmp_path):
    class Root(Autoencoder):
        def loss(self, batch, generator):
            return {"loss": (self.encoder.weight * 0).sum().sqrt()}  # slope of sqrt at 0

    with pytest.raises(TrainingError, match=r"Step 1: the loss is 0 and its gradient's norm nan"):
        go(tmp_path, Root())


def send(number, at):
    class Send(Callback):
        def on_step(self, state):
            if state.step == at:
                os.kill(os.getpid(), number)

    return Send()


def test_ctrl_c_writes_a_checkpoint_and_interrupts(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 5 of 12"):
        go(tmp_path, callbacks=[send(signal.SIGINT, 5)])
    assert Run(tmp_path).step == 5
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_writes_a_checkpoint_and_exits(tmp_path):
    with pytest.raises(SystemExit) as caught:
        go(tmp_path, callbacks=[send(signal.SIGTERM, 5)])
    assert caught.value.code == 128 + signal.SIGTERM
    assert Run(tmp_path).step == 5


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_spares_the_reading_processes(tmp_path):
    # a terminal sends the signal to the whole process group, workers included
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "interrupt_child.py", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.split() == ["interrupted", "5"], done.stderr
    assert Run(tmp_path).step == 5


@pytest.mark.slow
def test_script_without_a_main_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from train_toys import Autoencoder, Rows\n"
        "from neuro.train import fit\n"
        f"fit(Autoencoder(), Rows(), steps=2, batch_size=8, out={str(tmp_path / 'run')!r}, "
        "device='cpu', num_workers=1)\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert done.returncode == 1
    assert "call fit under `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]


def test_fit_runs_outside_the_main_thread(tmp_path):
    thread = threading.Thread(target=go, args=(tmp_path,))
    thread.start()
    thread.join()
    assert Run(tmp_path).step == 12


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 0}, "steps=0"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"clip": -1.0}, "clip=-1.0"),
        ({"seed": -1}, "seed=-1"),
        ({"log_every": 0}, "log_every=0"),
        ({"precision": "fp16"}, "precision='fp16'"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"schedule": "linear"}, "Unknown schedule 'linear'"),
        ({"resume": "yes"}, "resume='yes'"),
        ({"batch_size": 9, "accumulate": 2}, "batch_size=9"),
        ({"shard": True}, "torchrun"),
    ],
)
def test_unusable_argument_is_named(tmp_path, options, text):
    with pytest.raises(ConfigError) as caught:
        go(tmp_path, **options)
    assert text in str(caught.value)


def test_model_without_save_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"Linear has no method 'save'"):
        go(tmp_path, torch.nn.Linear(2, 2))


@pytest.mark.parametrize("returned", [{}, {"loss": 3.0}, {"loss": torch.zeros(2)}, None])
def test_loss_of_another_form_is_refused(tmp_path, returned):
    class Odd(Autoencoder):
        def loss(self, batch, generator):
            return returned

    with pytest.raises(ConfigError, match=r"Odd.loss must return a dict with a scalar tensor"):
        go(tmp_path, Odd())


def test_loss_without_gradient_is_refused(tmp_path):
    class Frozen(Autoencoder):
        def loss(self, batch, generator):
            return {"loss": torch.zeros(())}

    with pytest.raises(ConfigError, match="depends on no parameter that learns"):
        go(tmp_path, Frozen())


def test_fully_frozen_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no parameter that may learn"):
        go(tmp_path, Autoencoder().requires_grad_(False))


def test_data_without_batch_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="train is a Tensor"):
        go(tmp_path, train=torch.ones(3, 6))


def test_nan_validation_is_logged_as_null(tmp_path):
    rows = Rows(5)
    rows.x[0, 0] = torch.nan
    run = go(tmp_path, valid=rows, steps=2)
    raw = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert any(json.loads(line).get("valid_loss", 0) is None for line in raw)
    assert run.best() == run.last()


def test_importing_the_room_does_not_import_torch():
    code = "import sys, neuro.train; print('torch' in sys.modules, 'accelerate' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
