"""What every registered estimator must do, whatever it is."""

import importlib
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

import neuro.models
from neuro.data import InputContract
from neuro.datasets import synthetic
from neuro.errors import ConfigError, FileError
from neuro.models._estimator import EstimatorModel
from neuro.models._registry import _TABLE, model_class

FOLDER = Path(neuro.models.__file__).parent
NAMES = [n for n in neuro.models.list() if neuro.models.info(n).kind == "estimator"]
every_estimator = pytest.mark.parametrize("name", NAMES)


def _series(seed=0):
    """Two coloured channels: something that every estimator of series can learn from."""
    e = np.random.default_rng(seed).standard_normal((2, 600))
    for t in range(1, e.shape[1]):
        e[:, t] += 0.5 * e[:, t - 1]
    return e


def _counts(seed=0):
    """Three units whose rates change together now and then."""
    busy = np.repeat([0.2, 1.5, 0.2, 1.5], 150)
    return np.random.default_rng(seed).poisson(busy, (3, 600))


def _people(seed=0):
    """Connectivity vectors with age, sex and site."""
    return synthetic.demographic_fc(seed, n=24, n_rois=4).recordings


# what an estimator learns from, where it is not a series
_INPUTS = {"demovae": _people, "onehot_hmm_glm": _counts, "poisson_glm": _counts}


def _fitted(name, **config):
    return neuro.models.create(name, "tiny", **config).fit(_INPUTS.get(name, _series)())


def test_every_estimator_in_the_folder_is_registered():
    found = set()
    for path in [*FOLDER.glob("[a-z]*.py"), *FOLDER.glob("[a-z]*/__init__.py")]:
        name = path.stem if path.stem != "__init__" else path.parent.name
        module = importlib.import_module(f"neuro.models.{name}")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            # what several share has no name
            if issubclass(cls, EstimatorModel) and hasattr(cls, "name"):
                found.add(f"{cls.__module__}:{cls.__qualname__}")
    assert found == {_TABLE[name] for name in NAMES}


@every_estimator
def test_name_card_and_presets_are_there(name):
    described = neuro.models.info(name)
    assert model_class(name).name == name
    assert {"paper", "default", "tiny"} <= set(described.presets)
    assert described.card.startswith(f"# {name}\n")
    assert len(described.summary.split()) > 5
    for heading in ("## Parameters", "## Limits", "## Licence"):
        assert heading in described.card


@every_estimator
@pytest.mark.parametrize("preset", ["paper", "default", "tiny"])
def test_presets_need_nothing(name, preset):
    config = neuro.models.create(name, preset).config
    assert type(config).from_json(json.loads(json.dumps(config.to_json()))) == config


@every_estimator
def test_unknown_fields_and_contracts_are_refused(name):
    with pytest.raises(ConfigError, match="has no field 'n_chan'"):
        neuro.models.create(name, n_chan=3)
    with pytest.raises(ConfigError, match="is an estimator"):
        neuro.models.create(name, contract=InputContract(modality="eeg", sfreq=128, unit="uV"))


@every_estimator
def test_same_seed_same_numbers(name):
    one, two = (_fitted(name, seed=3) for _ in range(2))
    for attribute in type(one).fitted:
        np.testing.assert_array_equal(getattr(one, attribute), getattr(two, attribute))


@every_estimator
def test_scikit_learn_can_copy_it(name):
    model = _fitted(name, seed=3)
    copy = clone(model)
    assert copy.config == model.config
    assert not copy.__sklearn_is_fitted__()
    assert copy.set_params(seed=4).config.seed == 4


@every_estimator
def test_saved_and_loaded_it_is_the_same(name, tmp_path):
    model = _fitted(name)
    model.provenance = {"data": "somewhere"}
    again = neuro.models.load(model.save(tmp_path / "m"))
    assert again.config == model.config
    assert again.provenance == {"data": "somewhere"}
    for attribute in type(model).fitted:
        value, kept = getattr(model, attribute), getattr(again, attribute)
        np.testing.assert_array_equal(value, kept)
        assert np.asarray(value).dtype == np.asarray(kept).dtype


@every_estimator
def test_before_fit_nothing_is_saved_or_predicted(name, tmp_path):
    model = neuro.models.create(name, "tiny")
    with pytest.raises(ConfigError, match="not fitted"):
        model.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


@every_estimator
def test_a_damaged_folder_is_one_clear_error(name, tmp_path):
    folder = _fitted(name).save(tmp_path / "m")
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"config": {"nonsense": 1}}))
    with pytest.raises(FileError, match=r"cannot be used.*nonsense"):
        neuro.models.load(folder)
    (folder / "model.json").write_text(json.dumps(card | {"name": "patch_mae"}))
    with pytest.raises(FileError):
        neuro.models.load(folder)
