"""Pages of facts, tables and figures."""

import re

import matplotlib.pyplot as plt
import pytest

from neuro.plot.page import Grid, Section, figure_source, page


@pytest.fixture
def figure():
    made, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, 1])
    yield made
    plt.close(made)


def test_a_page_holds_everything_and_fetches_nothing(figure):
    html = page(
        "Title",
        [Section("Part", ["said"], [("name", "value")], Grid(("a", "n"), [("x", 3)]),
                 [("caption", figure)])],
        subtitle="below", notes=["mind this"],
    )  # fmt: skip
    for said in ("Title", "below · neuro ", "mind this", "said", "<dt>name</dt><dd>value</dd>",
                 '<td class="num">3</td>', '<th class="num">n</th>', "caption"):  # fmt: skip
        assert said in html
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    assert "default-src 'none'" in html


def test_what_users_named_stays_text():
    html = page("<script>x</script>", [Section("a", facts=[("<b>", "&")])], notes=["<i>"])
    assert "<script>" not in html
    assert "<b>" not in html
    assert "<i>" not in html


def test_empty_parts_leave_no_trace():
    html = page("T", [Section("only a title")])
    for tag in ("<dl>", "<table>", '<div class="plots">', '<p class="notice">'):
        assert tag not in html


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_figure_gives_the_same_bytes(figure, kind):
    assert figure_source(figure, kind) == figure_source(figure, kind)
    assert figure_source(figure, kind).startswith(f"data:image/{kind}")
