"""`Units`: what one structural wish ranks. Each unit is a group of coupled channels that lives or dies as a whole."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.coupling import Coupling
from pruning_core.coupling.branches import Branch, find_branches
from pruning_core.errors import GranularityError
from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer, tensor_at

IntArray = NDArray[np.int64]
STRUCTURES = {
    "output": "outputs",
    "input": "inputs",
    "head": "outputs",
}  # structure -> side of the layer
BRANCH_STEPS = (0.0, 1.0)  # a branch stays or goes


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a row of coupled layers; stands where a `Layout` does for granularities of the weight alone."""

    structure: str  # output, input, head or branch
    members: tuple[str, ...]  # layers whose outputs (or inputs) these are: one row of the screen
    groups: IntArray  # (n,) their numbers in the coupling
    rows: dict[str, Tensor]  # layer -> unit of each output, int64 (out,); -1: none
    columns: dict[str, Tensor]  # layer -> unit of each input of its weight, int64 (in,); -1: none
    kept_by_reason: dict[str, int]  # why some channels of the members cannot go -> how many
    weights: tuple[int, ...]  # (n,) weights of the members that a unit holds
    arena: None = None
    steps: tuple[float, ...] | None = None
    n_arenas: int = 1

    @property
    def blocks_per_arena(self) -> int:
        """Units that compete."""
        return len(self.groups)

    @cached_property
    def block_sizes(self) -> Tensor:
        """Weights of the members in each unit, int64 (n,)."""
        return torch.tensor(self.weights)

    @property
    def sides(self) -> dict[str, tuple[int, Tensor]]:
        """Member -> the dimension of its weight (out, in, *kernel) that units cut, and the unit of each index."""
        dimension, units = (1, self.columns) if self.structure == "input" else (0, self.rows)
        return {name: (dimension, units[name]) for name in self.members}

    def pool(self, scores: dict[str, Tensor]) -> Tensor:
        """Mean over a unit's slices of the sums of the members' scores (out, in, *kernel); returns (1, units).

        The mean, and not the sum, makes units comparable where not every unit passes through every member.
        """
        if self.structure == "branch":
            return torch.stack([score.float().sum() for score in scores.values()]).sum().reshape(1, 1)
        totals, counts = torch.zeros(len(self.groups)), torch.zeros(len(self.groups))
        for name, (dimension, unit) in self.sides.items():
            slices = scores[name].movedim(dimension, 0).flatten(1).sum(1) if scores[name].dim() > 1 else scores[name]
            here = unit >= 0
            totals.index_add_(0, unit[here], slices[here].float())
            counts.index_add_(0, unit[here], torch.ones(int(here.sum())))
        return (totals / counts.clamp(min=1))[None]


class Rows:
    """All structural rows of a model: which layers' channels are coupled, found once for each layer and side."""

    def __init__(self, graph: ModelGraph, coupling: Coupling) -> None:
        self.graph, self.coupling = graph, coupling
        self._outputs = {layer.name: _side(layer, coupling, outputs=True) for layer in graph.layers}
        self._inputs = {layer.name: _side(layer, coupling, outputs=False) for layer in graph.layers}
        self._found: dict[tuple[str, str], Units] = {}

    def units(self, name: str, structure: str) -> Units:
        """Return the units of layer `name`, found once; a layer without any is refused with the reason."""
        if (found := self._found.get((name, structure))) is None:
            found = self._find(name, structure)
            self._found |= {(member, structure): found for member in found.members}
        return found

    def _find(self, name: str, structure: str) -> Units:
        if structure == "branch":
            return self._branch(name)
        layer, side = self.graph.layer(name), self._inputs if structure == "input" else self._outputs
        own = side[name]
        if own is None:
            side_name = STRUCTURES[structure]
            raise GranularityError(f"the {side_name} of a {layer.kind} in groups are no list of channels; kernel fits")
        free = self._free(own, structure)
        if not len(free):
            raise GranularityError(self._why_none(own, structure))
        members = (name,) if structure == "input" else self._coupled(free, structure)
        groups = free if structure == "input" else self._groups_of(members, structure)
        return self._make(structure, members, groups)

    @cached_property
    def partners(self) -> dict[str, tuple[str, ...]]:
        """Layer -> the layers whose output channels (or heads) are coupled with its own, itself included."""
        found = {}
        for name, own in self._outputs.items():
            free = np.empty(0, np.int64) if own is None else own[[self._may_go(g) for g in own]]
            found[name] = self._coupled(np.unique(free), None) if len(free) else (name,)
        return found

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """The residual branches of the model; the group of branch i is -1 - i."""
        return find_branches(self.graph)

    def _branch(self, name: str) -> Units:
        self.graph.layer(name)
        for number, branch in enumerate(self.branches):
            if name in branch.layers:
                weight = sum(self.graph.layer(member).n_weights for member in branch.layers)
                groups = np.array([-1 - number], np.int64)
                return Units("branch", branch.layers, groups, {}, {}, {}, (weight,), steps=BRANCH_STEPS)
        raise GranularityError("it is in no residual branch that could be skipped; output_channel removes parts of it")

    def masks_without(self, removed: IntArray) -> dict[str, Tensor]:
        """Return the masks of all tensors that lose the groups `removed`: by layer, or by parameter or buffer.

        The running variance stays as it is: a norm divides by it.
        """
        found = _of_channels(self.graph, self.coupling, removed[removed > 0])
        layers = {layer.parameter: layer for layer in self.graph.layers}
        for number in removed[removed < 0]:
            for name in self.branches[-1 - number].tensors:
                mask = torch.zeros(tensor_at(self.graph.module, name).shape, dtype=torch.bool)
                layer = layers.get(name)
                found[layer.name if layer else name] = layer.canonical(mask) if layer else mask
        return found

    def _may_go(self, group: int) -> bool:
        return bool(group) and int(group) not in self.coupling.why_not

    def _fits(self, group: int, structure: str | None) -> bool:
        is_head = int(group) in self.coupling.heads
        return structure in (None, "input") or is_head == (structure == "head")

    def _free(self, own: IntArray, structure: str | None) -> IntArray:
        """Return the groups among `own` that may go, in the order of their first index."""
        ordered = dict.fromkeys(own.tolist())
        return np.array([g for g in ordered if self._may_go(g) and self._fits(g, structure)], np.int64)

    def _layers_with(self, groups: IntArray) -> Iterator[str]:
        wanted = groups
        for name, own in self._outputs.items():
            if own is not None and np.isin(own, wanted).any():
                yield name

    def _coupled(self, groups: IntArray, structure: str | None) -> tuple[str, ...]:
        """Return all layers that share groups of outputs with one another, in the model's order."""
        members: tuple[str, ...] = ()
        while (found := tuple(self._layers_with(groups))) != members:
            members = found
            groups = self._groups_of(members, structure)
        return members

    def _groups_of(self, members: tuple[str, ...], structure: str | None) -> IntArray:
        sides = [side for name in members if (side := self._outputs[name]) is not None]
        return self._free(np.concatenate(sides), structure)

    def _make(self, structure: str, members: tuple[str, ...], groups: IntArray) -> Units:
        number = {int(group): i for i, group in enumerate(groups)}
        rows = _numbered(self._outputs, number)
        columns = _numbered(self._inputs, number)
        sizes = [0] * len(groups)
        reasons: dict[str, int] = defaultdict(int)
        side, dimension = (self._inputs, 1) if structure == "input" else (self._outputs, 0)
        for name in members:
            shape, own = self.graph.layer(name).weight_shape, side[name]
            slice_size = self.graph.layer(name).n_weights // shape[dimension]
            for group in [] if own is None else own.tolist():
                if group in number:
                    sizes[number[group]] += slice_size
                elif why := self.coupling.why_not.get(group):
                    reasons[why] += 1
        return Units(structure, members, groups, rows, columns, dict(reasons), tuple(sizes))

    def _why_none(self, own: IntArray, structure: str) -> str:
        reasons = [self.coupling.why_not[g] for g in dict.fromkeys(own.tolist()) if g in self.coupling.why_not]
        if reasons:
            return f"none of its {STRUCTURES[structure]} can go: {reasons[0]}"
        any_free = any(self._may_go(g) for g in own)
        if any_free and structure == "head":
            return "its outputs are no attention heads; output_channel fits"
        if any_free:
            return "its outputs live in whole attention heads; head fits"
        return f"none of its {STRUCTURES[structure]} is a channel that can be removed"


def _of_channels(graph: ModelGraph, coupling: Coupling, removed: IntArray) -> dict[str, Tensor]:
    layers = {layer.parameter: layer for layer in graph.layers}
    found = {}
    for name, lines in coupling.lines(removed).items():
        if name.endswith("running_var") or not tensor_at(graph.module, name).is_floating_point():
            continue
        mask = torch.ones([len(line) for line in lines], dtype=torch.bool)
        for dimension, line in enumerate(lines):
            mask &= line.reshape([-1 if axis == dimension else 1 for axis in range(len(lines))])
        layer = layers.get(name)
        found[layer.name if layer else name] = layer.canonical(mask) if layer else mask
    return found


def _side(layer: Layer, coupling: Coupling, outputs: bool) -> IntArray | None:
    """Return the group of each output (or input) of a weight (out, in, *kernel), or None where it has no such list."""
    dimension = int(layer.stored_in_out == outputs)
    size = layer.weight_shape[0 if outputs else 1]
    groups = coupling.roots.get((layer.parameter, dimension), np.zeros(size, np.int64))
    return groups if len(groups) == size else None


def _numbered(sides: dict[str, IntArray | None], number: dict[int, int]) -> dict[str, Tensor]:
    found = {}
    for name, own in sides.items():
        if own is not None:
            units = torch.tensor([number.get(group, -1) for group in own.tolist()], dtype=torch.int64)
            if bool((units >= 0).any()):
                found[name] = units
    return found
