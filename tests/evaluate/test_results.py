import csv
import json

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from neuro.errors import DataError, FileError
from neuro.evaluate import Results, Split, evaluate


@pytest.fixture(scope="module")
def results(trials):
    w = trials(1.5, n=12, subjects=6)
    return evaluate({"nb": GaussianNB()}, w, split=Split("subject", n=3), seeds=2, shuffles=2)


def test_json_round_trip(results, tmp_path):
    results.to_json(tmp_path / "r.json")
    assert Results.from_json(tmp_path / "r.json") == results
    text = (tmp_path / "r.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_numbers_that_do_not_exist_are_null(results, tmp_path):
    from dataclasses import replace

    broken = Results((replace(results.rows[0], lo=float("nan"), points=(float("nan"),)),))
    assert broken.to_json(tmp_path / "r.json")["rows"][0]["lo"] is None
    back = Results.from_json(tmp_path / "r.json").rows[0]
    assert np.isnan(back.lo)
    assert np.isnan(back.points[0])


def test_csv_holds_every_row(results, tmp_path):
    with results.to_csv(tmp_path / "r.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == len(results.rows)
    assert float(rows[0]["value"]) == results.rows[0].value
    assert rows[0]["unit"] == "subject"


def test_dataframe(results):
    frame = results.to_dataframe()
    assert frame.loc[frame.model == "nb", "kind"].iloc[0] == "model"
    assert len(frame) == len(results)


def test_points_are_subjects(results):
    row = results.row("nb", "accuracy")
    assert (row.points_of, len(row.points)) == ("subject", 6)
    # subjects have equally many trials: their mean is the score
    assert np.mean(row.points) == pytest.approx(row.value)


def test_confusion_counts_every_test_window(results):
    table = np.array(results.confusion["nb"])
    assert table.sum() == 72
    assert np.trace(table) / 72 == pytest.approx(results.row("nb", "accuracy").value)


def test_unknown_row_names_the_nearest(results):
    with pytest.raises(DataError, match="'time_bins'"):
        results.row("time_bin")


def test_other_documents_are_refused(tmp_path):
    (tmp_path / "x.json").write_text('{"schema": "other"}')
    with pytest.raises(FileError, match="neuro-results/1"):
        Results.from_json(tmp_path / "x.json")
    with pytest.raises(FileError, match="incomplete"):
        Results.from_json({"schema": "neuro-results/1", "rows": [{}]})


def test_command_and_files_name_no_folder(trials, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/home/somebody/run.py", "--out", "/home/somebody/x"])
    results = evaluate(None, trials(), split=Split("block", n=2), controls=(), floors=["mean"])
    assert results.meta["command"] == "run.py --out x"
