"""How a cell changes the model: `Forks` know where a layer forks from the dense model and what the fork answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from pruning_core.errors import PruningError
from pruning_core.graph import ModelGraph
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.activations import ActivationDrop
from pruning_core.sensitivity.evaluators import best, choose, fork_levels
from pruning_core.sensitivity.replay import Frontier, Replay
from pruning_core.sensitivity.request import Request
from pruning_core.sensitivity.routes import Route
from pruning_core.sensitivity.scope import Scope

KEPT_BYTES = 32 << 20  # of masked weights that are kept for the next block


def n_bytes(changed: Mapping[int, Any]) -> int:
    """Return the bytes of the tensors among some constants; one that stands in several places counts once."""
    return sum({id(value): value.nbytes for value in changed.values() if isinstance(value, Tensor)}.values())


def share_removed(ranking: Ranking, request: Request, layer: str, sparsity: float) -> float:
    """Return the share of a layer's weights that the mask of one cell removes."""
    total = ranking.model.graph.layer(layer).n_weights
    return (total - ranking.n_kept_weights(layer, request.wish(sparsity))) / total


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

    def keeps(self, layer: str, n_levels: int) -> bool:
        """Return whether what so many levels of a layer change is kept from chunk to chunk."""
        ...

    def use(self, choice: Mapping[str, str]) -> None:
        """Run forks by these evaluators from now on."""
        ...

    def choose(self, frontier: Frontier) -> dict[str, str]:
        """Time the evaluators on some examples before the first layer and return which is fastest where."""
        ...

    def fork(self, frontier: Frontier, layer: str, sparsity: float) -> Tensor:
        """Return the output (batch, classes) of the model changed as the cell says."""
        ...

    def fork_levels(self, frontier: Frontier, layer: str, levels: Sequence[float]) -> Tensor | None:
        """Return the outputs (levels, batch, classes) of several cells at once, where that pays and can be done."""
        ...


class OneByOne:
    """Forks whose cells run one after another."""

    def fork_levels(self, frontier: Frontier, layer: str, levels: Sequence[float]) -> Tensor | None:
        """Return None."""
        return None


class ActivationForks(OneByOne):
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

    def keeps(self, layer: str, n_levels: int) -> bool:
        """Return True: nothing is made in advance."""
        return True

    def use(self, choice: Mapping[str, str]) -> None:
        """Stay with torch: what changes here is no constant, which is what other evaluators take."""

    def choose(self, frontier: Frontier) -> dict[str, str]:
        """Choose torch."""
        return {}

    def fork(self, frontier: Frontier, layer: str, sparsity: float) -> Tensor:
        """Return the output (batch, classes) without the smallest activations of the layer."""
        return self._drop(layer, sparsity).fork(frontier)

    def _drop(self, layer: str, sparsity: float) -> ActivationDrop:
        if (layer, sparsity) not in self._drops:
            self._drops[layer, sparsity] = ActivationDrop(self.graph, self.replay, layer, sparsity)
        return self._drops[layer, sparsity]


class WeightForks(OneByOne):
    """Cells that mask weights. Masked weights are kept for the next block, as far as memory allows."""

    def __init__(self, replay: Replay, ranking: Ranking, request: Request, scope: Scope) -> None:
        self.replay, self.ranking, self.request, self.scope = replay, ranking, request, scope
        self._routes: dict[str, Route] = {}
        self._changed: dict[tuple[str, float], Mapping[int, Any]] = {}
        self._bytes = 0
        self._choice: Mapping[str, str] = {}
        self._evaluator = best(replay, {})

    def position(self, layer: str) -> int:
        """Return the place in the graph before which the frontier must stand."""
        return self._route(layer).position

    def macs(self, layer: str) -> int:
        """Return the multiply-accumulates of one example that a fork runs."""
        return max(1, self._route(layer).macs)

    def measured_sparsity(self, layer: str, sparsity: float) -> float:
        """Return the share of the layer's weights that its mask removes."""
        return share_removed(self.ranking, self.request, layer, sparsity)

    def fork(self, frontier: Frontier, layer: str, sparsity: float) -> Tensor:
        """Return the output (batch, classes) with the layer masked."""
        return self._evaluator.fork(frontier, self.changed(layer, sparsity))

    def use(self, choice: Mapping[str, str]) -> None:
        """Run forks by these evaluators from now on."""
        if choice != self._choice:
            self._choice, self._evaluator = choice, best(self.replay, choice)

    def choose(self, frontier: Frontier) -> dict[str, str]:
        """Time the evaluators on some examples before the first layer and return which is fastest where."""
        return choose(self.replay, frontier, [self.changed(name, max(at)) for name, at in self.scope.levels.items()])

    def keeps(self, layer: str, n_levels: int) -> bool:
        """Return whether the masked weights of so many levels of a layer are kept at once."""
        return n_levels * n_bytes(self.changed(layer, max(self.scope.levels[layer]))) <= KEPT_BYTES

    def changed(self, layer: str, sparsity: float) -> Mapping[int, Any]:
        """Return the constants of the graph that the cell makes different."""
        key = layer, sparsity
        if key in self._changed:
            return self._changed[key]
        changed = self.replay.changed(self.ranking.change(layer, self.request.wish(sparsity)))
        self._keep(key, changed, n_bytes(changed))
        return changed

    def _keep(self, key: tuple[str, float], changed: Mapping[int, Any], size: int) -> None:
        """Keep it in place of the oldest of other layers; a layer too large for all its levels keeps some."""
        others = [other for other in self._changed if other[0] != key[0]]
        while others and self._bytes + size > KEPT_BYTES:
            self._bytes -= n_bytes(self._changed.pop(others.pop(0)))
        if self._bytes + size <= KEPT_BYTES:
            self._bytes += size
            self._changed[key] = changed

    def _route(self, layer: str) -> Route:
        """Return what the layer's widest cell runs again; the others run no more."""
        if layer not in self._routes:
            self._routes[layer] = self.replay.route(self.changed(layer, max(self.scope.levels[layer])))
        return self._routes[layer]


class StackedForks(WeightForks):
    """Cells that mask weights, on an accelerator: all levels of a layer in one walk."""

    def use(self, choice: Mapping[str, str]) -> None:
        """Stay with torch: the other evaluators run on the processor."""

    def choose(self, frontier: Frontier) -> dict[str, str]:
        """Choose torch."""
        return {}

    def fork(self, frontier: Frontier, layer: str, sparsity: float) -> Tensor:
        """Return the output (batch, classes) with the layer masked."""
        return self.replay.fork_changed(frontier, self.changed(layer, sparsity))

    def fork_levels(self, frontier: Frontier, layer: str, levels: Sequence[float]) -> Tensor | None:
        """Return the outputs (levels, batch, classes), or None where one after another each says what is wrong."""
        try:
            return fork_levels(self.replay, frontier, [self.changed(layer, level) for level in levels])
        except (PruningError, RuntimeError, MemoryError):
            return None
