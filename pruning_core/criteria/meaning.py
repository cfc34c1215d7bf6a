"""Where a criterion has a meaning and what it lacks, told from the graph alone: nothing is run, so menus can ask."""

from collections.abc import Sequence
from math import prod

from torch import fx

from pruning_core.coupling.units import Units
from pruning_core.criteria.seam import CRITERIA, STATISTICS, WITH_TARGETS, WITHOUT_DATA, Criterion
from pruning_core.granularities import Layout
from pruning_core.graph import ModelGraph
from pruning_core.layers import Layer, operator, reads_in_out

LARGEST = 8192  # rows of a Gram or covariance matrix: 512 MiB
OF_OUTPUTS = frozenset(
    "activation_zeros activation_mean activation_gradient output_mean output_covariance ablation bn_scale".split()
)
_ZERO_BELOW = frozenset({"aten.relu.default", "aten.hardswish.default", "aten.hardsigmoid.default"})


def why_not_criterion(
    graph: ModelGraph,
    name: str,
    criterion: str,
    cut: Layout | Units | None = None,
    *,
    has_data: bool,
    has_targets: bool,
    update_weights: bool = True,
) -> str | None:
    """Return why `criterion` cannot choose what layer `name` loses, or None.

    The answer follows the criterion's name in a sentence; what stands after its semicolon would work. `cut` is how
    a wish cuts the layer, with all that is coupled to it; None leaves that open.
    """
    member = CRITERIA[criterion]
    layers = [graph.layer(other) for other in (cut.members if isinstance(cut, Units) else (name,))]
    why = _lacks_data(member, graph, has_data, has_targets) or _lacks_statistics(member, layers, name)
    if why or cut is None:
        return why
    return _cannot_choose(member, cut) or (_cannot_update(member, graph, name, cut) if update_weights else None)


def lacks(layer: Layer) -> dict[str, str]:
    """Return for each statistic that `layer` cannot have what that would need, as a predicate."""
    columns, reasons = prod(layer.weight_shape[1:]), {}
    if columns > LARGEST:
        reasons["inputs_gram"] = f"needs products of all pairs of inputs, and {columns} are more than {LARGEST}"
    elif any(reads_in_out(node) != layer.stored_in_out for node in layer.nodes):
        reasons["inputs_gram"] = "needs a weight that is used one way, and this one is used turned round too"
    if layer.weight_shape[0] > LARGEST:
        reasons["output_covariance"] = (
            f"needs products of all pairs of outputs, and {layer.weight_shape[0]} are more than {LARGEST}"
        )
    if layer.batch_norm is None:
        reasons["bn_scale"] = f"needs {STATISTICS['bn_scale']}"
    if len(layer.nodes) > 1:
        once = f"needs outputs of one place, and this weight is used in {len(layer.nodes)}"
        reasons |= dict.fromkeys(OF_OUTPUTS, once)
    return reasons


def _lacks_data(member: Criterion, graph: ModelGraph, has_data: bool, has_targets: bool) -> str | None:
    if not member.needs - WITHOUT_DATA:
        return None
    if not has_data:
        return "needs calibration data; l1 and l2 work without data"
    if with_targets := member.needs & WITH_TARGETS:
        if not has_targets:
            return f"needs {STATISTICS[min(with_targets)]}, and the data has none; l1 works without"
        if len(graph.output_shape) != 1:
            return f"needs one score for each class, and the outputs have shape {graph.output_shape}; l1 works without"
    return None


def _lacks_statistics(member: Criterion, layers: Sequence[Layer], name: str) -> str | None:
    for layer in layers if member.needs else ():
        lacking = lacks(layer)
        for need in sorted(member.needs & lacking.keys()):
            where = "" if layer.name == name else f" (so at '{layer.name}', which is coupled with it)"
            return f"{lacking[need]}{where}; l1 works everywhere"
    if "activation_zeros" in member.needs and not any(_makes_zeros(layer.activation) for layer in layers):
        return "counts exact zeros, and no ReLU follows at once; mean_activation needs none"
    return None


def _makes_zeros(activation: fx.Node | None) -> bool:
    """Whether a nonlinearity gives exact zeros to a whole range of inputs."""
    if activation is None:
        return False
    clamps = operator(activation) == "aten.hardtanh.default" and activation.args[1:2] in ((0,), (0.0,))
    return clamps or operator(activation) in _ZERO_BELOW


def _cannot_choose(member: Criterion, cut: Layout | Units) -> str | None:
    """Refuse blocks that cut finer than what the criterion tells apart: they would score alike."""
    if member.unit in ("weight", _told_apart(cut)):
        return None
    works = "output_channel or row" if member.unit == "output" else "input_channel"
    return f"scores whole {member.unit}s, so within them position would choose; {works} fits it"


def _told_apart(cut: Layout | Units) -> str:
    """Return of which whole parts the blocks consist: output, input, or nothing of the kind."""
    if isinstance(cut, Units):
        return "input" if cut.structure == "input" else "output"  # a branch: all outputs of its layers
    whole = cut.view == cut.weight_shape and cut.block[2:] == cut.view[2:]
    if whole and cut.block[0] == 1 and cut.block[1] == cut.view[1]:
        return "output"
    return "input" if whole and cut.block[1] == 1 and cut.block[0] == cut.view[0] else ""


def _cannot_update(member: Criterion, graph: ModelGraph, name: str, cut: Layout | Units) -> str | None:
    if member.why_not_update is None:
        return None
    rows, columns = (cut.rows, cut.columns) if isinstance(cut, Units) else ({}, {})
    return member.why_not_update(graph, name, rows, columns)
