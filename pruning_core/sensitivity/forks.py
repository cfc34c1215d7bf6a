"""How a cell changes the model: `Forks` know where a layer forks from the dense model and what the fork answers."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from pruning_core.graph import ModelGraph
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.activations import ActivationDrop
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.request import Request
from pruning_core.sensitivity.routes import Route
from pruning_core.sensitivity.scope import Scope

KEPT_BYTES = 48 << 20  # of masked weights that are kept for the next block


class Forks(Protocol):
    """What a worker asks of the cells of a sweep."""

    def position(self, layer: str) -> int:
        """Return the place in the graph before which the frontier must stand."""
        ...

    def macs(self, layer: str) -> int:
        """Return the multiply-accumulates of one example that a fork runs."""
        ...

    def measured_sparsity(self, layer: str, sparsity: float) -> float:
        """Return the share that is really zero."""
        ...

    def fork(self, frontier: Frontier, layer: str, sparsity: float) -> Tensor:
        """Return the output (batch, classes) of the model changed as the cell says."""
        ...


class ActivationForks:
    """Cells that drop the smallest activations of a layer's output."""

    def __init__(self, graph: ModelGraph, replay: Replay) -> None:
        self.graph, self.replay = graph, replay
        self._drops: dict[tuple[str, float], ActivationDrop] = {}

    def position(self, layer: str) -> int:
        """Return the place in the graph before which the frontier must stand."""
        return self._drop(layer, 0.0).position

    def macs(self, layer: str) -> int:
        """Return the multiply-accumulates of one example that a fork runs."""
        return max(1, self._drop(layer, 0.0).macs)

    def measured_sparsity(self, layer: str, sparsity: float) -> float:
        """Return the share of the activations that are dropped."""
        return self._drop(layer, sparsity).measured_sparsity

    def fork(self, frontier: Frontier, layer: str, sparsity: float) -> Tensor:
        """Return the output (batch, classes) without the smallest activations of the layer."""
        return self._drop(layer, sparsity).fork(frontier)

    def _drop(self, layer: str, sparsity: float) -> ActivationDrop:
        if (layer, sparsity) not in self._drops:
            self._drops[layer, sparsity] = ActivationDrop(self.graph, self.replay, layer, sparsity)
        return self._drops[layer, sparsity]


class WeightForks:
    """Cells that mask weights. Masked weights are kept for the next block, as far as memory allows."""

    def __init__(self, graph: ModelGraph, replay: Replay, ranking: Ranking, request: Request, scope: Scope) -> None:
        self.graph, self.replay, self.ranking, self.request, self.scope = graph, replay, ranking, request, scope
        self._routes: dict[str, Route] = {}
        self._changed: dict[tuple[str, float], Mapping[int, Any]] = {}
        self._bytes = 0

    def position(self, layer: str) -> int:
        """Return the place in the graph before which the frontier must stand."""
        return self._route(layer).position

    def macs(self, layer: str) -> int:
        """Return the multiply-accumulates of one example that a fork runs."""
        return max(1, self._route(layer).macs)

    def measured_sparsity(self, layer: str, sparsity: float) -> float:
        """Return the share of the layer's weights that its mask removes."""
        total = self.graph.layer(layer).n_weights
        return (total - self.ranking.n_kept_weights(layer, self.request.wish(sparsity))) / total

    def fork(self, frontier: Frontier, layer: str, sparsity: float) -> Tensor:
        """Return the output (batch, classes) with the layer masked."""
        return self.replay.fork_changed(frontier, self.changed(layer, sparsity))

    def changed(self, layer: str, sparsity: float) -> Mapping[int, Any]:
        """Return the constants of the graph that the cell makes different."""
        key = layer, sparsity
        if key in self._changed:
            return self._changed[key]
        changed = self.replay.changed(self.ranking.change(layer, self.request.wish(sparsity)))
        size = sum(value.nbytes for value in changed.values() if isinstance(value, Tensor))
        if self._bytes + size <= KEPT_BYTES:
            self._bytes += size
            self._changed[key] = changed
        return changed

    def _route(self, layer: str) -> Route:
        """Return what the layer's widest cell runs again; the others run no more."""
        if layer not in self._routes:
            self._routes[layer] = self.replay.route(self.changed(layer, max(self.scope.levels[layer])))
        return self._routes[layer]
