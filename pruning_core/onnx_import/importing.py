"""One call from an ONNX model to a torch module."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx
from torch import Tensor

from pruning_core.errors import ModelError, PruningError
from pruning_core.onnx_import.batch import MANY, Batch, FixedBatch, Reshaped
from pruning_core.onnx_import.build import Builder
from pruning_core.onnx_import.module import MOST_INPUTS, OnnxModel
from pruning_core.onnx_import.reading import opsets_of, ordered

MOST_TRIES = 16  # of places for a batch that the file fixes
_TORCH = logging.getLogger("torch._subclasses.fake_tensor")
MOST_REPEATED = 4  # refusals in one and the same sentence: another place does not help


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
    return next(candidates(proto, examples, fixed_batch))


def candidates(
    proto: onnx.ModelProto, examples: Sequence[Tensor], fixed_batch: int | None = None
) -> Iterator[Imported]:
    """Yield the model as `import_model` does; several where it is not certain where a fixed batch stands."""
    proto = ordered(proto)
    if len(examples) > MOST_INPUTS:
        raise ModelError(f"the model has {len(examples)} inputs; at most {MOST_INPUTS} are read")
    if fixed_batch is None:
        yield _built(proto, examples, Batch())
        return
    many = [example.repeat(MANY, *[1] * (example.dim() - 1)) for example in examples]
    refusals, choices = list[PruningError](), dict[Reshaped, int]()
    for _ in range(MOST_TRIES):
        batch = FixedBatch(fixed_batch, choices)
        try:
            yield _built(proto, many, batch)
        except PruningError as error:
            refusals.append(error)
        following = batch.other_choices()
        if following is None or [*map(str, refusals)].count(str(refusals[-1] if refusals else "")) >= MOST_REPEATED:
            break
        choices = following
    if refusals:
        raise refusals[0]


def _built(proto: onnx.ModelProto, examples: Sequence[Tensor], batch: Batch) -> Imported:
    builder, level = Builder(opsets_of(proto), batch), _TORCH.level
    _TORCH.setLevel(logging.CRITICAL)  # it logs what does not fit, which here is an answer
    try:
        module = builder.build(proto.graph, examples)
    finally:
        _TORCH.setLevel(level)
    doubtful = tuple(batch.doubtful) if isinstance(batch, FixedBatch) else ()
    return Imported(module, proto, builder.dequantised, doubtful)
