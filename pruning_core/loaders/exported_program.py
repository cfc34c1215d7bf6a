"""A program that torch.export saved, `net.pt2`. Opening one can run code in three ways, so it must be trusted."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, fx

from pruning_core.loaders.options import split, suffix
from pruning_core.loaders.rebuilt import with_source
from pruning_core.loaders.seam import model_loader
from pruning_core.loaders.weights import existing
from pruning_core.model import Model
from pruning_core.refusals import refused, told


@model_loader(
    "exported_program",
    form="file.pt2 (trusted)",
    can_load=lambda spec: suffix(spec) == ".pt2",
    runs_code=True,
    refusal="E206",
)
def load_exported_program(spec: str) -> Model:
    """Load an exported program whose batch is free."""
    path = existing(split(spec)[0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own format
            program = torch.export.load(path)
    except Exception:  # damaged files raise nearly anything
        raise refused("E202", f"'{path}' is no exported program, or was saved by another version of torch") from None
    inputs, named = program.example_inputs or ((), {})
    if named or not inputs or not all(isinstance(each, Tensor) for each in inputs):
        raise refused("E234", f"'{path}' was exported without example inputs that are tensors by position")
    first = next(node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
    if isinstance(first.meta["val"].shape[0], int):
        n = first.meta["val"].shape[0]
        raise told("E234", f"'{path}' takes {n} examples at a time, no other number; export it with a dynamic batch")
    if any(_trains(node) for node in program.graph.nodes):
        raise told("E234", f"'{path}' was exported in training mode; call model.eval() before you export it")
    module = program.module()
    for name in ("train", "eval"):  # which refuse: it was exported in one mode
        vars(module).pop(name, None)
    return with_source(
        Model(spec, module, tuple(inputs), title=Path(path).stem, note=f"the exported program of '{Path(path).name}'")
    )


def _trains(node: fx.Node) -> bool:
    """Whether an operator does what only training wants: drop at random, or normalise by the batch."""
    aten = torch.ops.aten
    place = {aten.dropout.default: 2, aten.batch_norm.default: 5}.get(node.target)  # type: ignore[call-overload]
    return place is not None and bool(node.args[place])
