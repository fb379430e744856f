import pytest
import torch
from train_toys import Autoencoder

from neuro.errors import FileError
from neuro.train import checkpoint as ckpt


def write(folder, step, model=None):
    return ckpt.write_checkpoint(
        folder,
        step,
        save_model=(model or Autoencoder()).save,
        tensors={"exp_avg/encoder.bias": torch.arange(2.0)},
        state={"step": step},
        data={"examples": 3},
    )


def test_checkpoint_is_listed_under_its_step(tmp_path):
    paths = {step: write(tmp_path, step) for step in (20, 3)}
    assert ckpt.complete(tmp_path) == {3: paths[3], 20: paths[20]}
    assert ckpt.latest(tmp_path) == (20, paths[20])
    assert paths[3].name == "step-000003"


def test_steps_beyond_six_digits_are_listed_in_order(tmp_path):
    for step in (999_999, 1_000_000):
        write(tmp_path, step)
    assert list(ckpt.complete(tmp_path)) == [999_999, 1_000_000]


def test_failed_write_leaves_nothing(tmp_path):
    class Full(Autoencoder):
        def save(self, folder):
            super().save(folder)
            raise OSError(28, "No space left on device")

    good = write(tmp_path, 1)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, 2, Full())
    assert list(tmp_path.iterdir()) == [good]


@pytest.mark.parametrize(
    "harm",
    [
        lambda p: (p / "manifest.json").unlink(),
        lambda p: (p / "manifest.json").write_text('{"files": 3}'),
        lambda p: (p / "state.json").unlink(),
        lambda p: (p / "optimizer.safetensors").write_bytes(b"short"),
        lambda p: (p / "model" / "stranger").write_text("x"),
    ],
    ids=["no manifest", "bad manifest", "file gone", "file cut", "file added"],
)
def test_incomplete_checkpoint_is_not_listed(tmp_path, harm):
    good = write(tmp_path, 1)
    harm(write(tmp_path, 2))
    assert ckpt.complete(tmp_path) == {1: good}
    with pytest.warns(RuntimeWarning, match="step-000002 is passed over"):
        assert ckpt.latest(tmp_path) == (1, good)


def test_flipped_bit_is_found_by_the_hash(tmp_path):
    good, bad = write(tmp_path, 1), write(tmp_path, 2)
    file = bad / "model" / "weights.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(FileError, match=r"weights.safetensors is not as it was written"):
        ckpt.verify(bad)
    with pytest.warns(RuntimeWarning, match="step-000002"):
        assert ckpt.latest(tmp_path) == (1, good)


def test_damaged_checkpoint_is_replaced_by_a_new_one(tmp_path):
    (write(tmp_path, 2) / "state.json").unlink()
    path = write(tmp_path, 2)
    ckpt.verify(path)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000002"]


def test_sweep_deletes_only_half_written_folders(tmp_path):
    good = write(tmp_path, 1)
    (tmp_path / ".partial-step-000002-77" / "model").mkdir(parents=True)
    ckpt.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [good]


def test_prune_keeps_the_last_ones_and_the_best(tmp_path):
    for step in (1, 2, 3, 4, 5):
        write(tmp_path, step)
    ckpt.prune(tmp_path, keep=2, best=2)
    assert list(ckpt.complete(tmp_path)) == [2, 4, 5]
    assert len(list(tmp_path.iterdir())) == 3


def test_moments_of_another_model_are_refused(tmp_path):
    path = write(tmp_path, 1)
    other = torch.nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(other.parameters())
    names = {p: n for n, p in other.named_parameters()}
    with pytest.raises(FileError, match=r"'encoder.bias', which this model does not train"):
        ckpt.load_optimizer(optimizer, names, path)


def test_moments_of_another_size_are_refused(tmp_path):
    path = write(tmp_path, 1)
    other = Autoencoder(n_hidden=4)
    names = {p: n for n, p in other.named_parameters()}
    with pytest.raises(FileError, match=r"exp_avg/encoder.bias has shape \(2,\)"):
        ckpt.load_optimizer(torch.optim.AdamW(other.parameters()), names, path)
