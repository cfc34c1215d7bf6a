"""The plan as JSON, to load again, here or elsewhere."""

from pathlib import Path

from pruning_core.exporters.seam import Bundle, exporter


@exporter("plan", label="Plan", file_name="plan.json")
def write_plan(bundle: Bundle, path: Path) -> None:
    """Write what was pruned and how, by layer."""
    path.write_text(bundle.plan.to_json() + "\n", "utf-8")
