"""Names from strangers in each medium: shown letter by letter, never obeyed."""

import csv
import io
import re
from html import unescape

import pytest

from explorer.figures import escaping
from explorer.figures.curves import Line, sensitivity_curves
from tests.explorer.payloads import PAYLOADS


def test_there_are_thirty_names() -> None:
    assert len(set(PAYLOADS)) >= 30


@pytest.mark.parametrize("name", PAYLOADS)
def test_no_name_is_obeyed(name: str) -> None:
    shown = escaping.plain(name)
    assert len(shown) <= escaping.LONGEST
    assert shown.isprintable()
    marked = escaping.markdown(name)
    assert not re.search(r"(?<!\\)[\[\]!`*_<>$|~#{}&]|:(?=[^\s\u2060])", marked)
    assert not re.search(r"(https?:|www\.|@)\w", re.sub(r"\\(.)", r"\1", marked))
    code = escaping.code(name)
    assert (code[0], code[-1], code[1:-1].count("`")) == ("`", "`", 0)
    figure = escaping.plotly(name)
    assert not re.search(r"[<>$]|%\{|&(?!(amp|lt|gt);)", figure)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", escaping.file_name(name))
    table = io.StringIO()
    csv.writer(table).writerow([escaping.cell(name)])
    (field,) = next(csv.reader(io.StringIO(table.getvalue())))
    assert not field.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_plain_names_are_shown_as_they_are() -> None:
    for name in ("layers.2.conv1", "fc", "block/attn.qkv", "größe"):
        assert escaping.plain(name) == escaping.plotly(name) == escaping.cell(name) == name
        assert re.sub(r"\\(.)", r"\1", escaping.markdown(name)) == name
    assert escaping.markdown("1. list") == "\N{WORD JOINER}1. list"
    assert escaping.markdown("fc1: 0.5 of 3") == "fc1: 0.5 of 3"
    assert escaping.cell("=SUM(A1)") == "'=SUM(A1)"
    assert escaping.plain("a\u202eb\x00") == "aU+202EbU+0000"
    assert escaping.plain("x" * 500) == "x" * 127 + "…"


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_figure_holds_names_as_text(name: str) -> None:
    line = Line(name, (0.0, 0.5), (0.0, -1.0), (0.0, -2.0), (0.0, -0.5))
    for trace in sensitivity_curves([line], 1.0).data:
        for text in (trace.name or "", trace.hovertemplate or ""):
            kept = text.removesuffix(": %{y:.3~g}<extra></extra>")
            assert "<" not in kept
            assert "%{" not in kept
            assert unescape(kept) is not None
