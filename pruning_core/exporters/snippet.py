"""A Python snippet that repeats the pruning and its measurement."""

from pathlib import Path

from pruning_core.data import EvalData
from pruning_core.exporters.seam import EXPORTERS, Bundle, exporter, known
from pruning_core.loaders.trusted import needs_trust

TEMPLATE = """\
import pruning_core as pc

model = pc.load_model({model!r}{trusted})
dataset = pc.load_data({data})
data = dataset.split({split!r})
plan = pc.Plan.read({plan!r})
pruned = pc.apply(plan, model, {calibration})  # a masked copy, a torch module
print(pc.measure(model, data, plan{extra}).to_json())
"""


@exporter("snippet", label="Python snippet", file_name="repeat.py", needs={"data"})
def write_snippet(bundle: Bundle, path: Path) -> None:
    """Write the lines that repeat this in a notebook."""
    path.write_text(snippet(bundle.model.name, known(bundle.data), bundle.calibration), "utf-8")


def snippet(model: str, data: EvalData, calibration: EvalData | None) -> str:
    """Return Python that loads `model` and `data` by name or file, applies the plan file, and measures."""
    how = f"{data.source!r}, pc.{data.preprocessing!r}, model" if data.source else repr(data.name)
    how += ", trusted=True" if needs_trust(data.source or data.name) else ""
    seen = "data" if calibration is None else f"dataset.split({calibration.split!r})"
    return TEMPLATE.format(
        model=model,
        trusted=", trusted=True" if needs_trust(model) else "",
        data=how,
        split=data.split,
        plan=EXPORTERS["plan"].file_name,
        calibration=seen,
        extra="" if calibration is None else f", calibration={seen}",
    )
