"""`Rows`: all structural rows of a model. A row is what one structural wish ranks, with all layers that it touches."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
from torch import Tensor

from pruning_core.coupling import Coupling
from pruning_core.coupling.branches import find_branches
from pruning_core.coupling.identities import identity_of
from pruning_core.coupling.labels import IntArray
from pruning_core.coupling.sides import channel_masks, numbered, side_of
from pruning_core.coupling.skippable import Skippable
from pruning_core.coupling.units import Units
from pruning_core.errors import GranularityError
from pruning_core.graph import ModelGraph

STRUCTURES = {"output": "outputs", "input": "inputs", "head": "outputs"}  # structure -> side of the layer
SKIP_STEPS = (0.0, 1.0)  # what may be skipped stays or goes


class Rows:
    """All structural rows of a model: which layers' channels are coupled, found once for each layer and side."""

    def __init__(self, graph: ModelGraph, coupling: Coupling) -> None:
        self.graph, self.coupling = graph, coupling
        self._outputs = {layer.name: side_of(layer, coupling, outputs=True) for layer in graph.layers}
        self._inputs = {layer.name: side_of(layer, coupling, outputs=False) for layer in graph.layers}
        self._found: dict[tuple[str, str], Units] = {}

    def units(self, name: str, structure: str) -> Units:
        """Return the units of layer `name`, found once; a layer without any is refused with the reason."""
        if (found := self._found.get((name, structure))) is None:
            found = self._find(name, structure)
            self._found |= {(member, structure): found for member in found.members}
        return found

    def _find(self, name: str, structure: str) -> Units:
        if structure == "branch":
            return self._skipping(name)
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
    def skippable(self) -> tuple[Skippable, ...]:
        """All that may be skipped: residual branches, then layers outside of them; the group of the i-th is -1 - i."""
        return *self._branches, *(found for found in self._identities.values() if isinstance(found, Skippable))

    @cached_property
    def _branches(self) -> tuple[Skippable, ...]:
        return find_branches(self.graph)

    @cached_property
    def _identities(self) -> dict[str, Skippable | str]:
        """Layer outside of residual branches -> itself as what may be skipped, or why not."""
        inside = {name for branch in self._branches for name in branch.layers}
        return {layer.name: identity_of(self.graph, layer) for layer in self.graph.layers if layer.name not in inside}

    def skipped(self, removed: Iterable[int]) -> list[Skippable]:
        """Return what the groups `removed` skip."""
        return [self.skippable[-1 - group] for group in sorted(removed) if group < 0]

    def _skipping(self, name: str) -> Units:
        self.graph.layer(name)
        for number, found in enumerate(self.skippable):
            if name in found.layers:
                weight = sum(self.graph.layer(member).n_weights for member in found.layers)
                groups = np.array([-1 - number], np.int64)
                return Units("branch", found.layers, groups, {}, {}, {}, (weight,), steps=SKIP_STEPS)
        raise GranularityError(
            f"it is in no residual branch that could be skipped, and alone it cannot be: {self._identities[name]}; "
            "output_channel removes parts of it"
        )

    def masks_without(self, removed: IntArray) -> dict[str, Tensor]:
        """Return the masks of all tensors that lose the groups `removed`: by layer, or by parameter or buffer.

        The running variance stays as it is: a norm divides by it.
        """
        found = channel_masks(self.graph, self.coupling, removed[removed > 0])
        for skipped in self.skipped(removed.tolist()):
            for name, mask in skipped.change()[0].items():
                found[name] = found[name] & mask if name in found else mask
        return found

    def values_without(self, removed: Iterable[int]) -> dict[str, Tensor]:
        """Return the values with which layers that are skipped pass on their input, by layer or by parameter."""
        return {name: value for skipped in self.skipped(removed) for name, value in skipped.change()[1].items()}

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
        rows = numbered(self._outputs, number)
        columns = numbered(self._inputs, number)
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
