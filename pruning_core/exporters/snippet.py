"""A Python snippet that repeats the pruning and its measurement."""

from pathlib import Path

from pruning_core.exporters.seam import EXPORTERS, Bundle, exporter, known

TEMPLATE = """\
import pruning_core as pc

model = pc.load_model({model!r})
dataset = pc.load_data({data!r})
data = dataset.split({split!r})
plan = pc.Plan.read({plan!r})
pruned = pc.apply(plan, model, {calibration})  # a masked copy, a torch module
print(pc.measure(model, data, plan{extra}).to_json())
"""


@exporter("snippet", label="Python snippet", file_name="repeat.py", needs={"data"})
def write_snippet(bundle: Bundle, path: Path) -> None:
    """Write the lines that repeat this in a notebook."""
    data = known(bundle.data)
    seen = "data" if bundle.calibration is None else f"dataset.split({bundle.calibration.split!r})"
    text = TEMPLATE.format(
        model=bundle.model.name,
        data=data.name,
        split=data.split,
        plan=EXPORTERS["plan"].file_name,
        calibration=seen,
        extra="" if bundle.calibration is None else f", calibration={seen}",
    )
    path.write_text(text, "utf-8")
