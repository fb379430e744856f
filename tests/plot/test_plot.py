import io
import json
import sys

import numpy as np
import pytest

from neuro import plot
from neuro.data import Axis, Events, Irregular, Recording, Regular
from neuro.errors import DataError


def eeg(n=4, n_times=2000, sfreq=250, names=None):
    x = np.random.default_rng(0).normal(size=(n, n_times))
    axis = Axis(names or [f"E{i}" for i in range(n)], "eeg")
    return Regular(x, sfreq, "uV", axis, "eeg")


def svg(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue().decode()


def test_pyplot_is_not_touched():
    before = "matplotlib.pyplot" in sys.modules
    svg(plot.signals(eeg()))
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_style_does_not_leak_into_the_users_settings():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plot.spectrum(eeg())
    assert dict(matplotlib.rcParams) == before


def test_signals_draw_the_asked_stretch_with_units():
    figure = plot.signals(eeg(), start_s=2.0, length_s=1.0)
    ax = figure.axes[0]
    assert len(ax.lines) == 4
    assert ax.get_xlim() == pytest.approx((2.0, 2.996))
    assert "uV" in ax.get_ylabel()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["E0", "E1", "E2", "E3"]


def test_signals_mark_events_on_the_streams_clock():
    rec = Recording({"eeg": eeg()}, Events.make([1.0, 99.0], ["left", "late"]))
    ax = plot.signals(rec, "eeg", length_s=4).axes[0]
    assert [t.get_text() for t in ax.texts] == ["left"]


def test_signals_outside_the_recording():
    with pytest.raises(DataError, match=r"No sample in \[100, 101\)"):
        plot.signals(eeg(), start_s=100, length_s=1)


def test_missing_samples_leave_a_gap():
    x = np.random.default_rng(0).normal(size=(1, 500))
    x[0, 100:200] = np.nan
    figure = plot.signals(Regular(x, 100, "uV", Axis(["a"], "eeg"), "eeg"), length_s=5)
    assert np.isnan(figure.axes[0].lines[0].get_ydata()).sum() == 100
    svg(figure)


def test_spectrum_has_the_rhythms_peak_and_power():
    t = np.arange(5000) / 250
    x = 2 * np.sin(2 * np.pi * 10 * t)[None]
    figure = plot.spectrum(Regular(x, 250, "uV", Axis(["Oz"], "eeg"), "eeg"))
    line = figure.axes[0].lines[-1]
    freq, power = line.get_xdata(), line.get_ydata()
    assert freq[power.argmax()] == 10.0
    # the integral of a sine of amplitude 2 is 2; Hann leaks a little beyond the range drawn
    assert np.sum(power) * (freq[1] - freq[0]) == pytest.approx(2.0, rel=0.02)


def test_spectrum_of_segments_that_are_too_short():
    x = Regular(
        np.ones((1, 12)),
        100,
        "uV",
        Axis(["a"], "eeg"),
        "eeg",
        segments=np.stack([np.arange(0, 12, 4), np.arange(4, 13, 4)], 1),
    )
    with pytest.raises(DataError, match="too short"):
        plot.spectrum(x)


def test_fc_matrix_shows_correlations():
    x = np.random.default_rng(0).normal(size=(3, 200))
    x[2] = -x[0]
    figure = plot.fc_matrix(Regular(x, 1, "z", Axis(["a", "b", "c"], "roi"), "bold"))
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, np.corrcoef(x), atol=1e-6)


def test_fc_matrix_must_be_square():
    with pytest.raises(DataError, match="square"):
        plot.fc_matrix(np.ones((2, 3)))


def test_raster_has_one_row_a_unit():
    spikes = Irregular([0.1, 0.2, 0.25, 3.0], [0, 1, 0, 1], Axis(["a", "b"], "unit"), [(0, 4)])
    ax = plot.raster(spikes, length_s=1.0).axes[0]
    assert [len(c.get_positions()) for c in ax.collections] == [2, 1]
    counts = plot.raster(spikes.bin(0.5), length_s=4.0)
    assert counts.axes[0].images[0].get_array().sum() == 4


def test_reconstruction_is_drawn_where_it_was_hidden():
    x = np.arange(20.0)[None]
    hidden = np.zeros((1, 20), bool)
    hidden[0, 5:10] = True
    figure = plot.reconstruction(x, x + 1, hidden, sfreq=10, unit="uV", names=["Cz"])
    guess = figure.axes[0].lines[1].get_ydata()
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(guess)), np.arange(5, 10))
    assert len(figure.axes[0].patches) == 1


def test_reconstruction_of_other_shape():
    with pytest.raises(DataError, match="alike"):
        plot.reconstruction(np.ones((1, 4)), np.ones((1, 5)))


def test_training_curve_reads_a_run_folders_log(tmp_path):
    lines = [{"step": i, "loss": 1 / i, "valid_loss": 2 / i, "lr": 0.1} for i in range(1, 5)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    ax = plot.training_curve(tmp_path / "metrics.jsonl").axes[0]
    assert [line.get_label() for line in ax.lines] == ["loss", "valid_loss"]
    with pytest.raises(DataError, match="step and a loss"):
        plot.training_curve([{"epoch": 1}])


@pytest.mark.parametrize("name", ["$\\frac{", "<b>x</b> & y", "a" * 300, "\n\t", "Ж"])
def test_any_name_can_be_drawn(name):
    stream = eeg(2, names=[name, "other"])
    text = svg(plot.signals(stream))
    assert "<b>" not in text
    svg(plot.fc_matrix(stream))
