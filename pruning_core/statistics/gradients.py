"""Gradients of the loss by weights and activations: of the whole, of batches and of single examples."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer, tensor_at
from pruning_core.positions import squared_errors

OF_WEIGHTS = frozenset({"gradient", "gradient_magnitude", "gradient_square", "first_gradient"})
Key = tuple[int, tuple[int, ...]]


class Gradients:
    """Adds up gradients by aliases of the weights (tied weights share one) and by activations that are made leaves."""

    def __init__(self, graph: ModelGraph, layers: Sequence[Layer], names: frozenset[str]) -> None:
        self.names = names & (OF_WEIGHTS | {"activation_gradient"})
        self.wanted = bool(self.names)
        self._key = {layer.name: _storage(tensor_at(graph.module, layer.parameter)) for layer in layers}
        weights = [tensor_at(graph.module, layer.parameter) for layer in layers] if names & OF_WEIGHTS else []
        self._aliases = {_storage(weight): weight.detach().requires_grad_() for weight in weights}
        self._leaves: list[tuple[Layer, Tensor]] = []  # activations of the present run
        self._batch: dict[Key, Tensor] = {}  # gradient of the summed loss of the present batch
        self._sums: dict[tuple[str, Key | str], Tensor] = {}
        self._batches = 0

    def alias(self, parameter: Tensor) -> Tensor:
        """Return what stands for `parameter` in a run: gradients reach a weight's alias, never the model."""
        return self._aliases.get(_storage(parameter), parameter.detach())

    def as_leaf(self, layer: Layer, value: Any) -> Any:
        """Return the activation `value` of `layer` so that the loss can be derived by it."""
        if "activation_gradient" not in self.names:
            return value
        tensor = first_tensor(value)
        tensor = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
        self._leaves.append((layer, tensor))
        return (tensor, *value[1:]) if isinstance(value, (tuple, list)) else tensor

    def see(self, loss: Tensor) -> None:
        """Add the gradients of `loss`, summed over the examples of this run."""
        leaves, self._leaves = self._leaves, []
        inputs = [*self._aliases.values(), *(tensor for _, tensor in leaves)]
        if loss.requires_grad:
            found = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
        else:  # no layer that was asked about reaches the loss
            found = tuple(map(torch.zeros_like, inputs))
        for key, gradient in zip(self._aliases, found, strict=False):
            self._batch[key] = self._batch[key] + gradient.float() if key in self._batch else gradient.float()
            if "gradient_square" in self.names:
                self._add("square", key, gradient.float().square())
        for (layer, tensor), gradient in zip(leaves, found[len(self._aliases) :], strict=True):
            products = _positions_last(layer, (tensor.detach() * gradient).float())  # of one example
            self._add("activation", layer.name, products.mean(1).abs())

    def end_batch(self, n: int) -> None:
        """Close a batch of `n` examples."""
        for key, gradient in self._batch.items():
            self._add("all", key, gradient)
            self._add("magnitude", key, gradient.abs() / n)
            self._sums.setdefault(("first", key), gradient / n)
        self._batches += 1
        self._batch = {}

    def _add(self, what: str, key: Key | str, value: Tensor) -> None:
        at = (what, key)
        self._sums[at] = self._sums[at] + value if at in self._sums else value

    def of(self, layer: Layer, n: int) -> dict[str, Tensor]:
        """Return what was asked for of `layer`, over `n` examples."""
        key = self._key[layer.name]
        scales = {"all": n, "magnitude": self._batches, "square": n, "first": 1}
        of_weights = {"gradient": "all", "gradient_magnitude": "magnitude", "gradient_square": "square"}
        of_weights["first_gradient"] = "first"
        found = {
            name: layer.canonical(self._sums[what, key] / scales[what])
            for name, what in of_weights.items()
            if name in self.names and (what, key) in self._sums
        }
        if ("activation", layer.name) in self._sums:
            found["activation_gradient"] = self._sums["activation", layer.name] / n
        return found


def loss_of(output: Any, targets: Tensor) -> Tensor:
    """Return the cross entropy of class scores (batch, classes), summed over the examples.

    Where targets are floats it is the squared error of a regression, the mean over its outputs.
    """
    if targets.is_floating_point():
        return squared_errors(first_tensor(output), targets).sum().float()
    return F.cross_entropy(first_tensor(output).float(), targets, reduction="sum")


def first_tensor(output: Any) -> Tensor:
    """Return the tensor, or the first of several."""
    tensor: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return tensor


def _positions_last(layer: Layer, values: Tensor) -> Tensor:
    return values.movedim(1 if layer.kind.startswith("conv") else -1, 0).flatten(1)


def _storage(weight: Tensor) -> Key:
    """Return what tied parameters have in common."""
    return weight.data_ptr(), tuple(weight.shape)
