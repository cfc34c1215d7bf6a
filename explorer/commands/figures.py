"""Rows of a report for people: every number with its unit, its interval, and how it came about."""

from collections.abc import Iterable
from typing import Any

from explorer.commands import shown
from pruning_core.report import Document, Report

Row = tuple[str, ...]
SHARES = {
    "accuracy": "Accuracy",
    "agreement": "Agreement with dense",
    "sparsity": "Sparsity of prunable weights",
    "model_sparsity": "Sparsity of all parameters",
}
COUNTS = {
    "params": "Parameters",
    "nonzero_params": "Nonzero parameters",
    "macs": "MACs of one example",
    "effective_macs": "Effective MACs",
}


def dense_rows(report: Report) -> Iterable[Row]:
    """Yield metric, value, interval and how of the model as it is."""
    dense, how = report.dense, report.how
    for name, label in SHARES.items():
        if dense[name] is not None:
            yield label, shown.percent(dense[name]), _interval(dense.get(f"{name}_interval")), how[name]
    if dense["loss"] is not None:
        low, high = dense["loss_interval"] or (dense["loss"],) * 2
        yield "Loss", f"{dense['loss']:.4f} nats", f"{low:.4f} to {high:.4f}", how["loss"]
    for name, label in COUNTS.items():
        yield label, shown.count(dense[name]), "", how[name]
    yield "File", shown.size(dense["size_bytes"]), "", how["size_bytes"]
    for runtime, time in dense["latency_ms"].items():
        low, high = time["ratio_interval"]
        null = f"× {low:.3f} to {high:.3f} (null)"
        yield f"Latency, {runtime}", f"{time['median']:.4g} ms", null, how[f"latency_ms {runtime}"]


def pruned_rows(dense: Document, masked: Document) -> Iterable[Row]:
    """Yield metric, dense value, masked value and change."""
    if dense["accuracy"] is not None:
        drop = -masked["accuracy_drop"] * 100
        high, low = (-100 * end for end in masked["accuracy_drop_interval"])
        change = f"{drop + 0.0:+.2f} points ({low:+.2f} to {high:+.2f})"
        yield "Accuracy", _with_interval(dense), _with_interval(masked), change
    if masked["agreement"] is not None:
        yield "Agreement with dense", "", shown.percent(masked["agreement"]), ""
    yield "Sparsity of prunable weights", shown.percent(dense["sparsity"]), shown.percent(masked["sparsity"]), ""
    for name, label in COUNTS.items():
        yield label, shown.count(dense[name]), shown.count(masked[name]), _relative(dense[name], masked[name])
    yield "File", shown.size(dense["size_bytes"]), shown.size(masked["size_bytes"]), "zeros included"
    before, after = dense["storage"]["dense"], masked["storage"]["best"]
    yield "Smallest storage", shown.size(before), shown.size(after), _relative(before, after)


def _with_interval(form: Document) -> str:
    return f"{shown.percent(form['accuracy'])} ({_interval(form['accuracy_interval'])})"


def _interval(ends: Any) -> str:
    return f"{shown.percent(ends[0])} to {shown.percent(ends[1])}" if ends else ""


def _relative(before: float, after: float) -> str:
    return "" if before == after else f"{100 * (after - before) / before:+.1f} %"
