"""The frame of the report's page: style, sections, tables; no script, no foreign request."""

from collections.abc import Iterable
from html import escape

STYLE = """
:root { color-scheme: light dark; --bg: #fff; --panel: #f6f7f9; --line: #dfe3e9; --text: #14171c; --muted: #545d6b;
  --accent: #2f55d4; }
@media (prefers-color-scheme: dark) { :root { --bg: #0e1014; --panel: #16191f; --line: #2a2f38; --text: #e8eaee;
  --muted: #a3acba; --accent: #93aaff; } }
body { margin: 0 auto; max-width: 1080px; padding: 24px; background: var(--bg); color: var(--text);
  font: 14px/1.5 -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 22px; } h2 { font-size: 16px; margin-top: 32px; } p, small, th { color: var(--muted); }
div { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); font-weight: 400; }
th:first-child, td:first-child, .text td, .text th { text-align: left; } small { display: block; }
code, pre { font: 12px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--panel); padding: 12px; border-radius: 6px; overflow-x: auto; }
meter { width: 72px; }
meter::-webkit-meter-optimum-value { background: var(--accent); } meter::-moz-meter-bar { background: var(--accent); }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{subtitle}</p>
{sections}
</body>
</html>
"""


def section(title: str, body: str) -> str:
    """Return a part of the page; `body` is HTML already."""
    return f"<h2>{escape(title)}</h2>\n<div>{body}</div>"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], kind: str = "") -> str:
    """Return a table of cells that are HTML already."""
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="{kind}"><thead><tr>{titles}</tr></thead><tbody>\n{body}\n</tbody></table>'
