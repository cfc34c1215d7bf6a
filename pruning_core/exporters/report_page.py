"""The report as one readable page: no script, no foreign request, light and dark by the reader's system."""

from collections.abc import Callable, Iterable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from pruning_core.exporters.report_html import PAGE, STYLE, section, table
from pruning_core.exporters.seam import Bundle, exporter, known
from pruning_core.metrics import METRICS
from pruning_core.report import Document, Report

Cell = Callable[[Document], str]
_COUNTED = {
    "Parameters": "params",
    "Nonzero parameters": "nonzero_params",
    "MACs": "macs",
    "Effective MACs": "effective_macs",
}


@exporter("report_html", label="Report (page)", file_name="report.html", needs={"report"})
def write_page(bundle: Bundle, path: Path) -> None:
    """Write the report for people: the numbers with their intervals, the layers, the plan, how all was measured."""
    report = known(bundle.report)
    sections = [
        section("Dense and pruned", table(*headline(report))),
        section(
            "Layers", table(("Layer", "Weights", "Kept", "Sparsity", "", "Granularity", "Criterion"), _layers(report))
        ),
        section("Checked", table(("", ""), _checks(report))),
        section("How it was measured", table(("", ""), _pairs(report.how), "text")),
        section("Plan", f"<pre>{escape(bundle.plan.to_json())}</pre>"),
    ]
    subtitle = "Counted from the weights; there was no data to measure accuracy on."
    if report.data:
        where = f"Measured on the {report.split} split of {report.data}"
        subtitle = f"{where}, {report.dense['n']:,} examples. Intervals at 95 %."
    title = f"Pruning report: {report.model}"
    page = PAGE.format(title=escape(title), subtitle=escape(subtitle), style=STYLE, sections="\n".join(sections))
    path.write_text(page, "utf-8")


def headline(report: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the numbers that count as a table of HTML: a column for each form of the model, and the change."""
    forms = {"Dense": report.dense, "Masked": report.masked, "Slimmed": report.slimmed}
    there = {title: form for title, form in forms.items() if form is not None}
    last = list(there.values())[-1]
    rows = [(label, *(cell(form) for form in there.values()), change) for label, cell, change in _numbers(report, last)]
    return ("", *there, "Change"), rows


def _numbers(report: Report, last: Document) -> Iterable[tuple[str, Cell, str]]:
    """Yield label, how a form's figure is written, and the change from the dense model to the last form."""
    dense = report.dense
    if dense["accuracy"] is not None:
        change = -last["accuracy_drop"] if last["accuracy_drop"] is not None else 0.0
        yield "Accuracy", partial(_share, name="accuracy"), _points(change, last["accuracy_drop_interval"])
    yield from _answers(dense, last)
    yield "Sparsity of prunable weights", partial(_share, name="sparsity"), ""
    for label, name in _COUNTED.items():
        yield label, partial(_count, name=name), _relative(dense[name], last[name])
    yield "File", lambda form: _bytes(form["size_bytes"]), _relative(dense["size_bytes"], last["size_bytes"])
    small = last["storage"]["best"]
    yield "Smallest storage", lambda form: _bytes(form["storage"]["best"]), _relative(dense["storage"]["dense"], small)
    for runtime, time in last["latency_ms"].items():
        yield f"Latency, {escape(runtime)}", partial(_milliseconds, runtime=runtime), _latency(time)


def _answers(dense: Document, last: Document) -> Iterable[tuple[str, Cell, str]]:
    """Yield how far answers are those of the dense model, and what a regression predicts."""
    predicted = [name for name, member in METRICS.items() if "numbers" in member.needs and last[name] is not None]
    if not predicted:
        yield "Agreement with dense", lambda form: "" if form is dense else _share(form, "agreement"), ""
    for name in predicted:
        yield METRICS[name].label, partial(_number, name=name), ""


def _number(form: Document, name: str) -> str:
    return "" if form[name] is None else f"{form[name]:.4g}"


def _count(form: Document, name: str) -> str:
    return f"{form[name]:,}"


def _milliseconds(form: Document, runtime: str) -> str:
    return f"{form['latency_ms'][runtime]['median']:.3g} ms"


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
