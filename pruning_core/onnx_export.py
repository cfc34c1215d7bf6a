"""A module as an ONNX model: weights keep their torch names, no path of this machine is in it, equality is checked."""

from collections.abc import Iterator
from itertools import count
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import onnx
import onnxruntime
import onnxscript.optimizer
import torch
from torch import Tensor, nn

from pruning_core.data import EvalData
from pruning_core.errors import ExportError
from pruning_core.graph import ModelGraph
from pruning_core.layers import tensor_at

TOLERANCE = 1e-4  # of the largest output
CHECK_SAMPLES = 256
_SKELETONS: WeakKeyDictionary[nn.Module, tuple[object, bytes]] = WeakKeyDictionary()
_CONVERTING = Lock()  # torch.onnx keeps state of its own while it converts
_LAYER_OPERATORS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_PASS_ON = frozenset({"Transpose", "Identity", "Reshape", "Cast", "Squeeze", "Unsqueeze"})


def to_onnx(module: nn.Module, example_inputs: tuple[Tensor, ...], original: nn.Module | None = None) -> bytes:
    """Return `module` as a serialised ONNX model with a dynamic batch; one input `input` (else `input_0`, ...).

    A conversion takes seconds, filling in weights takes none: a masked copy names the `original` that it was made from,
    whose conversion is used again.
    """
    proto = onnx.load_from_string(_skeleton(original or module, example_inputs))
    state = module.state_dict()
    for entry in proto.graph.initializer:
        if entry.name in state:
            entry.raw_data = _bytes(state[entry.name])
    try:
        onnx.checker.check_model(proto, full_check=True)
        return bytes(proto.SerializeToString())
    except Exception as error:  # the checker, or protobuf above 2 GB
        raise ExportError(f"the ONNX model is not valid: {_first_line(error)}") from None


def session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session on the CPU with exactly `threads` threads that do not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def feed(running: onnxruntime.InferenceSession, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """Return arrays of `inputs` by the session's input names."""
    return {entry.name: value.numpy() for entry, value in zip(running.get_inputs(), inputs, strict=True)}


def largest_difference(model: bytes, module: nn.Module, batches: Iterator[tuple[Tensor, ...]]) -> float:
    """Return the largest absolute difference of outputs between ONNX Runtime and torch; refused above `TOLERANCE`."""
    running = session(model)
    largest = scale = 0.0
    for inputs in batches:
        with torch.inference_mode():
            expected = module(*inputs)
        expected = expected[0] if isinstance(expected, (tuple, list)) else expected
        found = running.run(None, feed(running, inputs))[0]
        largest = max(largest, float(np.abs(found - expected.numpy()).max()))
        scale = max(scale, float(expected.abs().max()))
    if not largest <= TOLERANCE * scale:
        raise ExportError(f"ONNX Runtime answers differ by {largest:.3g} (outputs up to {scale:.3g}) from the model")
    return largest


def check_batches(data: EvalData | None, example_inputs: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """Yield what an export is checked on: up to `CHECK_SAMPLES` real examples, else the example inputs."""
    if data is None:
        yield example_inputs
        return
    for inputs, _ in data.take(CHECK_SAMPLES).batches(64):
        yield inputs


def onnx_layer_nodes(onnx_model: onnx.ModelProto, graph: ModelGraph) -> dict[str, str]:
    """Return node name -> layer name for the nodes that use a layer's weight, found by the initializer's name."""
    layer_at = {tensor_at(graph.module, layer.parameter).data_ptr(): layer.name for layer in graph.layers}
    parameters = graph.module.named_parameters(remove_duplicate=False)  # tied weights under all their names
    layer_of = {name: layer_at[p.data_ptr()] for name, p in parameters if p.data_ptr() in layer_at}
    found = {}
    for node in onnx_model.graph.node:
        source = next((layer_of[name] for name in node.input if name in layer_of), None)
        if source and node.op_type in _PASS_ON:
            layer_of[node.output[0]] = source
        elif source and node.op_type in _LAYER_OPERATORS:
            found[node.name] = source
    return found


def _skeleton(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> bytes:
    """Return the ONNX model of `module` without the values of its weights; made once."""
    state = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in module.state_dict().items())
    signature = (state, tuple(tuple(example.shape[1:]) for example in example_inputs))
    with _CONVERTING:
        known, skeleton = _SKELETONS.get(module, (None, b""))
        if known != signature:
            skeleton = _bare(module, example_inputs)
            _SKELETONS[module] = signature, skeleton
    return skeleton


def _bare(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> bytes:
    names = ["input"] if len(example_inputs) == 1 else [f"input_{i}" for i in range(len(example_inputs))]
    weights = set(module.state_dict())
    program = _converted(module, example_inputs, names)
    _optimise(program.model, weights)
    proto = program.model_proto
    _name_batch(proto)
    _strip(proto)
    _name_nodes(proto)
    for entry in proto.graph.initializer:
        if entry.name in weights:
            entry.ClearField("raw_data")
    return bytes(proto.SerializeToString())


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _converted(module: nn.Module, example_inputs: tuple[Tensor, ...], names: list[str]) -> Any:
    examples = tuple(example[:1].repeat(2, *(1,) * (example.dim() - 1)) for example in example_inputs)
    dynamic = tuple({0: torch.export.Dim.DYNAMIC} for _ in examples)
    try:
        program = torch.onnx.export(
            module,
            examples,
            dynamo=True,
            dynamic_shapes=dynamic,
            optimize=False,
            verbose=False,
            input_names=names,
            output_names=["logits"],
        )
    except Exception as error:  # of every kind: whatever a step of the conversion raises
        raise ExportError(f"the model cannot be converted to ONNX: {_first_line(error)}") from None
    return program


def _optimise(model: Any, weights: set[str]) -> None:
    """Fold what is constant, but no weight: as inputs of the graph they are left as they are, and under their names."""
    graph, hidden = model.graph, []
    for name in weights & set(graph.initializers):
        value = graph.initializers.pop(name)
        hidden.append((value, value.const_value))
        value.const_value = None
        graph.inputs.append(value)
    onnxscript.optimizer.optimize_ir(model)
    for value, tensor in sorted(hidden, key=lambda pair: str(pair[0].name)):
        graph.inputs.remove(value)
        value.const_value = tensor
        graph.initializers[value.name] = value


def _name_batch(proto: onnx.ModelProto) -> None:
    """Call the free dimension `batch` wherever it stands."""
    symbol = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]:
        for dim in value.type.tensor_type.shape.dim:
            if symbol and symbol in dim.dim_param:
                dim.dim_param = dim.dim_param.replace(symbol, "batch")


def _strip(message: Any) -> None:
    """Remove notes of the exporter, which hold stack traces and paths, in a protobuf message and below."""
    for name in ("metadata_props", "doc_string"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _strip(part)


def _name_nodes(proto: onnx.ModelProto) -> None:
    """Give every node a name of its own."""
    taken: set[str] = set()
    for node in proto.graph.node:
        name = node.name or node.op_type
        numbered = (f"{name}_{number}" for number in count(2))
        node.name = name if name not in taken else next(other for other in numbered if other not in taken)
        taken.add(node.name)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]
