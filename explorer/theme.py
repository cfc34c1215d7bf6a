"""Colours, fonts and page CSS: the only place that knows Streamlit's inner class names."""

from pathlib import Path
from typing import Any

ICON = str(Path(__file__).parent / "assets" / "icon.svg")

FONT = '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, Inter, "Helvetica Neue", Arial, sans-serif'
CODE_FONT = 'ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, monospace'

# Drop of accuracy, ten steps, low near the background; mapped by sqrt(min(1, drop / 40)).
DAMAGE = {
    "light": "#fbf4ea #f8dfc8 #f5caa6 #f0b583 #eba05f #da8942 #be7032 #a35922 #884211 #6e2c00".split(),
    "dark": "#211a13 #3f2818 #5e371a #7f451b #a25419 #bd6a2d #ce854f #dfa06f #efbc8e #ffd8ad".split(),
}

_LIGHT: dict[str, Any] = {
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f6f7f9",
    "textColor": "#14171c",
    "borderColor": "#dfe3e9",
    "primaryColor": "#2f55d4",
    "blueColor": "#2f55d4",
    "linkColor": "#2a4cc0",
    "blueTextColor": "#2a4cc0",
    "blueBackgroundColor": "#e9eefc",
    "grayTextColor": "#545d6b",
    "grayColor": "#7f8896",
    "grayBackgroundColor": "#eceff3",
    "orangeTextColor": "#a34700",
    "orangeColor": "#cf6500",
    "orangeBackgroundColor": "#fdf2e6",
    "chartSequentialColors": "#eef2fc #cbd8f9 #aabff5 #89a5f0 #6a8aea #5272d8 #415ebc #314aa2 #213787 #13246e".split(),
    "chartDivergingColors": "#1d3aa6 #4666c6 #7390e6 #a2b8f1 #d3ddf3 #eedfd4 #efbd96 #e29759 #b66831 #8a3a00".split(),
    "chartCategoricalColors": "#2f55d4 #b85600 #0b7a66 #9b2f8c #7f8896 #8a6d00 #1f7fb0 #7a4a2c".split(),
}
_DARK: dict[str, Any] = {
    "backgroundColor": "#0e1014",
    "secondaryBackgroundColor": "#16191f",
    "textColor": "#e8eaee",
    "borderColor": "#2a2f38",
    "primaryColor": "#4666ea",
    "blueColor": "#4666ea",
    "linkColor": "#93aaff",
    "blueTextColor": "#93aaff",
    "blueBackgroundColor": "#19213c",
    "grayTextColor": "#a3acba",
    "grayColor": "#788292",
    "grayBackgroundColor": "#1e222a",
    "orangeTextColor": "#ffab5e",
    "orangeColor": "#e8863a",
    "orangeBackgroundColor": "#2a1e11",
    "chartSequentialColors": "#181d2b #222d4e #2d3e74 #384f9c #4460c6 #5776e1 #7390e9 #91a9f1 #afc2f9 #cfdaff".split(),
    "chartDivergingColors": "#a9bcff #7c97f1 #5171e1 #3b54a1 #2d3957 #453835 #855130 #c06e2e #e09d64 #ffcd97".split(),
    "chartCategoricalColors": "#93aaff #e8863a #5fcdb4 #e08ad2 #8d96a5 #d3b443 #6fc3ee #c99a78".split(),
}
_COMMON: dict[str, Any] = {
    "font": FONT,
    "codeFont": CODE_FONT,
    "baseFontSize": 14,
    "baseRadius": "6px",
    "buttonRadius": "6px",
    "paddingTop": "0px",
    "paddingBottom": "0px",
    "showWidgetBorder": True,
    "metricValueFontSize": "22px",
    "metricValueFontWeight": 600,
    "headingFontSizes": ["1.15rem", "1rem", "0.93rem", "0.93rem", "0.86rem", "0.86rem"],
    "headingFontWeights": [600] * 6,
}

CONFIG: dict[str, Any] = (
    {f"theme.{key}": value for key, value in _COMMON.items()}
    | {f"theme.light.{key}": value for key, value in _LIGHT.items()}
    | {f"theme.dark.{key}": value for key, value in _DARK.items()}
)

# Held by a browser test: the headline stays at the top when the page scrolls.
PAGE_CSS = """<style>
.stMainBlockContainer { padding-left: 0; padding-right: 0; max-width: none }
[data-testid=stLayoutWrapper]:has(> .st-key-headline_place) { position: sticky; top: 3.75rem; z-index: 90 }
.st-key-context { position: fixed; top: 10px; right: 24px; z-index: 1000000; width: auto }
.stMainBlockContainer > .stVerticalBlock { gap: 0 }
.stMainBlockContainer > .stVerticalBlock > [data-testid=stElementContainer]:has(style) { display: none }
.stMainBlockContainer .stVerticalBlock:has(> .st-key-mixer), .stVerticalBlock:has(> .st-key-panel_head) { gap: 0 }
.stColumn:has(.st-key-side) { border-left: 1px solid color-mix(in srgb, currentColor 14%, transparent) }
.st-key-pane { padding: 10px 18px 16px }
.st-key-page .st-key-side { padding-left: 18px }
.st-key-empty, .st-key-page { padding: 20px 24px }
.st-key-fit_table .stHorizontalBlock { min-height: 36px; max-height: 36px; align-items: center }
.st-key-job_bar { min-height: 47px; padding: 6px 24px; background: color-mix(in srgb, currentColor 5%, transparent) }
.st-key-arrival, .st-key-near_chance { padding: 8px 24px; background: color-mix(in srgb, currentColor 5%, transparent) }
.st-key-arrival .stMarkdown, .st-key-near_chance .stMarkdown { max-width: 760px }
.st-key-arrival p { overflow-wrap: anywhere }
@media (max-width: 1200px) {
  .stHorizontalBlock:has(> .stColumn .st-key-side) { flex-direction: column }
  .stHorizontalBlock:has(> .stColumn .st-key-side) > .stColumn { width: 100%; flex: none; border-left: 0 }
  .st-key-page .st-key-side { padding-left: 0 }
}
</style>"""
