"""The report as one readable page: no script, no foreign request, light and dark by the reader's system."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from pruning_core.exporters.seam import Bundle, exporter, known
from pruning_core.report import Document, Report

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


@exporter("report_html", label="Report (page)", file_name="report.html", needs={"report"})
def write_page(bundle: Bundle, path: Path) -> None:
    """Write the report for people: the numbers with their intervals, the layers, the plan, how all was measured."""
    report = known(bundle.report)
    sections = [
        _section("Dense and pruned", _table(("", "Dense", "Pruned", "Change"), headline(report))),
        _section(
            "Layers", _table(("Layer", "Weights", "Kept", "Sparsity", "", "Granularity", "Criterion"), _layers(report))
        ),
        _section("Checked", _table(("", ""), _checks(report))),
        _section("How it was measured", _table(("", ""), _pairs(report.how), "text")),
        _section("Plan", f"<pre>{escape(bundle.plan.to_json())}</pre>"),
    ]
    subtitle = "Counted from the weights; there was no data to measure accuracy on."
    if report.data:
        where = f"Measured on the {report.split} split of {report.data}"
        subtitle = f"{where}, {report.dense['n']:,} examples. Intervals at 95 %."
    title = f"Pruning report: {report.model}"
    page = PAGE.format(title=escape(title), subtitle=escape(subtitle), style=STYLE, sections="\n".join(sections))
    path.write_text(page, "utf-8")


def headline(report: Report) -> Iterable[tuple[str, ...]]:
    """Yield label, dense, pruned and change of the numbers that count, as HTML."""
    dense, pruned = report.dense, report.masked or report.dense
    if dense["accuracy"] is not None:
        change = -pruned["accuracy_drop"] if pruned["accuracy_drop"] is not None else 0.0
        interval = pruned["accuracy_drop_interval"]
        yield "Accuracy", _share(dense, "accuracy"), _share(pruned, "accuracy"), _points(change, interval)
    for label, name in (("Agreement with dense", "agreement"), ("Sparsity of prunable weights", "sparsity")):
        yield label, "", _share(pruned, name), ""
    for label, name in (
        ("Nonzero parameters", "nonzero_params"),
        ("Effective MACs", "effective_macs"),
        ("MACs", "macs"),
    ):
        yield label, f"{dense[name]:,}", f"{pruned[name]:,}", _relative(dense[name], pruned[name])
    yield "File", _bytes(dense["size_bytes"]), _bytes(pruned["size_bytes"]), "zeros included"
    smallest = pruned["storage"]["best"]
    yield "Smallest storage", _bytes(dense["storage"]["dense"]), _bytes(smallest), "best format of each layer"
    for runtime, time in pruned["latency_ms"].items():
        before = dense["latency_ms"][runtime]["median"]
        yield f"Latency, {escape(runtime)}", f"{before:.3g} ms", f"{time['median']:.3g} ms", _latency(time)


def _latency(time: Document) -> str:
    low, high = time["ratio_interval"]
    ratio, interval = f"× {time['ratio_to_dense']:.2f}", f"{low:.2f} to {high:.2f}"
    if time["difference"]:
        return f"{ratio}<small>{interval}</small>"
    return f"no difference<small>{ratio}, {interval}</small>"


def _layers(report: Report) -> Iterable[tuple[str, ...]]:
    for row in report.layers:
        sparsity = row["measured_sparsity"]
        name = (
            f"<code>{escape(row['name'])}</code><small>{escape(row['kind'])} {escape(str(row['weight_shape']))}</small>"
        )
        bar = f'<meter value="{sparsity:.4f}"></meter>'
        why_dense = report.left_dense.get(row["name"])
        words = [escape(str(row[key] or "")) for key in ("granularity", "criterion")]
        words = [escape(f"dense: {why_dense}"), ""] if why_dense else words
        yield name, f"{row['weights']:,}", f"{row['kept']:,}", _percent(sparsity), bar, *words


def _checks(report: Report) -> Iterable[tuple[str, ...]]:
    for name, value in report.certificate.items():
        shown = "not checked" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
        yield escape(name.replace("_", " ").replace("max abs diff", "largest difference")), shown
    yield "files", escape(", ".join(report.files))


def _pairs(texts: Any) -> Iterable[tuple[str, ...]]:
    return ((escape(name.replace("_", " ")), escape(text)) for name, text in texts.items())


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n<div>{body}</div>"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], kind: str = "") -> str:
    """Return a table of cells that are HTML already."""
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="{kind}"><thead><tr>{titles}</tr></thead><tbody>\n{body}\n</tbody></table>'


def _share(document: Document, name: str) -> str:
    value, interval = document[name], document.get(f"{name}_interval")
    if value is None:
        return "not measured"
    return _percent(value) + (f"<small>{_percent(interval[0])} to {_percent(interval[1])}</small>" if interval else "")


def _percent(value: float) -> str:
    return f"{_signed(f'{value * 100:.2f}')} %"


def _points(change: float, drop: Any) -> str:
    text = f"{_signed(f'{change * 100 + 0.0:+.2f}')} pt"
    if drop is None:
        return text
    low, high = (_signed(f"{-bound * 100 + 0.0:+.2f}") for bound in reversed(drop))
    return f"{text}<small>{low} to {high} pt</small>"


def _relative(before: float, after: float) -> str:
    if before == after:
        return "no change"
    return f"{_signed(f'{(after / before - 1) * 100:+.1f}')} %" if before else ""


def _bytes(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.2f} {unit}"
    return f"{size} bytes"


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
