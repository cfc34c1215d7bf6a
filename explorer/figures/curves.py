"""Sensitivity curves of chosen layers: one line each with its own marker and dash, interval bands, the tolerance."""

from dataclasses import dataclass

import plotly.graph_objects as go

from explorer.figures import words
from explorer.figures.escaping import plotly

MARKERS = ("circle", "square", "triangle-up", "diamond", "cross")
DASHES = ("solid", "7px,3px", "2px,3px", "9px,3px,2px,3px", "solid")
COLORS = ("#2f55d4", "#b85600", "#0b7a66", "#9b2f8c", "#7f8896")
DARK_COLORS = ("#93aaff", "#e8863a", "#5fcdb4", "#e08ad2", "#8d96a5")
TOLERANCE_COLOR = "#7f8896"  # 3:1 on both backgrounds
HEIGHT = 330


@dataclass(frozen=True)
class Line:
    """Drops in points of one layer by sparsity, with 95 % intervals; starts at (0, 0).

    `fitted` is the monotone fit that allocations read, where it is to be shown.
    """

    name: str
    levels: tuple[float, ...]
    drops: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    fitted: tuple[float, ...] = ()


def sensitivity_curves(
    lines: list[Line], tolerance: float | None, title: str = "change of accuracy, pt", dark: bool = False
) -> go.Figure:
    """Draw the lines. With a tolerance the axis ends at 12 times it below zero; curves are cut there, never clamped."""
    figure, colors = go.Figure(), DARK_COLORS if dark else COLORS
    for i, line in enumerate(lines):
        color = colors[i] if i < len(colors) else colors[-1]
        percent = [100 * level for level in line.levels]
        _band(figure, line, percent, color)
        _fit(figure, line, percent, color)
        figure.add_scatter(
            x=percent,
            y=line.drops,
            mode="lines+markers",
            name=plotly(line.name),
            line={"color": color, "dash": DASHES[i % len(DASHES)], "width": 2},
            marker={"symbol": MARKERS[i % len(MARKERS)], "size": 8, "color": color},
            hovertemplate=plotly(line.name) + ": %{y:.3~g}<extra></extra>",
        )
    if tolerance is not None:
        figure.add_hline(
            y=-tolerance,
            line={"dash": "dash", "width": 1, "color": TOLERANCE_COLOR},
            annotation_text=f"tolerance {tolerance:.1f} pt",
            annotation_position="bottom left",
        )
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="x unified",
        showlegend=len(lines) > 1,
        legend={"orientation": "h", "y": -0.22},
    )
    figure.update_xaxes(title_text="sparsity of the one layer, %", range=[0, 100], automargin=True, fixedrange=True)
    ends = None if tolerance is None else [-12 * tolerance, tolerance]
    figure.update_yaxes(title_text=title, range=ends, automargin=True, fixedrange=True)
    return figure


def _band(figure: go.Figure, line: Line, percent: list[float], color: str) -> None:
    red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    figure.add_scatter(
        x=percent + percent[::-1],
        y=[*line.high, *reversed(line.low)],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.14)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def _fit(figure: go.Figure, line: Line, percent: list[float], color: str) -> None:
    """Draw the fit as a thin line behind the measured one, where it differs."""
    if line.fitted and line.fitted != line.drops:
        thin = {"color": color, "width": 1}
        figure.add_scatter(
            x=percent, y=line.fitted, mode="lines", line=thin, opacity=0.55, hoverinfo="skip", showlegend=False
        )


def describe(lines: list[Line], title: str = "Change of accuracy, pt") -> str:
    """Return the chart in words, for those who cannot see it."""
    parts = []
    for line in lines:
        worst = line.drops[-1]
        parts.append(f"{line.name} {words.signed(worst)} at {100 * line.levels[-1]:.0f} %")
    return f"{title}, over sparsity: " + "; ".join(parts)
