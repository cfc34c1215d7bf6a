"""Recurrent nodes with stored weights, made into torch's own layers: gates in torch's order, under torch's names."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pruning_core.onnx_import.module import Argument
from pruning_core.onnx_import.operators.recurrent import DEFAULTS, GATES, TORCH
from pruning_core.onnx_import.table import Node
from pruning_core.onnx_import.values import known, numbers
from pruning_core.onnx_import.weights import Constants

ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}  # torch's gates by their place in ONNX
_MOVES = frozenset("Expand Slice Transpose Reshape Squeeze Unsqueeze Identity Split".split())


def is_plain(node: Node, inputs: tuple[str, ...], constants: Constants) -> bool:
    """Whether torch's layer computes the same."""
    if node.operator not in GATES:
        return False
    given = (*inputs, *[""] * (8 - len(inputs)))
    stored = given[1] in constants and given[2] in constants and (not given[3] or given[3] in constants)
    plain = not given[4] and not given[7] and not node.get("clip") and not node.get("input_forget")
    activations, default = node.get("activations"), DEFAULTS[node.operator]
    usual = not activations or activations == default * (len(activations) // len(default))
    if node.operator == "RNN" and activations and set(activations) == {"Relu"}:
        usual = True
    reset = node.operator != "GRU" or bool(node.get("linear_before_reset"))
    return stored and plain and usual and reset


def as_layer(
    node: Node, inputs: tuple[str, ...], constants: Constants
) -> tuple[Node, tuple[str, str, str], tuple[Argument, ...]]:
    """Return the node in torch's form, the names of input and first states, and the stored weights."""
    given = (*inputs, *[""] * (8 - len(inputs)))
    layer = constants.layer(node, given[1], given[3])
    w, r = constants[given[1]], constants[given[2]]
    bias = constants[given[3]] if given[3] else None
    stored: list[Argument] = []
    for direction in range(len(w)):
        end = "_reverse" if direction else ""
        named = {"weight_ih_l0": w[direction], "weight_hh_l0": r[direction]}
        if bias is not None:
            named |= dict(zip(("bias_ih_l0", "bias_hh_l0"), bias[direction].chunk(2), strict=True))
        for leaf, tensor in named.items():
            stored.append(constants.store_weight(layer, leaf + end, _ordered(node.operator, tensor)))
    attributes = {**node.attributes, "has_bias": bias is not None, "hidden_size": r.shape[-1]}
    changed = replace(node, operator=TORCH + node.operator, attributes=attributes)
    return changed, (given[0], given[5], given[6]), tuple(stored)


def note_zeros(
    zeros: set[str], node: Node, inputs: Sequence[str], outputs: Sequence[str], constants: Constants
) -> None:
    """Add the values that are zero everywhere, such as those made for the first state of a recurrent layer."""
    zeros.update(name for name in inputs if name in constants and not constants[name].any())
    made = node.operator == "ConstantOfShape" and not any(map(float, numbers(node.get("value", known([0.0])))))
    if made or (node.operator in _MOVES and inputs[0] in zeros):
        zeros.update(outputs)


def _ordered(operator: str, tensor: Tensor) -> Tensor:
    gates = tensor.chunk(GATES[operator])
    return torch.cat([gates[place] for place in ORDER[operator]])
