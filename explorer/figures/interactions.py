"""The map of interactions: for each pair of layers what they lose together beyond the sum of their single changes."""

from dataclasses import dataclass

import plotly.graph_objects as go

from explorer.figures import words
from explorer.figures.escaping import plotly

LIGHT = "#8a3a00 #b66831 #e29759 #efbd96 #eedfd4 #d3ddf3 #a2b8f1 #7390e6 #4666c6 #1d3aa6".split()
DARK = "#ffcd97 #e09d64 #c06e2e #855130 #453835 #2d3957 #3b54a1 #5171e1 #7c97f1 #a9bcff".split()
ROW_HEIGHT, MARGIN = 34, 120


@dataclass(frozen=True)
class PairGrid:
    """Layers in the model's order; (row, column) -> points beyond the sum, and the ends of its 95 % interval."""

    layers: tuple[str, ...]
    beyond: dict[tuple[int, int], tuple[float, float, float]]


def interaction_map(grid: PairGrid, dark: bool = False) -> go.Figure:
    """Draw the lower triangle, blue where pairs spare each other and orange where they hurt each other."""
    n = len(grid.layers)
    reach = max((abs(value) for value, _, _ in grid.beyond.values()), default=0.0) or 1.0
    values: list[list[float | None]] = [[None] * n for _ in range(n)]
    texts = [[""] * n for _ in range(n)]
    hover = [[""] * n for _ in range(n)]
    for (row, column), (value, low, high) in grid.beyond.items():
        values[row][column] = value
        sure = not low <= 0 <= high
        texts[row][column] = f"<b>{words.signed(value)}</b>" if sure else f"<i>{words.signed(value)}</i>"
        pair = f"{plotly(grid.layers[column])} and {plotly(grid.layers[row])}"
        hover[row][column] = f"{pair}: {words.signed(value)} pt, {words.signed(low)} to {words.signed(high)}"
    colors = DARK if dark else LIGHT
    figure = go.Figure(
        go.Heatmap(
            z=values, text=texts, texttemplate="%{text}", hovertext=hover, hoverinfo="text", zmin=-reach, zmax=reach,
            colorscale=[[i / (len(colors) - 1), color] for i, color in enumerate(colors)], showscale=False,
            xgap=1, ygap=1,
        )
    )  # fmt: skip
    names = [plotly(name) for name in grid.layers]
    places = {"tickvals": list(range(n)), "ticktext": names, "fixedrange": True, "showgrid": False, "automargin": True}
    figure.update_xaxes(**places, range=[-0.5, n - 1.5], tickangle=-30)
    figure.update_yaxes(**places, range=[n - 0.5, 0.5])
    figure.update_layout(height=MARGIN + ROW_HEIGHT * (n - 1), margin={"l": 8, "r": 8, "t": 8, "b": 8})
    return figure


def describe(grid: PairGrid) -> str:
    """Return the map in words, for those who cannot see it."""
    parts = [
        f"{grid.layers[column]} and {grid.layers[row]} {words.signed(value)} points"
        for (row, column), (value, _, _) in grid.beyond.items()
    ]
    return "Lost together beyond the sum of single changes: " + "; ".join(parts)
