"""ONNX models as torch modules whose weights can be pruned: any exporter, opsets 7 to the newest."""

from pruning_core.onnx_import.importing import Imported, candidates, import_model

__all__ = ["Imported", "candidates", "import_model"]
