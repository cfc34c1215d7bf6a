"""Constants of the file as weights of the module: named, stored once, as torch's layers hold them."""

from dataclasses import dataclass, field

from torch import Tensor

from pruning_core.onnx_import.module import OnnxModel, Stored
from pruning_core.onnx_import.names import base_of, free_name, value_name
from pruning_core.onnx_import.table import Node

STATISTICS = ("running_mean", "running_var")  # of a batch norm: stored, not trained
Key = tuple[int, tuple[int, ...], tuple[int, ...]]


@dataclass
class Constants:
    """The constants of a graph by the name of the value, each with the initializer that it comes from."""

    module: OnnxModel
    tensors: dict[str, Tensor] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    narrow: set[str] = field(default_factory=set)  # of a type that torch computes with in a wider one
    _stored: dict[Key, str] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)  # dotted name of a layer -> the node that owns it
    _kept: list[Tensor] = field(default_factory=list)  # while these live no other tensor has their address

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def add(self, name: str, tensor: Tensor, origin: str | None = None) -> None:
        """Add a constant; `origin` is the initializer that it was computed from."""
        self.tensors[name] = tensor
        self.origins[name] = name if origin is None else origin

    def layer(self, node: Node, weight: str, bias: str = "") -> str:
        """Return the dotted name of the layer whose weight is the constant `weight`, as this node calls it."""
        names = [self.origins[name] for name in (weight, bias) if name in self.origins]
        base = base_of(names, node)
        free = (base, *(f"{base}_{number}" for number in range(2, len(self._owners) + 3)))
        return next(name for name in free if self._owners.setdefault(name, node.name) == node.name)

    def store_weight(self, layer: str, leaf: str, tensor: Tensor) -> Stored:
        """Store a weight under a layer's name; a matrix used twice is one parameter, vectors are one for each use.

        Exporters make equal vectors one, such as the fresh scales of all batch norms; they are no shared weight.
        """
        key = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
        if tensor.dim() > 1 and key in self._stored:
            return Stored(self._stored[key])
        path = free_name(self.module, f"{layer}.{leaf}")
        is_parameter = tensor.is_floating_point() and leaf not in STATISTICS
        self.module.store(path, _own(tensor), is_parameter)
        self._stored.setdefault(key, path)
        self._kept.append(tensor)
        return Stored(path)

    def store(self, name: str) -> Stored:
        """Store any other constant under its own name: a parameter where it has more than one real number."""
        tensor = self.tensors[name]
        key = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
        if key not in self._stored:
            path = free_name(self.module, value_name(self.origins[name]))
            self.module.store(path, _own(tensor), tensor.is_floating_point() and tensor.numel() > 1)
            self._stored[key] = path
        return Stored(self._stored[key])


def _own(tensor: Tensor) -> Tensor:
    """Return a tensor in one piece of memory that nobody else has."""
    return tensor.detach().clone().contiguous()
