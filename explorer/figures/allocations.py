"""All allocations of one budget: what was predicted of each and what was measured, one row each."""

from dataclasses import dataclass

import plotly.graph_objects as go

from explorer.figures import words
from explorer.figures.escaping import plotly

PREDICTED = ("#7f8896", "#788292")  # the grey of controls, light and dark
MEASURED = ("#2f55d4", "#93aaff")
ROW = 36  # pixels, as tall as a row of the table beside it
TOP, BOTTOM = 36, 56  # pixels for the tolerance's label, which is as tall as the table's head, and for the axis
APART = 0.17  # of a row, between the two marks
MOST = 100.0  # points that accuracy can fall; sums of single drops can pass it


@dataclass(frozen=True)
class Point:
    """One allocation: changes of accuracy in points, with 95 % intervals."""

    label: str
    predicted: float | None
    predicted_interval: tuple[float, float] | None
    measured: float | None
    measured_interval: tuple[float, float] | None


def comparison(points: list[Point], tolerance: float, dark: bool = False) -> go.Figure:
    """Draw one row for each allocation, the first on top: predicted above measured, the tolerance dashed.

    Rows carry no labels: they stand beside the rows of a table.
    """
    figure, places = go.Figure(), [len(points) - 1 - i for i in range(len(points))]
    predicted = [(y + APART, p.label, p.predicted, p.predicted_interval) for y, p in zip(places, points, strict=True)]
    measured = [(y - APART, p.label, p.measured, p.measured_interval) for y, p in zip(places, points, strict=True)]
    hollow = {"symbol": "diamond-open", "size": 9, "line": {"width": 2}}
    _marks(figure, "predicted", predicted, PREDICTED[dark], hollow)
    _marks(figure, "measured", measured, MEASURED[dark], {"symbol": "circle", "size": 10})
    figure.add_vline(
        x=0, line={"width": 1, "color": PREDICTED[dark]}, annotation={"text": "dense", "yanchor": "bottom"}
    )
    figure.add_vline(
        x=-tolerance,
        line={"dash": "dash", "width": 1, "color": PREDICTED[dark]},
        annotation={"text": f"tolerance {tolerance:.1f} pt", "yanchor": "bottom"},
        annotation_position="top left",
    )
    figure.update_layout(
        height=TOP + BOTTOM + ROW * max(1, len(points)),
        margin={"l": 8, "r": 8, "t": TOP, "b": BOTTOM},
        showlegend=False,
        hovermode="closest",
    )
    if beyond(points):
        figure.update_xaxes(range=[-MOST, 0.06 * MOST])
    figure.update_xaxes(title_text="change of accuracy, pt", automargin=False, fixedrange=True, zeroline=False)
    figure.update_yaxes(
        tickvals=places,
        showticklabels=False,
        automargin=False,
        range=[-0.5, max(1, len(points)) - 0.5],
        fixedrange=True,
        zeroline=False,
    )
    return figure


def beyond(points: list[Point]) -> int:
    """Return how many predictions lie past the axis: no accuracy falls so far, so they are not drawn."""
    return sum(point.predicted is not None and point.predicted < -MOST for point in points)


Mark = tuple[float, str, float | None, tuple[float, float] | None]


def _marks(figure: go.Figure, name: str, marks: list[Mark], color: str, marker: dict[str, object]) -> None:
    drawn = [(y, label, x, between or (x, x)) for y, label, x, between in marks if x is not None]
    figure.add_scatter(
        x=[x for _, _, x, _ in drawn],
        y=[y for y, _, _, _ in drawn],
        mode="markers",
        name=name,
        marker={"color": color} | marker,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - x for _, _, x, (_, high) in drawn],
            "arrayminus": [x - low for _, _, x, (low, _) in drawn],
            "thickness": 2,
            "width": 0,
            "color": color,
        },
        customdata=[
            f"{plotly(label)}, {name}: {words.signed(x)} pt, 95 % from {words.signed(low)} to {words.signed(high)}"
            for _, label, x, (low, high) in drawn
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )


def describe(points: list[Point]) -> str:
    """Return the chart in words, for those who cannot see it."""
    parts = []
    for point in points:
        known = [
            f"{word} {words.signed(value)} points"
            for word, value in (("predicted", point.predicted), ("measured", point.measured))
            if value is not None
        ]
        parts.append(f"{point.label}: {' and '.join(known)}")
    return "Change of accuracy by allocation. " + "; ".join(parts)
