"""Small modules and helpers that several tests share."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pruning_core.data import EvalData
from pruning_core.graph import ModelGraph, trace
from pruning_core.layers import Layer

N, CLASSES = 13, 3


class Product(nn.Module):
    """Multiplies by a plain parameter in a way that is given."""

    def __init__(self, multiply: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(shape))
        self.multiply = multiply

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(x, self.w)


class Conv1D(nn.Module):
    """GPT-2's layer: a linear map whose weight is stored (in, out)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(n_in, n_out)), nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return flat.view(*x.shape[:-1], -1)


class SideBySide(nn.Module):
    """Modules that each read numbers of their own from one input (batch, numbers): one trace for all of them."""

    def __init__(self, modules: Sequence[nn.Module], shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.part, self.shapes = nn.ModuleList(modules), shapes
        self.sizes = [math.prod(shape) for shape in shapes]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        parts = zip(self.part, self.shapes, x.split(self.sizes, 1), strict=True)
        read = [(module, numbers.reshape(-1, *shape).contiguous()) for module, shape, numbers in parts]
        return tuple(module(x.long() if isinstance(module, nn.Embedding) else x) for module, x in read)

    def layers_of(self, graph: ModelGraph, index: int) -> list[Layer]:
        """The layers of one of them."""
        return [layer for layer in graph.layers if f"{layer.name}.".startswith(f"part.{index}.")]


def traced(module: nn.Module, *shape: int, batch: int = 1) -> ModelGraph:
    """The graph of `module` for examples of `shape`."""
    return trace(module.eval(), (torch.zeros(batch, *shape),))


def flops_of_torch(module: nn.Module, *shape: int) -> int:
    """What FlopCounterMode counts for one example; the fused attention of nn.MultiheadAttention is hidden from it."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.zeros(1, *shape))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops()


def data_of(*shape: int, n: int = N, targets: bool = True, name: str = "toy") -> EvalData:
    """N random examples of `shape` with targets of CLASSES classes."""
    inputs = np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)
    return EvalData(name, "calibration", inputs, np.arange(n) % CLASSES if targets else None)
