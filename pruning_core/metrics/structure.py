"""`Structure`: what a model is made of and what is kept of it, by masks or counts. A weight of zero is not kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from pruning_core.errors import PruningError
from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer, tensor_at
from pruning_core.metrics.storage import FORMATS, n_m_bytes, storage_of
from pruning_core.slimming import Counts


@dataclass(frozen=True)
class Rest:
    """All that is not the weight of a prunable layer: biases, norms, other parameters, buffers."""

    params: int
    nonzero: int
    size_bytes: int


@dataclass(frozen=True, eq=False)
class Structure:
    """A graph and what is kept of each layer's weight: known from masks, or as counts only (`masks` is None).

    Channels, heads and branches take biases and norms with them (`other_masks`), and can leave the model (`slimmed`).
    """

    graph: ModelGraph
    masks: Mapping[str, Tensor] | None  # layer -> bool (out, in, *kernel); a layer left out is whole
    counts: Mapping[str, int] | None = None  # layer -> weights kept
    other_masks: Mapping[str, Tensor] = field(default_factory=dict)  # parameter -> bool, as stored; others are whole
    module: nn.Module | None = None  # holds the values; None: the graph's own
    slimmed: Counts | None = None  # of the model without what goes as a whole; None: nothing does

    @staticmethod
    def from_counts(graph: ModelGraph, kept: Mapping[str, int]) -> "Structure":
        """Know only how many weights each layer keeps; a layer left out is whole."""
        for name, count in kept.items():
            if not 0 <= count <= graph.layer(name).n_weights:
                raise PruningError(f"{name}: {count} weights kept of {graph.layer(name).n_weights}")
        return Structure(graph, None, {layer.name: layer.n_weights for layer in graph.layers} | dict(kept))

    @staticmethod
    def from_module(graph: ModelGraph, module: nn.Module) -> "Structure":
        """Read what is kept from the weights of `module`, a masked copy of what `graph` was traced from."""
        return Structure(graph, {}, module=module)

    def with_counts(self, kept: Mapping[str, int]) -> "Structure":
        """Return a structure of the same graph with other counts; what is not in a layer is not counted again."""
        changed = Structure.from_counts(self.graph, self.kept | dict(kept))
        changed.__dict__["_whole_rest"] = self._whole_rest  # fill the cache
        return changed

    def with_masks(self, masks: Mapping[str, Tensor], slimmed: Counts | None = None) -> "Structure":
        """Return a structure of the same graph with the counts of `masks`, by layer or parameter as a plan gives them.

        `slimmed` are the counts of the model without what goes as a whole.
        """
        layers = self.graph.by_name
        changed = self.with_counts({name: int(mask.sum()) for name, mask in masks.items() if name in layers})
        others = {name: mask for name, mask in masks.items() if name not in layers}
        found = replace(changed, other_masks=others, slimmed=slimmed)
        found.__dict__["_whole_rest"] = self._whole_rest
        return found

    @cached_property
    def kept(self) -> dict[str, int]:
        """Weights kept of each layer, by name: True in its mask and not zero in the model."""
        if self.counts is not None:
            return dict(self.counts)
        return {layer.name: int(self.mask(layer).sum()) for layer in self.graph.layers}

    def mask(self, layer: Layer) -> Tensor:
        """Return which weights of `layer` are kept and not zero, bool (out, in, *kernel)."""
        if self.masks is None:
            raise PruningError("only counts are known, not which weights are kept")
        kept = _nonzero(self._values, layer)
        return kept & self.masks[layer.name] if layer.name in self.masks else kept

    @property
    def n_weights(self) -> int:
        """Weights of all prunable layers."""
        return sum(layer.n_weights for layer in self.graph.layers)

    @property
    def n_kept(self) -> int:
        """Weights of all prunable layers that are kept."""
        return sum(self.kept.values())

    @property
    def _values(self) -> nn.Module:
        return self.graph.module if self.module is None else self.module

    @cached_property
    def rest(self) -> Rest:
        """All that is not the weight of a prunable layer."""
        whole = self._whole_rest
        masked = ((tensor_at(self._values, name), mask) for name, mask in self.other_masks.items())
        zeros = sum(int((~mask & (tensor != 0)).sum()) for tensor, mask in masked if isinstance(tensor, nn.Parameter))
        return replace(whole, nonzero=whole.nonzero - zeros)

    @cached_property
    def _whole_rest(self) -> Rest:
        """The same without the masks."""
        weights = {tensor_at(self.graph.module, layer.parameter).data_ptr() for layer in self.graph.layers}
        named = self.graph.module.named_parameters()
        others = [tensor_at(self._values, name).detach() for name, p in named if p.data_ptr() not in weights]
        nonzero = sum(int(torch.count_nonzero(other)) for other in others)
        values = sum(layer.n_weights * _value_bytes(self.graph, layer) for layer in self.graph.layers)
        return Rest(sum(other.numel() for other in others), nonzero, self.graph.size_bytes - values)

    @property
    def slimmed_params(self) -> int | None:
        """Parameters of the slimmed model; None where nothing leaves the model."""
        return None if self.slimmed is None else self.slimmed.params

    @property
    def slimmed_macs(self) -> int | None:
        """Multiply-accumulates of one example in the slimmed model; None where nothing leaves the model."""
        return None if self.slimmed is None else self.slimmed.macs

    @property
    def slimmed_bytes(self) -> int | None:
        """Bytes of all tensors of the slimmed model, zeros included; None where nothing leaves the model."""
        return None if self.slimmed is None else self.slimmed.size_bytes

    def storage_by_layer(self) -> dict[str, dict[str, int]]:
        """Return bytes of each layer's weight by format; `n_m` only where the mask is known and has such a pattern."""
        found = {}
        for layer in self.graph.layers:
            size = _value_bytes(self.graph, layer)
            found[layer.name] = storage_of(layer.n_weights, self.kept[layer.name], layer.weight_shape[0], size)
            n_m = n_m_bytes(self.mask(layer), size) if self.masks is not None else None
            if n_m is not None:
                found[layer.name]["n_m"] = n_m
        return found

    @cached_property
    def storage(self) -> dict[str, int]:
        """Bytes of the model by format; what is no layer is dense. `best` takes the smallest for each layer.

        A layer without an n:m pattern counts as dense in `n_m`, which is left out when no layer has one.
        """
        layers = list(self.storage_by_layer().values())
        rest = self.rest.size_bytes
        total = {"best": rest + sum(min(sizes.values()) for sizes in layers)}
        formats = {name for sizes in layers for name in sizes} | FORMATS
        for name in sorted(formats):
            total[name] = rest + sum(sizes.get(name, sizes["dense"]) for sizes in layers)
        return total


def _nonzero(module: nn.Module, layer: Layer) -> Tensor:
    return layer.canonical(tensor_at(module, layer.parameter).detach()) != 0


def _value_bytes(graph: ModelGraph, layer: Layer) -> int:
    return tensor_at(graph.module, layer.parameter).element_size()
