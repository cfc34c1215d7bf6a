"""Local functions of an ONNX file: what remains when each call is replaced by what it calls."""

from collections.abc import Mapping

from pruning_core.guard.limits import Limits
from pruning_core.guard.onnx_graph import Call, Scope
from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
DEEPEST = 64  # calls in calls


def check_functions(graph: Scope, functions: list[Scope], limits: Limits) -> None:
    """Refuse operators that nobody defines, functions that call themselves, and those that grow beyond the limit."""
    known = {function.call: function for function in functions}
    if len(known) < len(functions):
        raise refused("E227", "two functions of the model have one name")
    for scope in (graph, *functions):
        for domain, name, overload in scope.calls:
            if domain not in DOMAINS and (domain, name, overload) not in known:
                raise refused("E224", f"operator {shown(name)} is of {shown(domain)}, which is not ONNX")
    total = _size(graph, known, {}, ())
    if total > limits.nodes:
        raise limits.exceeded("E225", "nodes", f"the model's functions written out have {_short(total)} operators")


def _size(scope: Scope, known: Mapping[Call, Scope], sizes: dict[Call, int], inside: tuple[Call, ...]) -> int:
    """Return how many operators a scope has when its calls are written out."""
    total = scope.n_nodes
    for call, times in scope.calls.items():
        if call not in known:
            continue
        if call in inside or len(inside) > DEEPEST:
            raise refused("E225", f"function {shown(call[1])} of the model calls itself, or calls go too deep")
        if call not in sizes:
            sizes[call] = _size(known[call], known, sizes, (*inside, call))
        total += times * (sizes[call] - 1)  # the call itself goes
    return total


def _short(total: int) -> str:
    return str(total) if total < 10**9 else "more than 10^9"
