"""Is an element whose channel is masked exactly 0 here? A sigmoid of 0 is not."""

from torch import fx

from pruning_core.layers import operator

_WEIGHTED = frozenset(
    f"aten.{name}"
    for name in """linear addmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d embedding
    _native_batch_norm_legit_no_training instance_norm lstm gru rnn_tanh rnn_relu""".split()
)
_KEEPS_ZERO = frozenset(
    f"aten.{name}"
    for name in """pow layer_norm rms_norm group_norm relu gelu silu hardswish tanh neg abs leaky_relu elu selu celu
    mish relu6 sqrt sin erf div max_pool2d avg_pool2d max_pool1d avg_pool1d mean sum adaptive_avg_pool2d view reshape
    _unsafe_view permute transpose t slice select split split_with_sizes chunk unbind squeeze unsqueeze expand clone
    contiguous cat stack alias _to_copy to roll index index_select sub add dropout flatten repeat flip square
    linalg_vector_norm""".split()
)


def packet(node: fx.Node) -> str:
    """Return `aten.conv2d` for every overload; Python functions by their own name."""
    return ".".join(operator(node).split(".")[:2])


def is_zero_when_dead(node: fx.Node, known: set[fx.Node]) -> bool:
    """Whether removed channels are exactly 0 in the result of `node`; `known` are the nodes before with that answer."""
    name, sources = packet(node), [source for source in node.all_input_nodes if source.op != "get_attr"]
    if name in _WEIGHTED:
        return True
    if name in ("aten.mul", "aten.matmul", "aten.bmm", "aten.mm", "aten.scaled_dot_product_attention"):
        return any(source in known for source in sources)
    if name == "aten.pow" and not (isinstance(node.args[1], (int, float)) and node.args[1] > 0):
        return False
    if name == "aten.div" and node.args[0] not in known:
        return False
    if name in ("aten.add", "aten.sub") and not isinstance(node.args[1], fx.Node):
        return False
    return (name in _KEEPS_ZERO or name == "getitem") and bool(sources) and all(source in known for source in sources)
