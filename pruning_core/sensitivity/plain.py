"""The plain loop, for models whose graph cannot be replayed: each cell runs the whole model on every example."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning_core.apply.masked import masked_form
from pruning_core.data import Inputs
from pruning_core.model import Model
from pruning_core.ranking import Ranking
from pruning_core.sensitivity.forks import OneByOne, share_removed
from pruning_core.sensitivity.replay import Frontier
from pruning_core.sensitivity.request import Request
from pruning_core.sensitivity.trust import first_tensor


class PlainWalk:
    """Stands where a replay stands, but walks nowhere: a frontier holds the inputs."""

    def __init__(self, module: nn.Module, example: Inputs) -> None:
        self.module = module
        self.example_bytes = sum(values[:1].nbytes for values in example)

    def start(self, *inputs: Tensor) -> Frontier:
        """Return a frontier that holds prepared inputs (batch, ...)."""
        return Frontier(0, dict(enumerate(inputs)))

    def advance(self, frontier: Frontier, position: int) -> Frontier:
        """Stay."""
        return frontier

    def outputs(self, frontier: Frontier) -> Tensor:
        """Return the model's output (batch, ...)."""
        return answer(self.module, frontier)

    complete = outputs


class PlainForks(OneByOne):
    """Cells that mask weights of a copy of the model."""

    def __init__(self, model: Model, ranking: Ranking, request: Request) -> None:
        self.model, self.ranking, self.request = model, ranking, request
        self._order = {layer.name: i for i, layer in enumerate(model.graph.layers)}

    def position(self, layer: str) -> int:
        """Return the layer's place among the layers."""
        return self._order[layer]

    def macs(self, layer: str) -> int:
        """Return the multiply-accumulates of one example: those of the whole model."""
        return max(1, self.model.graph.macs)

    def measured_sparsity(self, layer: str, sparsity: float) -> float:
        """Return the share of the layer's weights that its mask removes."""
        return share_removed(self.ranking, self.request, layer, sparsity)

    def keeps(self, layer: str, n_levels: int) -> bool:
        """Return False: each cell is a copy of the model."""
        return False

    def use(self, choice: Mapping[str, str]) -> None:
        """Stay with the module itself."""

    def choose(self, frontier: Frontier) -> dict[str, str]:
        """Choose nothing."""
        return {}

    def fork(self, frontier: Frontier, layer: str, sparsity: float) -> Tensor:
        """Return the output (batch, classes) of a copy with the layer masked."""
        change = self.ranking.change(layer, self.request.wish(sparsity))
        return answer(masked_form(self.model, change, self.ranking.coupling), frontier)


def answer(module: nn.Module, frontier: Frontier) -> Tensor:
    """Return the first output of a module on the inputs that a frontier holds."""
    with torch.inference_mode():
        return first_tensor(module(*frontier.values.values()))
