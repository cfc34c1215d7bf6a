"""The user's own module with smaller tensors: its class, its forward, its training behaviour.

Sizes that modules hold as numbers (out_channels, num_heads, ...) are corrected by name; whether that was enough is not
argued but run. Where the forward itself says an old size there is no such module, and the graph is what remains.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from torch import Tensor, fx, nn

from pruning_core.coupling import Coupling
from pruning_core.coupling.remains import Lines
from pruning_core.layers import operator
from pruning_core.slimming.compare import Inputs, difference
from pruning_core.slimming.tensors import IntArray, State, smaller, state_of

# Names that libraries give to the number of heads of an attention module, and to the width of all heads together.
HEADS = frozenset("num_heads n_heads n_head heads num_attention_heads num_key_value_heads num_kv_heads".split())
WIDTHS = frozenset("all_head_size attn_dim val_attn_dim key_attn_dim split_size inner_dim total_dim".split())

OWN_TOLERANCE = 1e-5  # of the largest output: the same operators on the same numbers


def slim_module(
    module: nn.Module,
    coupling: Coupling,
    removed: IntArray,
    graph: fx.GraphModule,
    batches: Iterable[Inputs],
    state: State | None = None,
) -> nn.Module | None:
    """Return a copy of `module` without the groups `removed`, or None where it does not compute what `graph` computes.

    `graph` is the slim graph of the same values (those of `state`, else the module's own); both are run on `batches`
    and may differ by rounding alone.
    """
    small = _copy(module, coupling.lines(removed), state or {})
    _correct_sizes(small, graph)
    _correct_heads(small, coupling, removed)
    try:
        found, scale, _ = difference(small, graph, batches)
    except Exception:  # whatever a forward raises that still expects the old sizes
        return None
    return small if found <= OWN_TOLERANCE * scale else None


def _copy(module: nn.Module, lines: Mapping[str, Lines], state: State) -> nn.Module:
    tensors = state_of(module)
    made = smaller({name: state.get(name, tensor) for name, tensor in tensors.items()}, lines)
    copies: dict[int, Any] = {id(tensor): made[name] for name, tensor in tensors.items()}
    return deepcopy(module, copies).eval()  # deepcopy asks this table first, so the large tensors are never copied


def _correct_sizes(small: nn.Module, graph: fx.GraphModule) -> None:
    """Sizes of layers follow their tensors; numbers of groups are those of the graph."""
    groups = dict(_groups(graph))
    for name, layer in small.named_modules():
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor) and weight.dim():
            for attribute, value in _sizes(layer, weight, groups.get(f"{name}.weight".lstrip("."), 1)).items():
                if isinstance(getattr(layer, attribute, None), (int, tuple)):
                    setattr(layer, attribute, value)


def _groups(graph: fx.GraphModule) -> Iterator[tuple[str, int]]:
    for node in graph.graph.nodes:
        name = operator(node)
        if name.startswith("aten.conv") and len(node.args) > 6:
            yield str(node.args[1].target), node.args[6]
        if name == "aten.group_norm.default" and len(node.args) > 2 and node.args[2] is not None:
            yield str(node.args[2].target), node.args[1]


def _sizes(layer: nn.Module, weight: Tensor, groups: int) -> dict[str, Any]:
    """Return the numbers of one layer by attribute, as torch names them (nx and nf: transformers' Conv1D)."""
    first, second = weight.shape[0], weight.shape[1] if weight.dim() > 1 else 0
    if hasattr(layer, "transposed") and hasattr(layer, "out_channels"):
        inside, outside = (first, second * groups) if layer.transposed else (second * groups, first)
        return {"in_channels": inside, "out_channels": outside, "groups": groups}
    if hasattr(layer, "num_groups"):
        return {"num_groups": groups, "num_channels": first}
    if weight.dim() == 1:
        return {"num_features": first, "normalized_shape": (first,), "num_parameters": first}
    return {"in_features": second, "out_features": first, "nx": first, "nf": second, "embedding_dim": second}


def _correct_heads(small: nn.Module, coupling: Coupling, removed: IntArray) -> None:
    """Attention modules hold the number of their heads: it shrinks as the heads of their weights do."""
    gone = set(removed.tolist())
    corrected: set[int] = set()
    for (parameter, _), groups in coupling.roots.items():
        heads = set(groups.tolist()) & coupling.heads
        owner = _owner(small, parameter, HEADS) if heads & gone else None
        if owner is None or id(owner) in corrected:
            continue
        corrected.add(id(owner))
        for attribute in (HEADS | WIDTHS) & set(vars(owner)):
            value, n_left = getattr(owner, attribute), len(heads - gone)
            if isinstance(value, int) and value * n_left % len(heads) == 0:
                setattr(owner, attribute, value * n_left // len(heads))


def _owner(module: nn.Module, parameter: str, attributes: frozenset[str]) -> nn.Module | None:
    """Return the nearest module around `parameter` that has one of `attributes`."""
    path = parameter.split(".")[:-1]
    for depth in range(len(path), -1, -1):
        candidate = module.get_submodule(".".join(path[:depth]))
        if attributes & set(vars(candidate)):
            return candidate
    return None
