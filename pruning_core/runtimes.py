"""SEAM runtimes: what runs a model when its latency is measured, on the CPU.

A runtime converts a module once and starts as many copies of it as asked for. Adding one: `RUNTIMES.add(name, ...)`.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.onnx_export import feed, session, to_onnx
from pruning_core.registry import Registry

Call = Callable[[], object]
Inputs = tuple[Tensor, ...]  # batch first


@dataclass(frozen=True)
class Runtime:
    """One member of the seam."""

    name: str
    label: str
    convert: Callable[[nn.Module, Inputs, nn.Module | None], Any]  # (module, inputs, what it is a masked copy of)
    start: Callable[[Any, Inputs, int], Call]  # (converted, inputs, threads) -> a call that runs one batch

    def prepare(self, module: nn.Module, example: Inputs, threads: int = 1, original: nn.Module | None = None) -> Call:
        """Return a call that runs `module` on the batch `example` once."""
        return self.start(self.convert(module, example, original), example, threads)


RUNTIMES: Registry[Runtime] = Registry("runtime")


def _start_torch(module: nn.Module, example: Inputs, threads: int) -> Call:
    own = deepcopy(module)  # `compare` sets the threads

    def call() -> object:
        with torch.inference_mode():
            return own(*example)

    return call


def _start_onnxruntime(model: bytes, example: Inputs, threads: int) -> Call:
    running = session(model, threads)
    arrays = feed(running, example)
    return lambda: running.run(None, arrays)


RUNTIMES.add("torch", Runtime("torch", "PyTorch eager", lambda module, example, original: module, _start_torch))
RUNTIMES.add("onnxruntime", Runtime("onnxruntime", "ONNX Runtime", to_onnx, _start_onnxruntime))
