"""`pruning-explorer measure`: the model as it is."""

from explorer.commands import shown
from explorer.commands.asked import Inputs
from explorer.commands.figures import dense_rows
from pruning_core.measure import measure


def run(inputs: Inputs, latency: bool, as_json: bool) -> None:
    """Measure on the test split and print every number with how it came about."""
    data = inputs.dataset.test.take(inputs.samples)
    with shown.progress("Measuring") as update:
        report = measure(inputs.model, data, latency=latency, progress=update)
    if as_json:
        shown.document(report.document())
        return
    shown.line(f"{report.model} on {len(data):,} examples of {report.data}, split {report.split}; intervals at 95 %")
    shown.line()
    shown.table(("Metric", "Value", "Interval", "How"), dense_rows(report), text=("Interval", "How"))
