"""Checkpoints that torch wrote: tensors come out, everything else stays in."""

import zipfile

import pytest
import torch

from neuro.errors import DataUnavailableError, FileError
from neuro.io.safe import Limits, read_checkpoint


def _saved(path, content):
    torch.save(content, path)
    return path


class _Harmless:
    """Stands for settings objects that training scripts pickle along."""


def test_pickled_objects_are_refused_by_name_and_never_made(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(_Harmless, "__setstate__", lambda *_: made.append(1), raising=False)
    monkeypatch.setattr("builtins._Harmless", _Harmless, raising=False)
    monkeypatch.setattr(_Harmless, "__module__", "builtins")
    path = _saved(tmp_path / "w.ckpt", {"state_dict": {"w": torch.ones(2)}, "hp": _Harmless()})
    with pytest.raises(FileError, match=r"'w.ckpt' holds Python objects \(\S*_Harmless\)"):
        read_checkpoint(path)
    assert made == []


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2)], ids=["list", "tensor"])
def test_a_file_without_names_is_refused(content, tmp_path):
    with pytest.raises(FileError, match="no dictionary of tensors"):
        read_checkpoint(_saved(tmp_path / "w.pt", content))


def test_files_of_another_form_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(DataUnavailableError, match=r"w\.pth"):
        read_checkpoint(tmp_path / "w.pth")
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(FileError, match=r"torch before 1\.6"):
        read_checkpoint(tmp_path / "old.pth")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("notes.txt", "no weights")
    with pytest.raises(FileError, match=r"'other.pth' is not a readable torch checkpoint"):
        read_checkpoint(tmp_path / "other.pth")


def test_a_tensor_that_claims_more_than_it_stores_is_refused(tmp_path):
    # one stored number that poses as 40 GB
    path = _saved(tmp_path / "w.pt", {"w": torch.ones(1).expand(10_000_000_000)})
    with pytest.raises(FileError, match=r"tensor 'w' claims 37\.25 GiB but 4 bytes are stored"):
        read_checkpoint(path)
    small = Limits(max_bytes=100, small_bytes=10)
    with pytest.raises(FileError, match="limit is 100 bytes"):
        read_checkpoint(_saved(tmp_path / "b.pt", {"w": torch.ones(99)}), limits=small)


def test_sparse_tensors_are_refused_and_everything_else_is_left_out(tmp_path):
    path = _saved(tmp_path / "w.pt", {"w": torch.eye(3).to_sparse()})
    with pytest.raises(FileError, match="'w' is not a plain dense tensor"):
        read_checkpoint(path)
    content = {"w": torch.ones(2, 3).T, "epoch": 3, "lr": [0.1], 7: torch.ones(1), "in": {"x": 1}}
    found = read_checkpoint(_saved(tmp_path / "v.pt", content))
    assert found.keys() == {"w", "in"}
    assert found["in"] == {}
    assert found["w"].is_contiguous()


def test_damaged_files_are_one_project_error(tmp_path):
    path = _saved(tmp_path / "w.pt", {"state_dict": {"w": torch.arange(400.0), "b": torch.ones(3)}})
    whole, rng = path.read_bytes(), torch.Generator().manual_seed(0)
    for cut in (3, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(FileError):
            read_checkpoint(path)
    refused = 0
    for _ in range(120):
        bent = bytearray(whole)
        places = torch.randint(len(whole), (4,), generator=rng).tolist()
        for place in places:
            bent[place] = int(torch.randint(256, (1,), generator=rng))
        path.write_bytes(bent)
        try:
            read_checkpoint(path)
        except FileError:
            refused += 1
    # torch does not compare checksums: a bent weight is a weight
    assert 40 < refused < 100
