"""SEAM costs: what a plan takes, as a whole number that budgets limit. Counted from the weights kept, or timed.

A member is a function `(problem, plan) -> cost of the whole model`. Adding one: write it and decorate it with
`@cost(...)`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pruning_core.allocation.problem import Problem
from pruning_core.errors import PlanError
from pruning_core.granularities import GRANULARITIES
from pruning_core.layers import Layer, tensor_at
from pruning_core.metrics.storage import n_m_size, storage_of
from pruning_core.plan import LayerPlan, Plan
from pruning_core.registry import Registry


@dataclass(frozen=True)
class Cost:
    """One member of the seam."""

    name: str
    label: str
    unit: str
    function: Callable[[Problem, Plan], int]
    why_not: Callable[[Problem], str | None]

    @property
    def doc(self) -> str:
        """The first line of the member's docstring."""
        return (self.function.__doc__ or "").split("\n")[0].strip()

    def __call__(self, problem: Problem, plan: Plan) -> int:
        """Return the cost of the whole model under `plan`, or refuse what it has no meaning for."""
        if why := self.why_not(problem):
            raise PlanError(why)
        return self.function(problem, plan)


COSTS: Registry[Cost] = Registry("cost")


def cost(
    name: str, label: str, unit: str, why_not: Callable[[Problem], str | None] = lambda _: None
) -> Callable[[Callable[[Problem, Plan], int]], Callable[[Problem, Plan], int]]:
    """Add a cost to the seam."""

    def add(function: Callable[[Problem, Plan], int]) -> Callable[[Problem, Plan], int]:
        COSTS.add(name, Cost(name, label, unit, function, why_not))
        return function

    return add


@cost("params", "Parameters", "parameters")
def params(problem: Problem, plan: Plan) -> int:
    """Parameters of the model without the weights that go."""
    return problem.model.graph.params - problem.n_removed(plan)


@cost("size", "Size", "bytes")
def size(problem: Problem, plan: Plan) -> int:
    """Bytes of the model: kept weights in the smallest encoding, index cost counted; all else as it is.

    A layer cut into single weights or blocks takes the smallest of dense, bitmask, CSR and n:m; one that only loses
    whole channels is stored dense, at its smaller shape.
    """
    graph, layers = problem.model.graph, problem.model.graph.by_name
    saved = 0
    for name, kept in problem.kept(plan).items():
        value_bytes = tensor_at(graph.module, layers[name].parameter).element_size()
        saved += layers[name].n_weights * value_bytes - _bytes(layers[name], kept, plan.layer(name), value_bytes)
    return graph.size_bytes - saved


@cost("macs", "Multiply-accumulates", "MACs")
def macs(problem: Problem, plan: Plan) -> int:
    """Multiply-accumulates of one example without those by a weight that goes.

    After whole channels these are the MACs of the smaller model; with zeros in place they are effective MACs, and a
    dense kernel does them all the same.
    """
    layers = problem.model.graph.by_name
    kept = problem.kept(plan).items()
    skipped = [round(layers[n].macs * (layers[n].n_weights - count) / layers[n].n_weights) for n, count in kept]
    return problem.model.graph.macs - sum(skipped)


def _no_latency(problem: Problem) -> str | None:
    names = dict.fromkeys(problem.wish_at(0.0, name).granularity for name in problem.free)
    if any(GRANULARITIES[name].structure is not None for name in names):
        return None
    return (
        f"latency does not fall with {' and '.join(names)}: its weights are zeros in place and are multiplied all "
        "the same; output_channel and other structures make layers smaller"
    )


@cost("latency", "Predicted latency", "ns", why_not=_no_latency)
def latency(problem: Problem, plan: Plan) -> int:
    """Nanoseconds of one example, predicted: the dense model's time less what each smaller layer saves alone, timed."""
    return problem.timings.predicted_ns(plan, problem.ranking)


def _bytes(layer: Layer, kept: int, wish: LayerPlan, value_bytes: int) -> int:
    if wish.sparsity == 0 or GRANULARITIES[wish.granularity].structure is not None:
        return kept * value_bytes
    sizes = [*storage_of(layer.n_weights, kept, layer.weight_shape[0], value_bytes).values()]
    if wish.granularity == "n_m":
        settings = {name: spec.default for name, spec in GRANULARITIES["n_m"].settings.items()} | wish.settings
        sizes.append(n_m_size(layer.n_weights, int(settings["n"]), int(settings["m"]), value_bytes))
    return min(sizes)
