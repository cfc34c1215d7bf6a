"""`Constants`: what the prepared graph reads besides its inputs, and what masks and new values make different in it."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from pruning_core.graph import ModelGraph
from pruning_core.layers import WEIGHT_USES, operator, tensor_at
from pruning_core.ranking import Change
from pruning_core.sensitivity.norms import LivingLines
from pruning_core.sensitivity.prepare import Prepared, channels_last, place
from pruning_core.sensitivity.steps import Step


class Changed(dict[int, Any]):
    """Constants that are different, by place. `dead`: weights of which only whole rows (out,) are zeroed -> these."""

    def __init__(self, constants: Mapping[int, Any] = {}) -> None:
        super().__init__(constants)
        self.dead: dict[int, Tensor] = {}


class Constants:
    """The tensors of a prepared graph by their place in it; `dense` are those of the model as it is."""

    def __init__(
        self, graph: ModelGraph, prepared: Prepared, read: Iterable[fx.Node], norms: LivingLines | None = None
    ) -> None:
        self.graph, self._scales, self._folds, self._norms = graph, prepared.scales, prepared.folded, norms
        nodes = [node for node in prepared.module.graph.nodes if node.op == "get_attr"]
        index = {node: i for i, node in enumerate(prepared.module.graph.nodes)}
        self.weights = {name: tuple(index[node] for node in nodes) for name, nodes in prepared.readers.items()}
        self.dense: dict[int, Any] = {index[node]: _tensor(prepared.module, node) for node in read}
        self.dense |= {i: self.weight(name, None) for name, places in self.weights.items() for i in places}
        self._names = {index[node]: str(node.target) for node in nodes}
        self._places = {str(node.target): index[node] for node in nodes}
        self._vectors = self._find_vectors(prepared.module, nodes, index)
        self._computed: dict[int, Step] = {}  # steps that depend on no input and on no prunable weight

    def compute(self, steps: Mapping[int, Step]) -> dict[int, Step]:
        """Compute once what depends on no input and on no prunable weight; return the steps that are left."""
        weights, left = {i for places in self.weights.values() for i in places}, {}
        for i, step in steps.items():
            if step.inputs and all(j in self.dense and j not in weights for j in step.inputs):
                self.dense[i] = step.run(self.dense)
                self._computed[i] = step
            else:
                left[i] = step
        return left

    def weight(self, name: str, mask: Tensor | None, value: Tensor | None = None) -> Tensor:
        """Return the weight of layer `name` as the prepared graph wants it: masked, scaled, in its stored layout.

        `value` (out, in, *kernel) stands for the model's own weight where one is given.
        """
        layer, weight = self.graph.layer(name), self.graph.weight(name) if value is None else value
        masked = weight if mask is None else weight * mask
        if name in self._scales:
            masked = masked * self._scales[name].view(-1, *(1,) * (masked.dim() - 1))
        return channels_last(layer.stored(masked))

    def changed(self, change: Change, weights: Mapping[str, Tensor] = {}) -> Changed:
        """Return the constants that `change` makes different; `weights` are layers prepared already."""
        masks, values = change.masks, change.values
        found = Changed()
        for name in dict.fromkeys([*masks, *values]):
            if name in self.weights:
                new = weights[name] if name in weights else self.weight(name, masks.get(name), values.get(name))
                found.update(dict.fromkeys(self.weights[name], new))
                dead = _dead_rows(masks[name]) if name not in values else None
                found.dead |= {} if dead is None else dict.fromkeys(self.weights[name], dead)
        for name in [name for name in values if name not in self.weights]:
            old = tensor_at(self.graph.module, name).detach()
            scales = {fold.constant: fold.scale for fold in self._folds.values() if fold.bias == name}
            for i in self._vectors.get(name, ()):
                scale = scales.get(self._names[i])
                found[i] = found.get(i, self.dense[i]) + (values[name] - old) * (1 if scale is None else scale)
        for name in [name for name in masks if name not in self.weights]:
            found.update({i: found.get(i, self.dense[i]) * masks[name] for i in self._vectors.get(name, ())})
        if self._norms is not None:
            lines = self._norms.without(change.removed)
            found.update({self._places[name]: line for name, line in lines.items() if self._places[name] in self.dense})
        for i, step in self._computed.items():
            if not found.keys().isdisjoint(step.inputs):
                found[i] = step.run({**self.dense, **found})
        return found

    def _find_vectors(
        self, module: fx.GraphModule, nodes: Iterable[fx.Node], index: Mapping[fx.Node, int]
    ) -> dict[str, tuple[int, ...]]:
        """Return which constants hold each parameter or buffer that is no layer's weight, folded or as it is."""
        own = self.graph.module
        places = {place(tensor_at(own, layer.parameter)) for layer in self.graph.layers}
        names: dict[Any, list[str]] = {}
        for name, tensor in (*own.named_parameters(remove_duplicate=False), *own.named_buffers(remove_duplicate=False)):
            names.setdefault(place(tensor), []).append(name)
        folded = {fold.constant: fold.vectors for fold in self._folds.values()}
        found: dict[str, tuple[int, ...]] = {}
        for node in nodes:
            if index[node] in self.dense:
                at = place(tensor_at(module, str(node.target)))
                known = folded.get(str(node.target), () if at in places else tuple(names.get(at, ())))
                found |= {name: (*found.get(name, ()), index[node]) for name in known}
        return found


def _dead_rows(mask: Tensor) -> Tensor | None:
    """Return which rows (out,) a mask (out, in, *kernel) removes, where it removes nothing but whole rows."""
    kept = mask.flatten(1)
    some = kept[:, 0]
    for columns in (kept[:, :8], kept):  # a few tell most masks of single weights apart
        if not (torch.equal(columns.any(1), some) and torch.equal(columns.all(1), some)):
            return None
    return ~some


def _tensor(module: fx.GraphModule, node: fx.Node) -> Tensor:
    tensor = tensor_at(module, str(node.target)).detach()
    by_convolution = all(operator(user) in WEIGHT_USES for user in node.users)
    return channels_last(tensor) if by_convolution else tensor
