"""The pruned model as ONNX, checked against torch on real data."""

from pathlib import Path

from pruning_core.exporters.seam import Bundle, exporter, known
from pruning_core.onnx_export import check_batches, largest_difference


@exporter("onnx", label="ONNX", file_name="model.onnx", needs={"onnx"})
def write_onnx(bundle: Bundle, path: Path) -> None:
    """Write the pruned model, slimmed where channels or heads go; refused when it answers differently from torch."""
    model = known(bundle.onnx)
    largest_difference(model, bundle.smallest, check_batches(bundle.data, bundle.model.example_inputs))
    path.write_bytes(model)
