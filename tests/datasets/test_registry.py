"""The one door: names, options, missing and damaged files."""

import shutil

import numpy as np
import pytest

import neuro.datasets
from neuro.errors import ConfigError, DataUnavailableError, FileError


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'scp1'"):
        neuro.datasets.load("spc1")


def test_unknown_option_suggests_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'correct_identities'"):
        neuro.datasets.load("pain122", correct_identity=False)


def test_set_that_was_not_fetched_says_how(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURO_DATA", str(tmp_path))
    with pytest.raises(DataUnavailableError) as caught:
        neuro.datasets.load("scp1")
    assert "neuro datasets get scp1" in str(caught.value)
    assert "root=" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", [neuro.datasets.get, neuro.datasets.load])
def test_set_by_path_only_says_where_to_get_it(call):
    with pytest.raises(DataUnavailableError, match="octave-biosig"):
        call("gdf_mi")


def test_root_without_the_files_names_them(tmp_path):
    with pytest.raises(DataUnavailableError, match=r"2 of 2 files.*SelfRegulationSCP1_TEST\.ts"):
        neuro.datasets.load("scp1", root=tmp_path)


def test_root_that_is_no_folder(tmp_path):
    with pytest.raises(DataUnavailableError, match="is not a folder"):
        neuro.datasets.load("scp1", root=tmp_path / "nowhere")


def test_own_copy_that_differs_is_noted(tmp_path):
    home = neuro.datasets.get("head_direction")
    from neuro.io import safe

    arrays = safe.load_npz(home / "head_direction.npz")
    safe.save_npz(
        tmp_path / "head_direction.npz", arrays | {"head_angle": arrays["head_angle"] / 2}
    )
    (changed,) = neuro.datasets.load("head_direction", root=tmp_path)
    assert "head_direction.npz is not byte for byte" in changed.provenance.steps[-1]
    (shipped,) = neuro.datasets.load("head_direction")
    assert len(changed.provenance.steps) == len(shipped.provenance.steps) + 1
    assert changed.provenance.sha256 != shipped.provenance.sha256
    ratio = changed.regular("head_angle").values() / shipped.regular("head_angle").values()
    np.testing.assert_array_equal(ratio, np.float32(0.5))


@pytest.mark.network
def test_damaged_cache_is_refused(dataset, tmp_path, monkeypatch):
    dataset("nitime_roi")
    home = neuro.datasets.get("nitime_roi")
    shutil.copytree(home, tmp_path / home.name)
    monkeypatch.setenv("NEURO_DATA", str(tmp_path))
    (found,) = (tmp_path / home.name).rglob("fmri_timeseries.csv")
    found.write_text(found.read_text()[:-20])
    with pytest.raises(FileError, match="neuro datasets get nitime_roi"):
        neuro.datasets.load("nitime_roi")
