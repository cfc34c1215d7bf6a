"""The smaller graph: which tensors remain, and each number that names a size."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning_core.coupling import Options
from pruning_core.errors import CannotRemove
from pruning_core.slimming import slim_graph
from pruning_core.slimming.rewrites import REWRITES
from tests.pruning_core.coupling.nets import NETS, Attention, Net, shuffled
from tests.pruning_core.slimming.equal import (
    THROUGH_NORMS,
    arguments,
    assert_equal,
    batches_of,
    calls,
    coupled,
    groups_of,
    slimmed,
)
from tests.removals import masked_module, random_groups

IMAGE = (torch.randn(2, 3, 8, 8),)
ROW = (torch.randn(2, 7, 5),)  # (batch, tokens, width)


def test_living_values_are_taken_in_their_order() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    coupling = coupled(net, torch.randn(2, 2))
    state = slim_graph(coupling, groups_of(coupling, "0.weight", 0, 2)).state_dict()
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert torch.equal(state["0.weight"], net[0].weight[[1, 3]])
    assert torch.equal(state["0.bias"], net[0].bias[[1, 3]])
    assert torch.equal(state["2.weight"], net[2].weight[:, [1, 3]])
    assert torch.equal(state["2.bias"], net[2].bias)


def test_parameters_stay_trainable_where_they_were_and_are_copies() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    net[2].bias.requires_grad = False
    coupling = coupled(net, torch.randn(2, 2))
    graph = slim_graph(coupling, groups_of(coupling, "0.weight", 1))
    trainable = {name: parameter.requires_grad for name, parameter in graph.named_parameters()}
    assert trainable.pop("2.bias") is False
    assert all(trainable.values())
    assert set(trainable) == {"0.weight", "0.bias", "1.weight", "1.bias", "2.weight"}
    graph.get_parameter("2.bias").data.fill_(9)
    assert not (net[2].bias == 9).any()
    graph(torch.randn(3, 2)).sum().backward()
    assert graph.get_parameter("0.weight").grad is not None


def test_values_come_from_the_state_that_is_given() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    coupling = coupled(net, torch.randn(2, 2))
    graph = slim_graph(coupling, groups_of(coupling, "0.weight", 0), {"2.weight": torch.ones(3, 4)})
    assert torch.equal(graph.state_dict()["2.weight"], torch.ones(3, 3))
    assert torch.equal(graph.state_dict()["0.weight"], net[0].weight[1:])


def test_tied_weights_stay_tied() -> None:
    net = Net(
        lambda m, x: F.linear(m.encode(x).relu(), m.decode.weight.T),
        encode=nn.Linear(4, 6),
        decode=nn.Linear(4, 6),
    )
    net.decode.weight = net.encode.weight
    graph = slimmed(net, (torch.randn(2, 4),), lambda c: groups_of(c, "encode.weight", 1, 5))
    weights = [tensor for name, tensor in graph.named_parameters() if name.endswith("weight")]
    assert [tuple(weight.shape) for weight in weights] == [(4, 4)]


@pytest.mark.parametrize("view", ["view", "reshape"])
def test_sizes_of_views(view: str) -> None:
    net = Net(lambda m, x: m.b(getattr(m.a(x), view)(x.shape[0], 6 * 64)), a=nn.Conv2d(3, 6, 1), b=nn.Linear(384, 4))
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "a.weight", 1, 4))
    assert arguments(graph, "reshape")[0][1] == 4 * 64  # type: ignore[index]


def test_a_size_that_depends_on_the_batch_becomes_open() -> None:
    net = Net(
        lambda m, x: m.b(m.a(x).reshape(x.shape[0] * 6, 1, 8, 8).reshape(x.shape[0], 6, 8, 8)).mean((2, 3)),
        a=nn.Conv2d(3, 6, 1),
        b=nn.Conv2d(6, 4, 1),
    )
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "a.weight", 0))
    assert [node.args[1][0] == -1 for node in calls(graph, "reshape")] == [True, False]


def test_expand() -> None:
    net = Net(
        lambda m, x: m.b((m.a(x) * m.scale.view(1, 6, 1, 1).expand(x.shape[0], 6, 8, 8)).relu()),
        a=nn.Conv2d(3, 6, 1),
        b=nn.Conv2d(6, 4, 1),
        scale=torch.randn(6),
    )
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "a.weight", 0, 3))
    (node,) = calls(graph, "expand")
    assert list(node.args[1])[1:] == [4, 8, 8]


def test_bounds_of_slices() -> None:
    net = Net(lambda m, x: m.b(m.a(x)[:, 2:6]) + m.c(m.a(x)[:, -4:]), a=nn.Conv2d(3, 9, 1), b=nn.Conv2d(4, 2, 1),
              c=nn.Conv2d(4, 2, 1))  # fmt: skip
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "a.weight", 0, 3, 7))
    bounds = [list(node.args[2:4]) for node in calls(graph, "slice") if node.args[1] == 1]
    assert bounds == [[1, 4], [3, 2**63 - 1]]  # of 1 2 4 5 6 8: from 2 to 5, and from 5 on


def test_every_second_channel() -> None:
    net = Net(lambda m, x: m.b(m.a(x)[:, 1::2]) - m.c(m.a(x)), a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(4, 2, 1),
              c=nn.Conv2d(8, 2, 1))  # fmt: skip
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "a.weight", 0, 3, 4))
    (node,) = calls(graph, "index_select")
    assert graph.get_buffer(str(node.args[2].target)).tolist() == [0, 2, 4]  # 1 5 7 of 1 2 5 6 7


def test_one_channel_selected() -> None:
    net = Net(lambda m, x: m.b(m.a(x)).flatten(1) + m.a(x)[:, 4].flatten(1)[:, :2], a=nn.Conv2d(3, 6, 1),
              b=nn.Sequential(nn.Conv2d(6, 2, 8)))  # fmt: skip
    coupling = coupled(net, *IMAGE)
    with pytest.raises(CannotRemove):
        slim_graph(coupling, groups_of(coupling, "a.weight", 4))
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "a.weight", 1, 5))
    assert arguments(graph, "select") == [1, 3]


@pytest.mark.parametrize("cut", [lambda x: x.split([2, 4], 1), lambda x: x.chunk(2, 1)], ids=["sizes", "chunk"])
def test_split(cut: object) -> None:
    def forward(m: Net, x: Tensor) -> Tensor:
        first, second = cut(m.a(x))  # type: ignore[operator]
        return m.b(first) + m.c(second)

    first, second = (t.shape[1] for t in cut(torch.zeros(1, 6, 1, 1)))  # type: ignore[operator]
    net = Net(forward, a=nn.Conv2d(3, 6, 1), b=nn.Conv2d(first, 2, 1), c=nn.Conv2d(second, 2, 1))
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "a.weight", 1, 4, 5))
    assert arguments(graph, "split_with_sizes") == [[1, 2] if first == 2 else [2, 1], 1]


def test_groups_of_convolutions() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 3, groups=8), nn.ReLU(), nn.Conv2d(16, 4, 1))
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "0.weight", 2, 5, 6))
    assert [node.args[6] for node in calls(graph, "conv2d") if len(node.args) > 6 and node.args[6] > 1] == [5]
    assert graph.get_parameter("1.weight").shape == (10, 1, 3, 3)


def test_groups_of_transposed_convolutions() -> None:
    net, shapes = NETS["transposed_groups"]
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    graph = slimmed(net, inputs, lambda c: random_groups(c, 0.5, seed=1))
    assert sum(p.numel() for p in graph.parameters()) < sum(p.numel() for p in net.parameters())


def test_groups_of_group_norms_go_whole() -> None:
    net = nn.Sequential(nn.Conv2d(3, 12, 3), nn.GroupNorm(4, 12), nn.ReLU(), nn.Conv2d(12, 4, 1))
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "0.weight", 3))
    assert arguments(graph, "group_norm")[0] == 3
    assert graph.get_parameter("1.weight").shape == (9,)


def test_the_shape_of_a_layer_norm() -> None:
    net = nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    graph = slimmed(net, ROW, lambda c: groups_of(c, "0.weight", 0, 7), options=THROUGH_NORMS)
    assert arguments(graph, "layer_norm")[0] == [6]


def test_padding_of_channels() -> None:
    net = Net(lambda m, x: m.b(F.pad(m.a(x), (1, 1, 0, 0, 2, 3)).relu()), a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(9, 2, 1))
    coupling = coupled(net, *IMAGE)
    padded = coupling.roots["b.weight", 1][[0, 7, 8]]
    removed = torch.tensor([*padded.tolist(), *groups_of(coupling, "a.weight", 1).tolist()]).sort().values.numpy()
    graph = slim_graph(coupling, removed)
    assert_equal(graph, masked_module(net, coupling, removed), *batches_of(*IMAGE))
    (node,) = calls(graph, "pad") + calls(graph, "constant_pad_nd")
    assert list(node.args[1]) == [1, 1, 0, 0, 1, 1]


def test_attention_keeps_the_scale_of_the_old_width() -> None:
    net = Net(
        lambda m, x: m.fc(m.attention(m.e(x))), e=nn.Linear(5, 12), attention=Attention(12, 1, 6), fc=nn.Linear(12, 3)
    )
    graph = slimmed(net, ROW, lambda c: groups_of(c, "attention.q.weight", 0, 3))
    (node,) = calls(graph, "scaled_dot_product_attention")
    assert node.kwargs["scale"] == 1 / math.sqrt(6)
    assert graph.get_parameter("attention.k.weight").shape == (4, 12)


def test_the_same_dimensions_of_all_heads() -> None:
    net = Net(
        lambda m, x: m.fc(m.attention(m.e(x))), e=nn.Linear(5, 12), attention=Attention(12, 3, 4), fc=nn.Linear(12, 3)
    )
    coupling = coupled(net, *ROW, options=Options(heads="dimension"))
    removed = groups_of(coupling, "attention.q.weight", 1)
    graph = slim_graph(coupling, removed)
    assert graph.get_parameter("attention.q.weight").shape == (9, 12)
    assert_equal(graph, masked_module(net, coupling, removed), *batches_of(*ROW))


def test_a_shuffle_is_an_order_of_what_lives() -> None:
    net = Net(lambda m, x: m.b(shuffled(m.a(x), 2)), a=nn.Conv2d(3, 6, 1), b=nn.Conv2d(6, 2, 1))
    graph = slimmed(net, IMAGE, lambda c: groups_of(c, "a.weight", 1, 3))
    (node,) = calls(graph, "index_select")
    order = graph.get_buffer(str(node.args[2].target))
    assert order.tolist() == [0, 2, 1, 3]  # 0 3 1 4 2 5 without 1 and 3: 0 4 2 5, of 0 2 4 5
    assert node.args[2].target in graph.state_dict()  # in the state, so that nothing else is needed


def test_a_dimension_that_becomes_one_is_not_squeezed_away() -> None:
    net = Net(
        lambda m, x: m.b(m.a(x).mean((2, 3), keepdim=True).squeeze()),
        a=nn.Conv2d(3, 2, 1),
        b=nn.Linear(2, 4),
    )
    coupling = coupled(net, *IMAGE)
    removed = groups_of(coupling, "a.weight", 0)
    graph = slim_graph(coupling, removed)
    assert_equal(graph, masked_module(net, coupling, removed), batches_of(*IMAGE)[1])


def test_packed_projections_that_are_split() -> None:
    net, shapes = NETS["decoder"]
    graph = slimmed(net, tuple(torch.randn(2, *s) for s in shapes), lambda c: random_groups(c, 0.5, seed=3))
    assert any("_part" in name for name in graph.state_dict())


@pytest.mark.parametrize("name", NETS)
def test_random_removals_equal_the_masked_net(name: str) -> None:
    net, shapes = NETS[name]
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    coupling = coupled(net, *inputs)
    for seed, share in enumerate((0.3, 0.5, 0.8)):
        removed = random_groups(coupling, share, seed)
        graph = slim_graph(coupling, removed)
        assert_equal(graph, masked_module(net, coupling, removed), *batches_of(*inputs))


def test_what_must_stay_is_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    coupling = coupled(net, torch.randn(2, 2))
    with pytest.raises(CannotRemove, match="must stay"):
        slim_graph(coupling, groups_of(coupling, "2.weight", 0))


def test_all_of_a_layer_is_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    coupling = coupled(net, torch.randn(2, 2))
    with pytest.raises(CannotRemove, match="nothing would be left"):
        slim_graph(coupling, groups_of(coupling, "0.weight", 0, 1, 2, 3))


def test_every_rewrite_is_of_an_operator_of_torch() -> None:
    assert [name for name in REWRITES if not hasattr(torch.ops.aten, name)] == []
