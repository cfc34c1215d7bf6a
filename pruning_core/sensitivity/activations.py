"""Sensitivity to activation sparsity: the smallest activations of one layer are set to zero, its weights stay.

What counts is what the next layer reads: the output after its batch norm and nonlinearity, where these follow at once,
as in Kurtz et al. 2020 (FATReLU, proceedings.mlr.press/v119/kurtz20a), where small outputs of a ReLU become zero too.
The level is met by every input alone, since a kernel skips the zeros of the input it is given: a convolution loses
the smallest of a whole feature map, a matrix product the smallest of each position's vector, as in Q-Sparse
(Wang et al. 2024, arXiv:2407.10969). Zeros that a ReLU made are the smallest, so they go first and cost nothing.
"""

from math import prod

import torch
from torch import Tensor, fx

from pruning_core import masks
from pruning_core.errors import ModelError, PlanError
from pruning_core.graph import ModelGraph
from pruning_core.layers import WEIGHT_USES, Layer, operator
from pruning_core.sensitivity.replay import Frontier, Replay


class ActivationDrop:
    """One cell: the activations of layer `name` at sparsity `level`, a fraction of those of one input.

    `position` is where a frontier should stand, `macs` are those that a fork runs again for one example.
    """

    def __init__(self, graph: ModelGraph, replay: Replay, name: str, level: float) -> None:
        layer = graph.layer(name)
        if not 0 <= level < 1:
            raise PlanError(f"{name}: activation sparsity {level:g} is outside 0 to 1; below 1 some activations stay")
        if why := why_not_activations(graph, name):
            raise ModelError(f"{name}: {why}")
        self.name, self.level, self.replay = name, level, replay
        self._place = _place(layer, replay)
        self._shape = _activation_shape(layer)
        self._n = prod(self._shape)  # activations that one input of the next layer holds
        route = replay.route((self._place,))
        self.position, self.macs = route.position, route.macs

    @property
    def measured_sparsity(self) -> float:
        """Fraction of the activations that are set to zero; a ReLU may leave more zeros than that."""
        return masks.n_removed(self.level, self._n) / self._n

    def changed(self, frontier: Frontier) -> dict[int, Tensor]:
        """Return the value that is different, by its place; `frontier` stands at `position`."""
        value: Tensor = frontier.values[self._place]
        unit = value.shape[-len(self._shape) :]
        if unit != self._shape:  # a replay that computes one place early would drop the smallest of another set
            raise ModelError(f"{self.name}: the replay computes activations of {tuple(unit)}, not of {self._shape}")
        return {self._place: without_smallest(value, self.level, len(self._shape))}

    def fork(self, frontier: Frontier) -> Tensor:
        """Return the model's output (batch, ...) without the smallest activations; `frontier` itself stays."""
        if frontier.position > self.position:
            raise ValueError(f"the frontier is past the activations of '{self.name}'")
        if frontier.position < self.position:
            frontier = self.replay.advance(frontier.copy(), self.position)
        return self.replay.fork_changed(frontier, self.changed(frontier))


def without_smallest(values: Tensor, level: float, n_dims: int) -> Tensor:
    """Return `values` with the fraction `level` of the smallest by magnitude of each unit set to zero.

    A unit is the last `n_dims` dimensions. Exact counts, halves to even; among equals the lowest index stays.
    """
    flat = values.flatten(-n_dims).contiguous()
    n = flat.shape[-1]
    keep = masks.keep_largest(flat.abs(), n - masks.n_removed(level, n))
    return torch.where(keep, flat, torch.zeros_like(flat)).reshape(values.shape)


def why_not_activations(graph: ModelGraph, name: str) -> str | None:
    """Return why the activations of layer `name` cannot be made sparse, and what would work; or None."""
    layer = graph.layer(name)
    if len(layer.nodes) > 1:
        return (
            f"its weight is used in {len(layer.nodes)} places, so it has no activations of its own; prune its weights"
        )
    if layer.activation is None or not _feeds_a_layer(layer.activation):
        return "no later layer reads its output, so its zeros save nothing; choose an earlier layer"
    return None


def _feeds_a_layer(activation: fx.Node) -> bool:
    """Whether some convolution or matrix product depends on this value."""
    seen: set[fx.Node] = set()
    reached = list(activation.users)
    while reached:
        node = reached.pop()
        if operator(node) in WEIGHT_USES or operator(node) in _PRODUCTS:
            return True
        if node not in seen:
            seen.add(node)
            reached.extend(node.users)
    return False


_PRODUCTS = frozenset({"aten.bmm.default", "aten.baddbmm.default", "aten.scaled_dot_product_attention.default"})


def _place(layer: Layer, replay: Replay) -> int:
    """Return where the replay computes the activation; a folded batch norm stands where its convolution does."""
    node = layer.activation
    while layer.name in replay.folded and node is not None and node.name not in replay.places:
        node = next(iter(node.all_input_nodes), None)
    if node is None or node.name not in replay.places or replay.places[node.name] in replay.constants:
        raise ModelError(f"{layer.name}: the model's output and its input do not meet there; choose another layer")
    return replay.places[node.name]


def _activation_shape(layer: Layer) -> tuple[int, ...]:
    """Return the shape of what one input of the next layer holds: (channels, *size), or (features,) of a position."""
    assert layer.activation is not None  # refused before
    value = layer.activation.meta["val"]
    shape = (value[0] if isinstance(value, (tuple, list)) else value).shape
    return tuple(int(size) for size in (shape[1:] if layer.kind.startswith("conv") else shape[-1:]))
