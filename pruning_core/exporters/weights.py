"""The masked weights as safetensors."""

from pathlib import Path

from pruning_core.exporters.seam import Bundle, exporter
from pruning_core.report import weights_file


@exporter("safetensors", label="Weights", file_name="masked.safetensors")
def write_weights(bundle: Bundle, path: Path) -> None:
    """Write the state of the masked model: all tensors under their torch names, zeros in place."""
    path.write_bytes(weights_file(bundle.model, bundle.plan, bundle.masked))
