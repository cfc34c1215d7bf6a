"""One call from an ONNX model to a torch module."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from torch import Tensor

from pruning_core.errors import ModelError
from pruning_core.onnx_import.batch import MANY, Batch, FixedBatch
from pruning_core.onnx_import.build import Builder
from pruning_core.onnx_import.module import MOST_INPUTS, OnnxModel
from pruning_core.onnx_import.reading import opsets_of, ordered


@dataclass(frozen=True, eq=False)
class Imported:
    """The module, and what was done on the way."""

    module: OnnxModel
    proto: onnx.ModelProto  # what the module computes: functions written out, outputs of real numbers
    dequantised: int  # weights stored as whole numbers, now real ones
    doubtful: tuple[str, ...]  # nodes where a fixed batch could stand in two places


def import_model(proto: onnx.ModelProto, examples: Sequence[Tensor], fixed_batch: int | None = None) -> Imported:
    """Return the model as a module.

    `examples` have the types and shapes of its inputs; where the file fixes the batch it is opened, and the examples
    hold `fixed_batch` examples.
    """
    proto = ordered(proto)
    if len(examples) > MOST_INPUTS:
        raise ModelError(f"the model has {len(examples)} inputs; at most {MOST_INPUTS} are read")
    batch = Batch() if fixed_batch is None else FixedBatch(fixed_batch)
    if fixed_batch is not None:
        examples = [example.repeat(MANY, *[1] * (example.dim() - 1)) for example in examples]
    builder = Builder(opsets_of(proto), batch)
    module = builder.build(proto.graph, examples)
    doubtful = tuple(batch.doubtful) if isinstance(batch, FixedBatch) else ()
    return Imported(module, proto, builder.dequantised, doubtful)
