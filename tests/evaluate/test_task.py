import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.evaluate import Task


def test_named_targets_are_classes(trials):
    task = Task.of(trials())
    assert task.kind == "classification"
    assert task.classes == ("a", "b")


def test_numbers_are_regression(ramp):
    assert Task.of(ramp).kind == "regression"


def test_angles_beyond_a_period_are_refused(ramp):
    from dataclasses import replace

    degrees = replace(ramp, target=np.linspace(-180, 180, len(ramp)))
    with pytest.raises(DataError, match="period=360"):
        Task.of(degrees, "circular")
    assert Task("circular", period=360).target(degrees).max() <= 180


def test_no_target_is_a_clear_error(ramp):
    from dataclasses import replace

    with pytest.raises(DataError, match="label="):
        Task.of(replace(ramp, target=None))


def test_one_class_is_no_task():
    with pytest.raises(ConfigError, match="two classes"):
        Task("classification", classes=("a",))


def test_unknown_kind_names_the_nearest():
    with pytest.raises(ConfigError, match="'regression'"):
        Task("regresion")


def test_missing_label_is_counted(trials):
    from dataclasses import replace

    w = trials()
    target = w.target.copy()
    target[:3] = np.nan
    with pytest.raises(DataError, match="3 of 40"):
        Task.of(w).target(replace(w, target=target))


def test_round_trip():
    task = Task("circular", period=24.0)
    assert Task.from_json(task.to_json()) == task
