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
NUMBERS = {  # of what a regression predicts
    "mean_squared_error": "Mean squared error",
    "r2": "R²",
    "relative_output_error": "Relative output error",
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
    for name, label in NUMBERS.items():
        if dense[name] is not None:
            low, high = dense[f"{name}_interval"] or (dense[name],) * 2
            yield label, f"{dense[name]:.4g}", f"{low:.4g} to {high:.4g}", how[name]
    for name, label in COUNTS.items():
        yield label, shown.count(dense[name]), "", how[name]
    yield "File", shown.size(dense["size_bytes"]), "", how["size_bytes"]
    for runtime, time in dense["latency_ms"].items():
        low, high = time["ratio_interval"]
        null = f"× {low:.3f} to {high:.3f} (null)"
        yield f"Latency, {runtime}", f"{time['median']:.4g} ms", null, how[f"latency_ms {runtime}"]


def forms_of(report: Document) -> dict[str, Document]:
    """Return the forms of the model that were measured, by title: dense, masked, and slimmed where anything left."""
    return {name.title(): report[name] for name in ("dense", "masked", "slimmed") if report[name] is not None}


def pruned_rows(report: Document) -> Iterable[Row]:
    """Yield metric, the value of each form, and the change from dense to the last form."""
    forms = list(forms_of(report).values())
    dense, last = forms[0], forms[-1]
    if dense["accuracy"] is not None:
        drop = -last["accuracy_drop"] * 100
        high, low = (-100 * end for end in last["accuracy_drop_interval"])
        yield "Accuracy", *map(_with_interval, forms), f"{drop + 0.0:+.2f} points ({low:+.2f} to {high:+.2f})"
    if last["agreement"] is not None:
        yield "Agreement with dense", "", *(shown.percent(form["agreement"]) for form in forms[1:]), ""
    for name, label in NUMBERS.items():
        if last[name] is not None:
            yield label, *("" if form[name] is None else f"{form[name]:.4g}" for form in forms), ""
    yield "Sparsity of prunable weights", *(shown.percent(form["sparsity"]) for form in forms), ""
    for name, label in COUNTS.items():
        yield label, *(shown.count(form[name]) for form in forms), _relative(dense[name], last[name])
    sizes = [form["size_bytes"] for form in forms]
    yield "File", *map(shown.size, sizes), _relative(dense["size_bytes"], last["size_bytes"]) or "zeros included"
    smallest = [dense["storage"]["dense"], *(form["storage"]["best"] for form in forms[1:])]
    yield "Smallest storage", *map(shown.size, smallest), _relative(smallest[0], smallest[-1])
    for runtime, time in last["latency_ms"].items():
        times = (f"{form['latency_ms'][runtime]['median']:.4g} ms" for form in forms)
        yield f"Latency, {runtime}", *times, _ratio(time)


def certificate(report: Document) -> Iterable[str]:
    """Yield sentences on how equal the forms answer."""
    proof = report["certificate"]
    if proof["masked_vs_slimmed_max_abs_diff"] is not None:
        yield f"Slimmed and masked differ by at most {proof['masked_vs_slimmed_max_abs_diff']:.2g} in any output."
    for name in ("slimmed", "masked"):
        if (difference := proof[f"{name}_vs_onnx_max_abs_diff"]) is not None:
            yield (
                f"ONNX Runtime and torch differ by at most {difference:.2g} in any output of the {name} model, on "
                f"{proof['samples']} examples."
            )


def _ratio(time: Document) -> str:
    low, high = time["ratio_interval"]
    ratio = f"× {time['ratio_to_dense']:.2f} ({low:.2f} to {high:.2f})"
    return ratio if time["difference"] else f"no difference, {ratio}"


def _with_interval(form: Document) -> str:
    return f"{shown.percent(form['accuracy'])} ({_interval(form['accuracy_interval'])})"


def _interval(ends: Any) -> str:
    return f"{shown.percent(ends[0])} to {shown.percent(ends[1])}" if ends else ""


def _relative(before: float, after: float) -> str:
    return "" if before == after else f"{100 * (after - before) / before:+.1f} %"
