"""LSTM, GRU and RNN in all directions. Hochreiter and Schmidhuber 1997; Cho et al. 2014 (GRU), arXiv:1406.1078.

What torch's own layers compute runs as such, with their parameters; peepholes, other activations, clipping, lengths of
sequences and Keras's GRU run step by step.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Unsupported, is_one

TORCH = "Torch"  # prefix of our own operators: the same layer with torch's parameters, made by gates.py
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "Relu": torch.relu,
    "Affine": lambda x, alpha=1.0, beta=0.0: alpha * x + beta,
    "LeakyRelu": lambda x, alpha=0.01, beta=0.0: F.leaky_relu(x, alpha),
    "ThresholdedRelu": lambda x, alpha=1.0, beta=0.0: F.threshold(x, alpha, 0.0),
    "ScaledTanh": lambda x, alpha=1.0, beta=1.0: alpha * torch.tanh(beta * x),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: torch.clamp(alpha * x + beta, 0, 1),
    "Elu": lambda x, alpha=1.0, beta=0.0: F.elu(x, alpha),
    "Softsign": F.softsign,
    "Softplus": F.softplus,
}
_OPTIONAL = {"Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"}
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


@operator("TorchLSTM", "TorchGRU", "TorchRNN")
def layer(node: Node, x: Tensor, hidden: Tensor | None, cell: Tensor | None, *weights: Tensor) -> Any:
    """One layer of torch: weights (gates x hidden, in), (gates x hidden, hidden) and biases, of each direction.

    The states are (directions, batch, hidden); the outputs (steps, directions, batch, hidden) and the last states.
    """
    direction, by_batch = node.get("direction", "forward"), bool(node.get("layout"))
    x = x.transpose(0, 1) if by_batch else x
    x = x.flip(0) if direction == "reverse" else x
    both, size = direction == "bidirectional", node["hidden_size"]
    start = [_state(x, state, 2 if both else 1, size, by_batch) for state in (hidden, cell)]
    options = (node["has_bias"], 1, 0.0, False, both, False)
    if node.operator == "TorchLSTM":
        y, *last = torch.lstm(x, start, list(weights), *options)
    else:
        function = torch.gru if node.operator == "TorchGRU" else node_function(node)
        y, *last = function(x, start[0], list(weights), *options)
    y = y.reshape(*y.shape[:2], 2 if both else 1, -1).permute(0, 2, 1, 3)
    return _results(y.flip(0) if direction == "reverse" else y, last, by_batch)


def node_function(node: Node) -> Callable[..., Any]:
    """Return torch's plain recurrent layer with the node's activation."""
    return torch.rnn_relu if node.get("activations", ["Tanh"])[0] == "Relu" else torch.rnn_tanh


def _state(x: Tensor, state: Tensor | None, directions: int, size: int, by_batch: bool) -> Tensor:
    """Return the first state (directions, batch, hidden); one stored for a single example is that of all."""
    if state is None:
        return torch.zeros((directions, x.shape[1], size), dtype=x.dtype)
    state = state.transpose(0, 1) if by_batch else state
    return state.expand(directions, x.shape[1], size) if is_one(state.shape[1]) else state


def _results(y: Tensor, last: list[Tensor], by_batch: bool) -> tuple[Tensor, ...]:
    if by_batch:
        return (y.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in last))
    return (y, *last)


@operator("LSTM", "GRU", "RNN")
def steps(
    node: Node,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    bias: Tensor | None = None,
    lengths: Tensor | None = None,
    hidden: Tensor | None = None,
    cell: Tensor | None = None,
    peepholes: Tensor | None = None,
) -> Any:
    """The same, step by step: w (directions, gates x hidden, in), r (directions, gates x hidden, hidden)."""
    by_batch, direction = bool(node.get("layout")), node.get("direction", "forward")
    x = x.transpose(0, 1) if by_batch else x
    size, count = r.shape[-1], w.shape[0]
    first = [_state(x, state, count, size, by_batch) for state in (hidden, cell)]
    outputs, lasts = [], list[list[Tensor]]()
    for i in range(count):
        backward = direction == "reverse" or i == 1
        y, *last = _one_direction(
            node,
            i,
            _turned(x, lengths) if backward else x,
            (w[i], r[i], None if bias is None else bias[i], None if peepholes is None else peepholes[i]),
            (first[0][i], first[1][i]),
            lengths,
        )
        outputs.append(_turned(y, lengths) if backward else y)
        lasts.append(last)
    last_states = [torch.stack(states) for states in zip(*lasts, strict=True)]
    return _results(torch.stack(outputs, 1), last_states[: 2 if node.operator == "LSTM" else 1], by_batch)


def _turned(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the steps (steps, batch, ...) in reverse, each example up to its length."""
    if lengths is None:
        return x.flip(0)
    step = torch.arange(x.shape[0]).reshape(-1, 1)
    places = torch.where(step < lengths, lengths - 1 - step, step).to(torch.int64)
    return torch.gather(x, 0, places.reshape(*places.shape, *[1] * (x.dim() - 2)).expand(x.shape))


def _one_direction(
    node: Node,
    index: int,
    x: Tensor,
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    states: tuple[Tensor, Tensor],
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    cell_of = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[node.operator]
    functions = _activations(node, index)
    (hidden, cell), outputs = states, list[Tensor]()
    for t in range(x.shape[0]):
        new_hidden, new_cell = cell_of(node, x[t], hidden, cell, weights, functions)
        if lengths is not None:
            lives = (t < lengths).reshape(-1, 1)
            outputs.append(torch.where(lives, new_hidden, torch.zeros_like(new_hidden)))
            new_hidden, new_cell = torch.where(lives, new_hidden, hidden), torch.where(lives, new_cell, cell)
        else:
            outputs.append(new_hidden)
        hidden, cell = new_hidden, new_cell
    return torch.stack(outputs), hidden, cell


def _activations(node: Node, index: int) -> list[Callable[[Tensor], Tensor]]:
    """Return the functions of one direction with their settings."""
    count = len(DEFAULTS[node.operator])
    names = list(node.get("activations", DEFAULTS[node.operator] * (index + 1)))
    alphas, betas = list(node.get("activation_alpha", [])), list(node.get("activation_beta", []))
    found = []
    for i, name in enumerate(names):
        if name not in ACTIVATIONS:
            raise Unsupported(f"the activation '{name}' is not supported")
        settings = dict[str, float]()
        if name in _OPTIONAL:
            settings |= {"alpha": alphas.pop(0)} if alphas else {}
            settings |= {"beta": betas.pop(0)} if betas and name in ("Affine", "ScaledTanh", "HardSigmoid") else {}
        if i // count == index:
            found.append(_with(ACTIVATIONS[name], settings))
    return found


def _with(function: Callable[..., Tensor], settings: dict[str, float]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x, **settings)


def _parts(node: Node, x: Tensor, hidden: Tensor, weights: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return for each gate what the input and what the state contribute, biases in both."""
    w, r, bias, _ = weights
    of_input, of_state = bias.chunk(2) if bias is not None else (None, None)
    gates = GATES[node.operator]
    return list(F.linear(x, w, of_input).chunk(gates, -1)), list(F.linear(hidden, r, of_state).chunk(gates, -1))


def _clipped(node: Node, x: Tensor) -> Tensor:
    return x.clamp(-node["clip"], node["clip"]) if node.get("clip") else x


def _lstm(node: Node, x: Tensor, hidden: Tensor, cell: Tensor, weights: Any, f: Any) -> tuple[Tensor, Tensor]:
    """Gates in the order input, output, forget, cell."""
    i, o, forget, c = (a + b for a, b in zip(*_parts(node, x, hidden, weights), strict=True))
    p = weights[3].chunk(3) if weights[3] is not None else (0.0, 0.0, 0.0)
    i = f[0](_clipped(node, i + p[0] * cell))
    forget = 1 - i if node.get("input_forget") else f[0](_clipped(node, forget + p[2] * cell))
    new = forget * cell + i * f[1](_clipped(node, c))
    return f[0](_clipped(node, o + p[1] * new)) * f[2](new), new


def _gru(node: Node, x: Tensor, hidden: Tensor, cell: Tensor, weights: Any, f: Any) -> tuple[Tensor, Tensor]:
    """Gates in the order update, reset, hidden; the reset comes before or after the product with the state."""
    (xz, xr, xh), (hz, hr, hh) = _parts(node, x, hidden, weights)
    z, r = f[0](_clipped(node, xz + hz)), f[0](_clipped(node, xr + hr))
    if node.get("linear_before_reset"):
        candidate = xh + r * hh
    else:
        matrix = weights[1].chunk(3)[2]
        bias = weights[2].chunk(6)[5] if weights[2] is not None else None
        candidate = xh + F.linear(r * hidden, matrix, bias)
    new = f[1](_clipped(node, candidate))
    return (1 - z) * new + z * hidden, cell


def _rnn(node: Node, x: Tensor, hidden: Tensor, cell: Tensor, weights: Any, f: Any) -> tuple[Tensor, Tensor]:
    """One gate."""
    (a,), (b,) = _parts(node, x, hidden, weights)
    return f[0](_clipped(node, a + b)), cell
