"""Is an element whose channel is masked exactly 0 here? A sigmoid of 0 is not; 1 / 0 is worse."""

from typing import TYPE_CHECKING

from torch import Tensor, fx

from pruning_core.coupling.labels import NO_CHANNEL, stored, varying_dims, without_repeats
from pruning_core.layers import operator

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context

_WEIGHTED = frozenset(
    f"aten.{name}"
    for name in """linear addmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d embedding
    _native_batch_norm_legit_no_training instance_norm lstm gru rnn_tanh rnn_relu""".split()
)
_KEEPS_ZERO = frozenset(
    f"aten.{name}"
    for name in """pow layer_norm rms_norm group_norm relu gelu silu hardswish tanh neg abs leaky_relu elu selu celu
    mish relu6 sqrt sin erf max_pool2d avg_pool2d max_pool1d avg_pool1d mean sum adaptive_avg_pool2d view reshape
    _unsafe_view permute transpose t slice select split split_with_sizes chunk unbind squeeze unsqueeze expand clone
    contiguous cat stack alias _to_copy to roll index index_select dropout flatten repeat flip square glu
    linalg_vector_norm""".split()
)
_INFINITE_AT_ZERO = frozenset(f"aten.{name}" for name in "log log2 log10 rsqrt reciprocal logit".split())


def packet(node: fx.Node) -> str:
    """Return `aten.conv2d` for every overload; Python functions by their own name."""
    return ".".join(operator(node).split(".")[:2])


def is_zero_when_dead(ctx: "Context", node: fx.Node) -> bool:
    """Whether removed channels are exactly 0 in the result of `node`, whose labels are known."""
    name, known = packet(node), ctx.zero_when_dead
    if name in _WEIGHTED:
        return True
    if name == "aten.mul":
        return any(_brings_zero(ctx, node, source) for source in node.args)
    if name in ("aten.add", "aten.sub"):
        return all(_brings_zero(ctx, node, source) for source in node.args[:2])
    if name in ("aten.matmul", "aten.bmm", "aten.mm"):
        return any(node.args[i] in known and _sides_with(ctx, node, i) for i in (0, 1))
    if name == "aten.scaled_dot_product_attention":
        return node.args[2] in known
    if name == "aten.div":
        return node.args[0] in known
    if name == "aten.pow" and not (isinstance(node.args[1], (int, float)) and node.args[1] > 0):
        return False
    sources = [source for source in node.all_input_nodes if isinstance(source.meta.get("val"), Tensor | tuple | list)]
    computed = [source for source in sources if source.op != "get_attr"]
    return (name in _KEEPS_ZERO or name == "getitem") and bool(computed) and all(s in known for s in computed)


def is_infinite_when_dead(ctx: "Context", node: fx.Node) -> fx.Node | None:
    """Return the operand whose removed channels make `node` infinite or NaN under a mask, if any."""
    name, position = packet(node), None
    if name in _INFINITE_AT_ZERO:
        position = 0
    elif name == "aten.div":
        position = 1
    elif name == "aten.pow" and isinstance(node.args[1], (int, float)) and node.args[1] < 0:
        position = 0
    operand = None if position is None else node.args[position]
    if isinstance(operand, fx.Node) and operand in ctx.zero_when_dead and _has_labels(ctx, operand):
        return operand
    return None


def _has_labels(ctx: "Context", node: fx.Node) -> bool:
    labels = ctx.values.get(node)
    return isinstance(labels, Tensor) and bool(stored(labels).any())


def _brings_zero(ctx: "Context", node: fx.Node, source: object) -> bool:
    """Whether an operand is 0 when dead and carries the very channels of the result."""
    if not isinstance(source, fx.Node) or not (source in ctx.zero_when_dead or source.op == "get_attr"):
        return False
    labels, result = ctx.values.get(source), ctx.values.get(node)
    if not isinstance(labels, Tensor) or not isinstance(result, Tensor):
        return False
    own, roots = without_repeats(ctx.roots(labels).expand(result.shape), ctx.roots(result))
    return bool(((own == roots) | (roots == NO_CHANNEL)).all())


def _sides_with(ctx: "Context", node: fx.Node, position: int) -> bool:
    """Whether the channels of a product come from one operand: its last dimension is the right one's own."""
    labels, result = ctx.values.get(node.args[position]), ctx.values.get(node)  # type: ignore[arg-type]
    if not isinstance(labels, Tensor) or not isinstance(result, Tensor):
        return False
    foreign, offset = result.dim() - 1 - position, result.dim() - labels.dim()
    return all(dim != foreign and dim >= offset for dim in varying_dims(ctx.roots(result)))


def dies_to_zero(ctx: "Context", node: fx.Node) -> bool:
    """Whether a removed channel is exactly 0 in some operand of a contraction, also in the list of an einsum."""
    return any(source in ctx.zero_when_dead for source in node.all_input_nodes)
