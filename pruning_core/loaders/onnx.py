"""ONNX files of any exporter as models of torch: `net.onnx`, or `net.onnx+input@3x224x224` where the file is open.

The answers are compared with those of ONNX Runtime before anything else is done with the model.
"""

from collections.abc import Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from pruning_core.errors import ModelError, PruningError
from pruning_core.graph import TRACE_BATCH, trace
from pruning_core.loaders.options import split, suffix
from pruning_core.loaders.seam import model_loader
from pruning_core.loaders.trusted import is_trusted
from pruning_core.model import Model
from pruning_core.onnx_import import Imported, candidates
from pruning_core.onnx_import.equality import largest_difference
from pruning_core.onnx_import.inputs import Entry, entries_of, fixed_batch
from pruning_core.onnx_import.source import architecture_of
from pruning_core.onnx_import.values import first_line
from pruning_core.refusals import refused


@model_loader("onnx", form="file.onnx", can_load=lambda spec: suffix(spec) == ".onnx", takes=("input",))
def load_onnx(spec: str) -> Model:
    """Load an ONNX file as a model whose weights can be pruned; it has to answer as ONNX Runtime does."""
    path, options = split(spec)
    proto = _read(path)
    entries = entries_of(proto, options.get("input", ""))
    fixed = fixed_batch(entries)
    imported, apart, scale = _imported(proto, entries, fixed)
    examples = tuple(entry.example(TRACE_BATCH) for entry in entries)
    graph = trace(imported.module, examples)
    model = Model(
        name=spec,
        module=imported.module,
        example_inputs=examples,
        title=Path(path).stem,
        architecture=architecture_of(imported.module, graph),
        note=_note(proto, imported, apart, scale, fixed),
    )
    vars(model)["graph"] = graph  # traced for the architecture already
    return model


def _imported(proto: onnx.ModelProto, entries: Sequence[Entry], fixed: int | None) -> tuple[Imported, float, float]:
    """Return the model that answers as ONNX Runtime does, the largest difference and the largest output."""
    refusal: PruningError | None = None
    for imported in candidates(proto, [entry.example(fixed or TRACE_BATCH) for entry in entries], fixed):
        try:
            return imported, *largest_difference(imported.proto, imported.module, entries, fixed, imported.doubtful)
        except PruningError as error:
            refusal = refusal or error
    assert refusal is not None  # without a candidate the reason is raised
    raise refusal


def _read(path: str) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=is_trusted(path))  # weights in a second file: only where trusted
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read: {error.strerror or error}") from None
    except onnx.checker.ValidationError as error:
        raise refused("E222", f"the weights of '{path}' in a second file cannot be read: {first_line(error)}") from None
    except DecodeError:
        raise refused("E220", f"'{path}' is not an ONNX file, or it is cut short") from None


def _note(proto: onnx.ModelProto, imported: Imported, apart: float, scale: float, fixed: int | None) -> str:
    maker = f" by {proto.producer_name} {proto.producer_version}".rstrip() if proto.producer_name else ""
    parts = [
        f"ONNX{maker}; answers as ONNX Runtime does on generated inputs "
        f"(largest difference {apart:.2g}, outputs up to {scale:.3g})"
    ]
    if imported.dequantised:
        parts.append(f"stored as whole numbers and dequantised: {imported.dequantised} of its tensors")
    if fixed is not None:
        parts.append(f"the batch of {fixed} that the file fixes was opened")
    left_out = len(proto.graph.output) - len(imported.proto.graph.output)
    if left_out:
        parts.append("what is no real number (such as labels) was left out of the outputs")
    return "; ".join(parts)
