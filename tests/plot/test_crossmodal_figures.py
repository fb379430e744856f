"""Figures of predictions draw what they are given."""

from typing import Any

import numpy as np
import pytest

from neuro.errors import DataError
from neuro.evaluate.crossmodal import CrossmodalResults, Occlusion, RegionScore
from neuro.plot import occlusion, predicted_course, region_scores

NAN = float("nan")


def _row(model: str, roi: str, r: float, ceiling: float = NAN) -> RegionScore:
    return RegionScore(
        "strict", model, "baseline", roi, r, r - 0.1, r + 0.1, -0.2, 0.25, 0.01, NAN, NAN, r / 2,
        ceiling, 40.0, 1.0, 4, 0,
    )  # fmt: skip


def _results(ceiling: float = NAN) -> CrossmodalResults:
    rows = [
        _row(m, roi, r, ceiling)
        for m, r in (("ridge", 0.6), ("constant", 0.0))
        for roi in ("A", "B")
    ]
    return CrossmodalResults(tuple(rows), {})


def test_regions_show_score_null_and_ceiling() -> None:
    figure = region_scores(_results(0.9))
    ax = figure.axes[0]
    text = [t.get_text() for t in ax.get_legend().get_texts()]
    assert text == ["null 95 %", "ridge", "ceiling"]
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert dots == pytest.approx([0.6, 0.3, 0.6, 0.3])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["A", "B"]
    ends = ax.collections[0].get_paths()[0].vertices[:, 0]
    assert (ends.min(), ends.max()) == (-0.2, 0.25)


def test_without_a_ceiling_none_is_drawn() -> None:
    legend = region_scores(_results()).axes[0].get_legend()
    assert "ceiling" not in [t.get_text() for t in legend.get_texts()]


def _occluded(what: str, n: int) -> Occlusion:
    change = np.zeros((n, 2))
    change[1, 0] = change[2, 1] = 0.4
    names = tuple(f"p{i}" for i in range(n))
    at = np.arange(n)[::-1] + 0.5
    return Occlusion(what, names, at, change, change, np.ones(2), ("A", "B"))


def test_lags_run_towards_the_volume() -> None:
    ax = occlusion(_occluded("lag", 4)).axes[0]
    first = ax.lines[0]
    assert first.get_ydata().tolist() == [0.0, 0.4, 0.0, 0.0]
    assert ax.xaxis_inverted()


@pytest.mark.parametrize(
    ("what", "first"), [("channel", "p1"), ("band", "p0")], ids=["channel", "band"]
)
def test_electrodes_come_in_their_order_of_weight(what: str, first: str) -> None:
    ax = occlusion(_occluded(what, 5)).axes[0]
    assert ax.get_xticklabels()[0].get_text() == first
    assert ax.images[0].get_array().shape == (2, 5)


def test_unknown_regions_and_unlike_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="No region"):
        occlusion(_occluded("lag", 4), ["C"])
    with pytest.raises(DataError, match="one length"):
        predicted_course(np.zeros(3), np.zeros(4), tr=2.0)


def test_a_course_has_seconds() -> None:
    x: Any = np.sin(np.arange(20.0))
    ax = predicted_course(x, x, tr=2.0, name="Cuneus", best=x).axes[0]
    assert ax.lines[0].get_xdata()[-1] == 38.0
    assert len(ax.lines) == 3
