"""Norms whose width may shrink, for replay: which channels live is one more constant of the graph.

While all live a norm is the call that it was; else it sees the living channels alone, and its result is put back among
zeros: what `slimming.living_graph` says, with the masks as data.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from pruning_core.coupling import Coupling
from pruning_core.slimming.sites import Living, is_thin, refused

Places = Mapping[int, Tensor]  # dimension of the input that not all lives of -> the places of what does


class LivingLines:
    """The constants of a prepared graph that say what lives of the inputs of norms; all True where nothing goes."""

    def __init__(self, coupling: Coupling) -> None:
        self.coupling = coupling
        self._norms = {node.name: node for node in coupling.statistics}

    def read(self, module: fx.GraphModule) -> None:
        """Let the norms of `module`, a graph with the same names, read them."""
        for node in [node for node in module.graph.nodes if node.name in self._norms]:
            dims = self.coupling.statistics[self._norms[node.name]]
            lines = []
            for dim in dims:
                size = int(self._labels(self._norms[node.name]).shape[dim])
                module.register_buffer(_name(node.name, dim), torch.ones(size, dtype=torch.bool))
                with module.graph.inserting_before(node):
                    lines.append(module.graph.get_attr(_name(node.name, dim)))
            node.args = (node.target, dims, lines, *node.args)
            node.target = of_living

    def without(self, removed: Iterable[int]) -> dict[str, Tensor]:
        """Return the constants that are not all True when the groups `removed` are gone, by name."""
        gone, found = np.array(sorted(group for group in removed if group > 0), np.int64), {}
        alive = Living(self.coupling, gone)
        for name, node in self._norms.items() if len(gone) else ():
            lines = alive.lines(self._labels(node), node)
            for dim in self.coupling.statistics[node]:
                if is_thin(lines[dim]):
                    if _packet(node.target) not in _WITH:
                        raise refused(node, "its statistic cannot be taken of the living channels alone")
                    found[_name(name, dim)] = lines[dim].clone()
        return found

    def _labels(self, node: fx.Node) -> Tensor:
        labels: Tensor = self.coupling.values[node.args[0]]  # type: ignore[index]
        return labels


def _name(norm: str, dim: int) -> str:
    return f"_living_{dim}_{norm}"


def _packet(target: Any) -> str:
    return str(target).removeprefix("aten.").split(".")[0]


def of_living(target: Any, dims: tuple[int, ...], lines: list[Tensor], *args: Any, **kwargs: Any) -> Any:
    """Return what the norm `target` makes of the living channels: those of `lines`, one for each of `dims`."""
    places = {dim: line.nonzero()[:, 0] for dim, line in zip(dims, lines, strict=True) if is_thin(line)}
    if not places:
        return target(*args, **kwargs)
    names = [argument.name for argument in target._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    x: Tensor = given.pop(names[0])
    for dim, place in places.items():
        x = x.index_select(dim, place)
    return _WITH[_packet(target)](target, x, given, places, dict(zip(dims, lines, strict=True)))


def _moment(target: Any, x: Tensor, given: dict[str, Any], places: Places, lines: dict[int, Tensor]) -> Any:
    return target(x, **given)


def _layer_norm(target: Any, x: Tensor, given: dict[str, Any], places: Places, lines: dict[int, Tensor]) -> Tensor:
    first = x.dim() - len(given["normalized_shape"])
    given["normalized_shape"] = list(x.shape[first:])
    _take(given, {dim - first: place for dim, place in places.items()})
    return _put_back(target(x, **given), places, lines)


def _group_norm(target: Any, x: Tensor, given: dict[str, Any], places: Places, lines: dict[int, Tensor]) -> Tensor:
    per_group = lines[1].reshape(given["num_groups"], -1).sum(1)  # channels of each group that live
    given["num_groups"] = int((per_group > 0).sum())
    _take(given, {0: places[1]})
    return _put_back(target(x, **given), places, lines)


def _take(given: dict[str, Any], places: Places) -> None:
    """Take what lives of scale and shift."""
    for name in ("weight", "bias"):
        for dim, place in places.items() if given.get(name) is not None else ():
            given[name] = given[name].index_select(dim, place)


def _put_back(result: Tensor, places: Places, lines: dict[int, Tensor]) -> Tensor:
    for dim, place in places.items():
        shape = [*result.shape[:dim], len(lines[dim]), *result.shape[dim + 1 :]]
        result = result.new_zeros(shape).index_copy(dim, place, result)
    return result


_WITH: dict[str, Callable[..., Any]] = {
    **dict.fromkeys("mean sum var std var_mean std_mean linalg_vector_norm norm".split(), _moment),
    **dict.fromkeys(("layer_norm", "rms_norm"), _layer_norm),
    "group_norm": _group_norm,
}
