"""Figures and words: plain data in, exact text and plotly data out."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.figures import curves, headline, heatmap, interactions, words
from explorer.figures.curves import Line

# ---- words


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-3.42, 1, "−3.4"),
        (0.1, 1, "+0.1"),
        (0.0, 1, "0.0"),
        (-0.04, 1, "0.0"),
        (-0.05, 1, "−0.1"),
        (0.25, 1, "+0.3"),
        (-0.25, 1, "−0.3"),
        (2.5, 0, "+3"),
        (-12.345, 2, "−12.35"),
    ],
)
def test_a_signed_figure_has_a_minus_sign_and_rounds_half_away_from_zero(value: float, digits: int, text: str) -> None:
    assert words.signed(value, digits) == text


@pytest.mark.parametrize(
    ("fraction", "digits", "text"), [(0.8804, 1, "88.0 %"), (0.125, 0, "13 %"), (1, 2, "100.00 %"), (0.0, 1, "0.0 %")]
)
def test_a_percentage_has_a_space(fraction: float, digits: int, text: str) -> None:
    assert words.percent(fraction, digits) == text


def test_points_and_changes_say_their_unit() -> None:
    assert words.points(-0.031) == "−3.1 pt"
    assert words.change(229, 311) == "−26.4 %"
    assert words.change(1, 0) == ""


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [
        (0, ("0", "B")),
        (999, ("999", "B")),
        (1000, ("1.00", "KB")),
        (12_340, ("12.3", "KB")),
        (229_000, ("229", "KB")),
        (99_960, ("100", "KB")),
        (999_700, ("1.00", "MB")),
        (1_066_440, ("1.07", "MB")),
        (3_000_000_000, ("3.00", "GB")),
        (5e15, ("5000", "TB")),
    ],
)
def test_a_size_has_three_figures_and_the_unit_that_fits(n_bytes: float, shown: tuple[str, str]) -> None:
    assert words.size(n_bytes) == shown


@given(st.floats(1, 1e14))
def test_three_figures_are_three_figures(value: float) -> None:
    figure, unit = words.operations(value)
    assert len(figure.replace(".", "")) <= 3
    scale = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[unit]
    assert float(figure) * scale == pytest.approx(value, rel=0.0051, abs=0.5)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (6.4, "6 s"), (59.7, "1 min 0 s"), (125, "2 min 5 s"), (4000, "66 min 40 s")]
)
def test_a_duration_is_never_zero(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_plurals_and_thousands() -> None:
    assert words.plural(1, "input") == "1 input"
    assert words.plural(18_432, "weight") == "18,432 weights"
    assert words.plural(0, "layer") == "0 layers"


# ---- headline

KNOWN = headline.Accuracy("Accuracy", 0.88, 0.91, (0.86, 0.89), -0.03, (-0.041, -0.019), 2000, 2000)


def test_accuracy_above_tolerance_warns_and_carries_its_interval() -> None:
    drawn = headline.accuracy(KNOWN, tolerance=1.0)
    figures = {key: drawn[key] for key in ("value", "unit", "change", "interval", "dense", "how", "tone", "busy")}
    assert figures == {
        "value": "88.0",
        "unit": "%",
        "change": "−3.0 pt",
        "interval": "± 1.1",
        "dense": "dense 91.0",
        "how": "n 2,000 · 95 %",
        "tone": "warn",
        "busy": False,
    }
    glyph = drawn["glyph"]
    shown = {key: round(glyph[key], 6) for key in ("dense", "value", "low", "high", "tolerance")}
    assert shown == {"dense": 91.0, "value": 88.0, "low": 86.9, "high": 89.1, "tolerance": 90.0}


@pytest.mark.parametrize(("tolerance", "tone"), [(2.9, "warn"), (3.0, "plain"), (3.1, "plain")])
def test_a_drop_at_the_tolerance_is_within_it(tolerance: float, tone: str) -> None:
    assert headline.accuracy(KNOWN, tolerance)["tone"] == tone


def test_an_estimate_says_so_and_does_not_spin() -> None:
    part = headline.Accuracy("Accuracy", 0.9, 0.91, (0.88, 0.92), -0.01, (-0.02, 0.0), 100, 2000)
    assert headline.accuracy(part, 1.0)["busy"]
    drawn = headline.accuracy(part, 1.0, estimated=True)
    assert drawn["how"] == "est. from single layers"
    assert not drawn["busy"]


def test_a_dense_model_shows_no_change_but_the_interval_of_its_accuracy() -> None:
    dense = headline.Accuracy("Accuracy", 0.91, 0.91, (0.897, 0.921), 0.0, (0.0, 0.0), 2000, 2000)
    drawn = headline.accuracy(dense, 1.0, pruned=False)
    assert (drawn["change"], drawn["interval"], drawn["tone"]) == ("", "± 1.2", "plain")


@pytest.mark.parametrize(
    ("storage", "label"),
    [
        ({"dense": 1000, "bitmask": 1000, "csr": 2000, "n_m": None, "best": 1000}, "dense, fp32"),
        ({"dense": 1000, "bitmask": 560, "csr": 900, "n_m": None, "best": 560}, "bitmask, fp32"),
        ({"dense": 1000, "bitmask": 560, "csr": 400, "n_m": None, "best": 400}, "CSR, fp32"),
        ({"dense": 1000, "bitmask": 560, "csr": 900, "n_m": 540, "best": 540}, "N:M, fp32"),
        ({"dense": 1000, "bitmask": 560, "csr": 480, "n_m": None, "best": 470}, "best of each layer, fp32"),
    ],
)
def test_size_names_the_encoding(storage: dict[str, int | None], label: str) -> None:
    assert headline.size(storage)["how"] == label


def test_size_shows_change_and_dense_with_the_unit_where_it_differs() -> None:
    drawn = headline.size({"dense": 1_200_000, "bitmask": 300_000, "csr": None, "n_m": None, "best": 300_000})
    assert (drawn["value"], drawn["unit"], drawn["change"]) == ("300", "KB", "−75.0 %")
    assert drawn["dense"] == "dense 1.20 MB"
    assert drawn["glyph"]["fraction"] == 0.25
    same = headline.size({"dense": 900, "bitmask": 960, "csr": None, "n_m": None, "best": 900})
    assert (same["change"], same["dense"]) == ("", "dense 900")


def test_masked_flops_are_what_runs_and_zeros_are_only_the_caption() -> None:
    drawn = headline.flops(9_350_000, 6_650_000)
    assert (drawn["value"], drawn["unit"], drawn["change"]) == ("18.7", "M", "no change")
    assert drawn["how"] == "13.3 M skipping zeros"
    assert headline.flops(9_350_000, 9_350_000)["how"] == "as run"


def test_what_leaves_the_model_is_gone_from_size_and_flops_and_stands_beside_the_masked_figures() -> None:
    storage = {"dense": 1_200_000, "bitmask": 700_000, "csr": None, "n_m": None, "best": 700_000}
    drawn = headline.size(storage, 600_000)
    assert (drawn["value"], drawn["unit"], drawn["change"]) == ("600", "KB", "−50.0 %")
    assert drawn["how"] == "slimmed · masked 700 KB"
    sparse = headline.size(storage | {"bitmask": 500_000, "best": 500_000}, 600_000)
    assert (sparse["value"], sparse["how"]) == ("500", "bitmask, fp32")
    assert "slimmed model takes 600 KB" in sparse["title"]
    run = headline.flops(9_350_000, 6_650_000, 4_675_000)
    assert (run["value"], run["unit"], run["change"], run["tone"]) == ("9.35", "M", "−50.0 %", "plain")
    assert (run["how"], run["glyph"]["fraction"]) == ("slimmed · masked 18.7 M", 0.5)


def test_latency_of_the_slimmed_model_stands_beside_that_of_the_masked_one() -> None:
    both = replace(speed(0.6, difference=True), masked_ms=0.424, masked_difference=False)
    drawn = headline.latency(both, "measured", None)
    assert (drawn["change"], drawn["how"]) == ("−40.0 %", "slimmed · masked 0.42 ms")
    assert drawn["title"].endswith("the masked one takes 0.42 ms and shows no difference to dense.")


def speed(ratio: float, *, difference: bool) -> headline.Speed:
    interval = (ratio - 0.01, ratio + 0.01)
    return headline.Speed("ONNX Runtime", 0.42, 0.42 * ratio, ratio, interval, (0.955, 1.04), difference, "median")


def test_latency_inside_its_null_is_no_difference() -> None:
    drawn = headline.latency(speed(0.98, difference=False), "measured", None)
    assert (drawn["change"], drawn["tone"], drawn["value"]) == ("no difference", "muted", "0.41")
    assert drawn["glyph"] == {"kind": "bar", "fraction": 0.98, "null": [0.955, 1.04]}
    assert headline.latency(speed(0.75, difference=True), "measured", None)["change"] == "−25.0 %"


@pytest.mark.parametrize(
    ("state", "how", "busy"),
    [
        ("none", "not measured for this plan", False),
        ("waiting", "waiting for a quiet machine", False),
        ("measuring", "measuring", True),
        ("failed", "failed", False),
    ],
)
def test_latency_without_a_figure_says_why(state: str, how: str, busy: bool) -> None:
    drawn = headline.latency(None, state, None)
    assert (drawn["value"], drawn["how"], drawn["busy"]) == ("–", how, busy)


def test_every_metric_has_the_same_fields() -> None:
    drawn = [
        headline.no_accuracy("no data", "why"),
        headline.accuracy(KNOWN, 1.0),
        headline.size({"dense": 1, "best": 1}),
        headline.flops(2, 1),
        headline.latency(None, "none", None),
    ]
    assert len({frozenset(metric) for metric in drawn}) == 1


def test_a_sentence_of_the_library_is_set_in_the_apps_signs() -> None:
    text = "-8.2 points of top-1 at 60%, conv-2"
    assert words.typeset(text) == "−8.2 points of top-1 at 60 %, conv-2"


# ---- heatmap

LEVELS = [0.2, 0.4, 0.6]
ACCURACY = heatmap.Scale("Change of accuracy", "pt", 0, 40, higher_is_better=True)


def drawn_row(values: dict[float, float], *, n: int = 2000, running: float | None = None) -> dict:
    known = {"half": 0.2, "n": n, "state": "done" if n == 2000 else "preview"}
    cells = {("fc1", level): {"value": value} | known for level, value in values.items()}
    data = heatmap.heatmap(
        layers=[heatmap.HeatmapRow("fc1", 0.5), heatmap.HeatmapRow("fc2", 0.5)],
        cells=cells,
        levels=LEVELS,
        limits={"fc1": 0.31} if values else {},
        tolerance=1.0,
        chosen=["fc1"],
        plan={"fc1": 0.4},
        running=("fc1", running) if running else None,
        total=2000,
        scale=ACCURACY,
    )
    assert [row["name"] for row in data["rows"]] == ["fc1", "fc2"]
    row: dict = data["rows"][0]
    return row


def test_cells_say_how_far_they_are() -> None:
    assert [cell["state"] for cell in drawn_row({0.2: -0.5, 0.4: -1.5})["cells"]] == ["done", "done", "none"]
    preview = drawn_row({0.2: -0.5}, n=64, running=0.2)
    assert [cell["state"] for cell in preview["cells"]] == ["running", "none", "none"]
    row = drawn_row({0.2: -0.5, 0.4: -1.5, 0.6: -9}, n=64)
    assert row["limit"] == 0.31
    assert {cell["state"] for cell in row["cells"]} == {"preview"}
    assert row["limit_preview"]
    assert not drawn_row({0.2: -0.5})["limit_preview"]


def test_a_layer_without_cells_has_no_limit() -> None:
    row = drawn_row({})
    assert row["limit"] is None
    assert not row["limit_preview"]


# ---- curves

FC1 = Line("fc1", (0.0, 0.5, 0.9), (0.0, -1.0, -20.0), (0.0, -1.5, -22.0), (0.0, -0.5, -18.0))
FC2 = Line("fc2", (0.0, 0.5), (0.0, 0.25), (0.0, -0.5), (0.0, 1.0))


def test_a_curve_is_drawn_in_percent_and_points() -> None:
    figure = curves.sensitivity_curves([FC1, FC2], tolerance=1.0)
    line = next(trace for trace in figure.data if trace.name == "fc1")
    assert (tuple(line.x), tuple(line.y)) == ((0, 50, 90), (0.0, -1.0, -20.0))
    assert figure.layout.xaxis.title.text == "sparsity of the one layer, %"
    assert figure.layout.yaxis.title.text == "change of accuracy, pt"
    assert tuple(figure.layout.yaxis.range) == (-12, 1)


def test_each_curve_has_its_own_marker_dash_and_interval() -> None:
    figure = curves.sensitivity_curves([FC1, FC2], tolerance=1.0)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len({trace.marker.symbol for trace in lines}) == 2
    assert len({trace.line.dash for trace in lines}) == 2
    band = next(trace for trace in figure.data if trace.fill == "toself")
    assert tuple(band.x) == (0, 50, 90, 90, 50, 0)
    assert tuple(band.y) == (0.0, -0.5, -18.0, -22.0, -1.5, 0.0)
    assert band.hoverinfo == "skip"


def test_the_tolerance_is_a_dashed_line() -> None:
    figure = curves.sensitivity_curves([FC1], tolerance=2.5)
    (line,) = figure.layout.shapes
    assert (line.y0, line.y1, line.line.dash) == (-2.5, -2.5, "dash")
    assert figure.layout.annotations[0].text == "tolerance 2.5 pt"


def test_one_curve_needs_no_legend_but_its_name() -> None:
    assert not curves.sensitivity_curves([FC1], 1.0).layout.showlegend
    assert curves.sensitivity_curves([FC1, FC2], 1.0).layout.showlegend


def test_names_are_escaped() -> None:
    hostile = Line("<a href='x'>x</a>", (0.0, 0.5), (0.0, -1.0), (0.0, -2.0), (0.0, 0.0))
    figure = curves.sensitivity_curves([hostile], 1.0)
    line = next(trace for trace in figure.data if trace.mode == "lines+markers")
    assert "<a" not in line.hovertemplate
    assert "<a" not in line.name


def test_the_figure_is_described_in_words() -> None:
    text = curves.describe([FC1, FC2])
    assert text == "Change of accuracy, pt, over sparsity: fc1 −20.0 at 90 %; fc2 +0.3 at 50 %"


def test_no_curves_is_an_empty_figure_with_its_axes() -> None:
    figure = curves.sensitivity_curves([], 1.0)
    assert len(figure.data) == 0
    assert math.isclose(figure.layout.yaxis.range[1], 1.0)


def test_a_row_of_which_nothing_can_go_says_why_and_coupled_layers_are_one_row() -> None:
    data = heatmap.heatmap(
        layers=[heatmap.HeatmapRow("conv1", 0.1, ("conv2",)), heatmap.HeatmapRow("fc", 0.9, (), "it is the output")],
        cells={},
        levels=LEVELS,
        limits={},
        tolerance=1.0,
        chosen=[],
        plan={},
        running=None,
        total=2000,
        scale=ACCURACY,
    )
    coupled, last = data["rows"]
    assert (coupled["others"], coupled["why_not"]) == (("conv2",), "")
    assert {(cell["state"], cell["text"]) for cell in last["cells"]} == {("not_possible", "it is the output")}


def test_the_monotone_fit_is_a_thin_line_where_it_differs_from_what_was_measured() -> None:
    bumpy = Line("fc1", (0.0, 0.5, 0.9), (0.0, 0.4, -2.0), (0.0, -1.0, -3.0), (0.0, 1.0, -1.0), (0.0, 0.0, -2.0))
    same = replace(bumpy, fitted=bumpy.drops)
    for line, n_thin in ((bumpy, 1), (same, 0), (replace(bumpy, fitted=()), 0)):
        drawn = [trace for trace in curves.sensitivity_curves([line], 1.0).data if trace.line.width == 1]
        assert len(drawn) == n_thin
    assert curves.sensitivity_curves([bumpy], 1.0).data[1].y == bumpy.fitted


# ---- interactions

GRID = interactions.PairGrid(("conv1", "<b>", "fc"), {(1, 0): (-2.9, -4.0, -1.0), (2, 0): (0.4, -0.5, 1.2)})


def test_pairs_stand_below_the_diagonal_sure_ones_bold_and_others_in_italics() -> None:
    (drawn,) = interactions.interaction_map(GRID).data
    assert drawn.z[1][0] == -2.9
    assert drawn.z[0][1] is None
    assert drawn.z[2][1] is None  # not measured
    assert (drawn.text[1][0], drawn.text[2][0]) == ("<b>−2.9</b>", "<i>+0.4</i>")
    assert (drawn.zmin, drawn.zmax) == (-2.9, 2.9)  # no change is the middle of the colours
    assert drawn.hovertext[1][0] == "conv1 and &lt;b&gt;: −2.9 pt, −4.0 to −1.0"


def test_the_map_of_pairs_is_told_in_words() -> None:
    assert interactions.describe(GRID).endswith("conv1 and <b> −2.9 points; conv1 and fc +0.4 points")
