"""Prunable layers, found by operator: a parameter that a convolution or matrix product uses as its weight.

The class of the module does not matter: torch's Linear, a packed attention projection and GPT-2's Conv1D are alike.
An embedding is the matrix that one-hot tokens are multiplied by: its rows are dimensions, its columns tokens.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod

import torch
from torch import Tensor, fx, nn

EMBEDDING = "aten.embedding.default"
# Where the weight stands among an operator's arguments, and how it is stored.
WEIGHT_USES: dict[str, tuple[int, str]] = {
    **{f"aten.conv{d}d.{v}": (1, f"conv{d}d") for d in (1, 2, 3) for v in ("default", "padding")},
    "aten.conv_transpose1d.default": (1, "conv_transpose1d"),
    "aten.conv_transpose2d.input": (1, "conv_transpose2d"),
    "aten.conv_transpose3d.input": (1, "conv_transpose3d"),
    "aten.linear.default": (1, "linear"),
    "aten.addmm.default": (2, "addmm"),
    "aten.mm.default": (1, "matmul"),
    "aten.matmul.default": (1, "matmul"),
    EMBEDDING: (0, "embedding"),
}
_STORED_IN_OUT = frozenset({"addmm", "matmul", "embedding", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
_TURNED = {"linear": "matmul", "matmul": "linear", "addmm": "linear"}  # what a use is when it reads `weight.t()`
_TURNS = frozenset({"aten.t.default", "aten.transpose.int", "aten.permute.default"})
BATCH_NORM = "aten._native_batch_norm_legit_no_training.default"
NONLINEAR = frozenset("relu hardtanh gelu silu sigmoid tanh hardswish leaky_relu elu mish softplus hardsigmoid".split())
_TRANSPARENT = frozenset({BATCH_NORM, "getitem", "aten.clone.default", "aten.dropout.default", "aten.alias.default"})


@dataclass(frozen=True)
class Layer:
    """One prunable weight. `weight_shape` is canonical: (out, in, *kernel), `in` per group."""

    name: str  # dotted name of the module, or of the parameter where it is not called `weight`
    kind: str
    parameter: str  # dotted name of the weight
    weight_shape: tuple[int, ...]
    groups: int
    params: int  # weight and bias
    macs: int  # per example, all uses of the weight
    bias: str | None = None
    batch_norm: str | None = None  # dotted name of the scale of the batch norm that follows
    nodes: tuple[fx.Node, ...] = field(default=(), repr=False, compare=False)  # where it is used
    activation: fx.Node | None = field(default=None, repr=False, compare=False)  # its output after norm, nonlinearity

    @property
    def n_weights(self) -> int:
        """Elements of the weight."""
        return prod(self.weight_shape)

    @property
    def stored_in_out(self) -> bool:
        """Whether the parameter is stored (in, out, ...)."""
        return self.kind in _STORED_IN_OUT

    def canonical(self, stored: Tensor) -> Tensor:
        """Return the stored parameter as (out, in, *kernel)."""
        if not self.stored_in_out:
            return stored
        if self.groups == 1:
            return stored.transpose(0, 1)
        per_group = _grouped(stored, self.groups).transpose(1, 2)  # (groups, out/g, in/g, *kernel)
        return per_group.flatten(0, 1)

    def stored(self, canonical: Tensor) -> Tensor:
        """Undo `canonical`."""
        if not self.stored_in_out:
            return canonical
        if self.groups == 1:
            return canonical.transpose(0, 1)
        return _grouped(canonical, self.groups).transpose(1, 2).flatten(0, 1)


def _grouped(weight: Tensor, groups: int) -> Tensor:
    return weight.reshape(groups, -1, *weight.shape[1:])


@dataclass(frozen=True)
class NotPrunable:
    """A parameter that is no layer, and why."""

    name: str
    shape: tuple[int, ...]
    params: int
    why: str


def tensor_at(module: nn.Module, dotted: str) -> Tensor:
    """Return the parameter or buffer with this dotted name."""
    path, _, leaf = dotted.rpartition(".")
    value: Tensor = getattr(module.get_submodule(path), leaf)
    return value


def operator(node: fx.Node) -> str:
    """Return `aten.conv2d.default` and the like; Python functions by their own name."""
    return str(node.target) if isinstance(node.target, torch._ops.OpOverload) else getattr(node.target, "__name__", "")


@dataclass(frozen=True)
class _Use:
    """One node that uses a parameter as its weight."""

    node: fx.Node
    parameter: str
    kind: str
    groups: int
    bias: str | None


def find_layers(module: fx.GraphModule, macs_by_node: dict[str, int]) -> tuple[Layer, ...]:
    """Return the prunable layers of a functional graph, in the order of their first use; tied weights once."""
    uses: dict[tuple[int, tuple[int, ...]], list[_Use]] = defaultdict(list)
    for use in _uses(module):
        weight = tensor_at(module, use.parameter)
        uses[(weight.data_ptr(), tuple(weight.shape))].append(use)
    return tuple(_layer(module, group, macs_by_node) for group in uses.values())


def _uses(module: fx.GraphModule) -> Iterator[_Use]:
    parameters = dict(module.named_parameters(remove_duplicate=False))
    first = {id(parameter): name for name, parameter in module.named_parameters()}  # tied names answer to their first
    for node in module.graph.nodes:
        if operator(node) not in WEIGHT_USES:
            continue
        source, kind = _weight_of(node)
        weight = parameters.get(str(source.target)) if source.op == "get_attr" else None
        if weight is not None and weight.numel() and (weight.dim() == 2 or kind.startswith("conv")):
            bias = parameters.get(_bias(node, WEIGHT_USES[operator(node)][0]))
            yield _Use(node, first[id(weight)], kind, _groups(node, kind), None if bias is None else first[id(bias)])


def _weight_of(node: fx.Node) -> tuple[fx.Node, str]:
    """Return the node of the weight, behind `weight.t()` too, and how this use finds it stored."""
    position, kind = WEIGHT_USES[operator(node)]
    source = node.args[position]
    assert isinstance(source, fx.Node)  # tensors are nodes
    if kind in _TURNED and operator(source) in _TURNS and isinstance(source.args[0], fx.Node):
        return source.args[0], _TURNED[kind]
    return source, kind


def reads_in_out(node: fx.Node) -> bool:
    """Whether this use of a weight reads it as (in, out, ...)."""
    return _weight_of(node)[1] in _STORED_IN_OUT


def _groups(node: fx.Node, kind: str) -> int:
    position = 6  # of every convolution, plain or transposed
    return int(node.args[position]) if kind.startswith("conv") and len(node.args) > position else 1  # type: ignore[arg-type]


def _bias(node: fx.Node, weight_position: int) -> str:
    if operator(node) == EMBEDDING:
        return ""
    position = 0 if operator(node) == "aten.addmm.default" else weight_position + 1
    bias = node.args[position] if len(node.args) > position else None
    return str(bias.target) if isinstance(bias, fx.Node) and bias.op == "get_attr" else ""


def _layer(module: fx.GraphModule, uses: list[_Use], macs_by_node: dict[str, int]) -> Layer:
    first = uses[0]
    stored = tensor_at(module, first.parameter)
    bias_params = tensor_at(module, first.bias).numel() if first.bias else 0
    layer = Layer(
        name=first.parameter.removesuffix(".weight"),
        kind=first.kind,
        parameter=first.parameter,
        weight_shape=tuple(stored.shape),
        groups=first.groups,
        params=stored.numel() + bias_params,
        macs=sum(macs_by_node.get(use.node.name, 0) for use in uses),
        bias=first.bias,
        batch_norm=_batch_norm(first.node),
        nodes=tuple(use.node for use in uses),
        activation=_activation(first.node),
    )
    return replace(layer, weight_shape=tuple(layer.canonical(stored).shape))


def _only_user(node: fx.Node) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def _batch_norm(node: fx.Node) -> str | None:
    user = _only_user(node)
    if user is None or operator(user) != BATCH_NORM or user.args[0] is not node:
        return None
    scale = user.args[1]
    return str(scale.target) if isinstance(scale, fx.Node) and scale.op == "get_attr" else None


def _activation(node: fx.Node) -> fx.Node:
    """Follow the layer's output through its batch norm to the first nonlinearity, as long as nothing else reads it."""
    while (user := _only_user(node)) is not None:
        name = operator(user)
        if name.split(".")[1:2] and name.split(".")[1] in NONLINEAR:
            return user
        if name not in _TRANSPARENT:
            break
        node = user
    return node


def embedding_counts(tokens: Tensor, vocabulary: int) -> Tensor:
    """Return how often each token is read, (vocabulary,) float64: the squared norm of its column's one-hot inputs."""
    return torch.bincount(tokens.flatten(), minlength=vocabulary).double()


def leftovers(module: fx.GraphModule, layers: tuple[Layer, ...]) -> tuple[NotPrunable, ...]:
    """Return the parameters that are no layer, each with a reason; vectors only where they stand as a weight."""
    covered = {tensor_at(module, layer.parameter).data_ptr() for layer in layers}
    found = []
    for node in module.graph.nodes:
        if node.op != "get_attr" or not isinstance(tensor_at(module, node.target), nn.Parameter):
            continue
        weight = tensor_at(module, node.target)
        if weight.data_ptr() not in covered and (weight.dim() != 1 or not weight.numel() or _stands_as_weight(node)):
            name = str(node.target).removesuffix(".weight")
            found.append(NotPrunable(name, tuple(weight.shape), weight.numel(), _why(node, weight)))
    return tuple(found)


def _stands_as_weight(node: fx.Node) -> bool:
    return any(operator(user) in WEIGHT_USES and _weight_of(user)[0] is node for user in node.users)


def _why(node: fx.Node, weight: Tensor) -> str:
    if not weight.numel():
        return "it is empty"
    if not weight.dim():
        return "it is a single number"
    if _stands_as_weight(node):
        return f"a layer's weight is one matrix; this is {'a vector' if weight.dim() == 1 else 'a stack of matrices'}"
    users = sorted({operator(user) for user in node.users})
    if any(user in WEIGHT_USES for user in users):
        return f"{users[0]} does not use it as its weight"
    readers = ", ".join(users) or "nothing"
    return f"no convolution, linear, matmul or embedding uses it as a weight; it is read by {readers}"
