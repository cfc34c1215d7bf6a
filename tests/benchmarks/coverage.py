"""Every model of the zoo: traced, coupled, 30 % of each family removed, masked = slimmed = ONNX Runtime.

`python -m tests.benchmarks.coverage [names]` measures the named models (all without names), updates docs/coverage.json
and writes the table docs/coverage.md from it.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from pruning_core.coupling import Coupling, Options, couple
from pruning_core.errors import PruningError
from pruning_core.model import Model
from pruning_core.onnx_export import largest_difference, to_onnx
from pruning_core.slimming import living_graph, slim, slim_graph
from pruning_core.slimming.compare import difference, tensors
from pruning_core.slimming.tensors import parameters_of
from tests.benchmarks.common import machine, rounded
from tests.removals import families, masked_module, weakest
from tests.zoo import ZOO, Entry

DOCS = Path(__file__).parents[2] / "docs"
MODES = {"norms stay": (Options(), 0.3), "through norms": (Options(through_norms=True), 0.5)}


def measure(name: str, entry: Entry) -> dict[str, Any]:
    """Return the figures of one model in each mode; the second only where norms hold channels back."""
    model = Model(name, entry.module(), entry.inputs())
    graph, trace_s = timed(lambda: model.graph)
    result: dict[str, Any] = {"trace_s": trace_s, "params": graph.params, "macs": graph.macs}
    free = 0
    for mode, (options, share) in MODES.items():
        coupling, couple_s = timed(lambda options=options: couple(graph, options))
        if len(coupling.prunable()) > free:
            free = len(coupling.prunable())
            result[mode] = {**describe(coupling), "couple_s": couple_s, **prove(model, entry, coupling, share)}
    return result


def describe(coupling: Coupling) -> dict[str, Any]:
    """Return counts of groups and families, and what nobody knows."""
    groups = coupling.prunable().tolist()
    return {
        "groups": len(groups),
        "heads": len(coupling.heads.intersection(groups)),
        "families": len(families(coupling)),
        "prunable_params": prunable(coupling),
        "unknown": coupling.unknown,
    }


def prunable(coupling: Coupling) -> float:
    """Return the share of parameters that goes when one group of each family is left."""
    removed = weakest(coupling, 1.0)
    total = sum(parameter.numel() for parameter in parameters_of(coupling))
    left = sum(parameter.numel() for parameter in slim_graph(coupling, removed).parameters())
    return 1 - left / total


def prove(model: Model, entry: Entry, coupling: Coupling, share: float) -> dict[str, Any]:
    """Remove the weakest share of each family; every difference is relative to the output's standard deviation."""
    removed, batches = weakest(coupling, share), [entry.inputs(3, seed=1), entry.inputs(1, seed=2)]
    norms = coupling.options.through_norms
    masked: nn.Module = living_graph(coupling, removed) if norms else masked_module(model.module, coupling, removed)
    slimmed, slim_s = timed(lambda: slim(model, coupling, removed, masked, batches))
    with torch.inference_mode():
        deviation = float(next(tensors(masked(*batches[0]))).std())
    exported = to_onnx(slimmed.module, model.example_inputs)
    return {
        "slim_s": slim_s,
        "params_kept": slimmed.params / model.graph.params,
        "macs_kept": slimmed.macs / model.graph.macs,
        "module": slimmed.kind,
        "dense_masked": difference(masked, model.module, batches)[0] / deviation,
        "masked_slim": difference(slimmed.module, masked, batches)[0] / deviation,
        "slim_onnx": largest_difference(exported, slimmed.module, iter(batches)) / deviation,
    }


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the seconds it took."""
    start = perf_counter()
    return function(), round(perf_counter() - start, 2)


HEADER = """\
| model | groups | heads | families | prunable | params kept | MACs kept | dense − masked | masked − slim \
| slim − ONNX | slim as | trace, couple, slim (s) | unknown operators |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""

TEXT = """\
# Coverage

Which models can be made physically smaller, and the proof. Weights are random, with biases, norm parameters, running
statistics and constant tensors shaken, so that no mistake is multiplied by zero; the models are in `tests/zoo.py`.
A family is a set of groups that touch the same weights; of each the weakest by L2 norm go, at least one stays.
*prunable* is the share of parameters that could go in this way. Differences are the largest of two batches (3 and 1
examples; the tracer saw 2), divided by the standard deviation of the output: *dense − masked* says that the check means
something, *masked − slim* and *slim − ONNX* (ONNX Runtime) are rounding. *slim as* own: the model's own class with
smaller tensors; graph: a flat graph of torch operators, because the model's own code holds sizes as numbers.

Reproduce with `python -m tests.benchmarks.coverage` (about half an hour on one thread; times hold for {machine}).
"""

TITLES = {
    "norms stay": "30 % of every family, widths that a layer norm averages over stay",
    "through norms": "50 % of every family with the plan option `through_norms`, where that frees more",
}


def markdown(results: dict[str, Any]) -> str:
    """Return docs/coverage.md."""
    where = results["machine"]
    described = f"{where['processor']}, {where['threads']} thread, torch {where['torch']}, while other work ran"
    parts = [TEXT.format(machine=described)]
    for mode, title in TITLES.items():
        rows = [row(name, found, found[mode]) for name, found in results["models"].items() if mode in found]
        parts.append(f"## {title}\n\n{HEADER}" + "\n".join(rows) + "\n")
    refused = [f"- {name}: {found['refused']}" for name, found in results["models"].items() if "refused" in found]
    parts.append("## Refused\n\n" + ("\n".join(refused) or f"None of these {len(results['models'])} models.") + "\n")
    return "\n".join(parts)


def row(name: str, model: dict[str, Any], found: dict[str, Any]) -> str:
    """Return one line of the table."""
    cells = [name, *(f"{found[key]}" for key in ("groups", "heads", "families"))]
    cells += [f"{100 * found['prunable_params']:.1f} %"]
    cells += [f"{found[key]:.3f}" for key in ("params_kept", "macs_kept")] + [f"{found['dense_masked']:.2g}"]
    cells += [f"{found[key]:.1e}" for key in ("masked_slim", "slim_onnx")] + [found["module"]]
    cells += [", ".join(f"{seconds:.1f}" for seconds in (model["trace_s"], found["couple_s"], found["slim_s"]))]
    return "| " + " | ".join([*cells, ", ".join(found["unknown"])]) + " |"


def main() -> None:
    """Measure, and write both documents after each model."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help="models of tests/zoo.py (default: all)")
    torch.set_num_threads(1)
    path = DOCS / "coverage.json"
    known = json.loads(path.read_text("utf-8"))["models"] if path.exists() else {}
    for name in options.parse_args().names or ZOO:
        try:
            known[name] = rounded(measure(name, ZOO[name]))
        except PruningError as error:
            known[name] = {"refused": str(error)}
        print(name, json.dumps(known[name]), flush=True)
        results = {"machine": machine(), "models": {each: known[each] for each in ZOO if each in known}}
        path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        (DOCS / "coverage.md").write_text(markdown(results), "utf-8")


if __name__ == "__main__":
    main()
