"""The user's own module with smaller tensors: its numbers follow, and it is refused where its code holds sizes."""

import torch
from torch import Tensor, nn

from pruning_core.coupling import Coupling
from pruning_core.slimming import slim_graph, slim_module
from tests.pruning_core.coupling.nets import Attention, Net
from tests.pruning_core.slimming.equal import THROUGH_NORMS, assert_equal, batches_of, coupled, groups_of
from tests.removals import IntArray, masked_module, random_groups

IMAGE = torch.randn(2, 3, 8, 8)
ROW = torch.randn(2, 7, 5)


def own(net: nn.Module, coupling: Coupling, removed: IntArray, *inputs: Tensor) -> nn.Module | None:
    return slim_module(net, coupling, removed, slim_graph(coupling, removed), batches_of(*inputs))


def test_sizes_of_layers_follow() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.PReLU(8), nn.Conv2d(8, 16, 3, groups=8), nn.GroupNorm(8, 16),
        nn.ConvTranspose2d(16, 6, 2), nn.Flatten(), nn.Linear(6 * 49, 4),
    )  # fmt: skip
    coupling = coupled(net, IMAGE)
    removed = groups_of(coupling, "0.weight", 0, 3, 4)
    small = own(net, coupling, removed, IMAGE)
    assert isinstance(small, nn.Sequential)
    assert (small[0].out_channels, small[1].num_features, small[2].num_parameters) == (5, 5, 5)
    assert (small[3].in_channels, small[3].out_channels, small[3].groups) == (5, 10, 5)
    assert (small[4].num_groups, small[4].num_channels) == (5, 10)
    assert (small[5].in_channels, small[5].out_channels) == (10, 6)
    assert (small[7].in_features, small[7].out_features) == (294, 4)
    assert_equal(small, masked_module(net, coupling, removed), *batches_of(IMAGE))


def test_layer_norm_and_embedding() -> None:
    net = nn.Sequential(nn.Embedding(9, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    tokens = torch.arange(8).reshape(2, 4)
    coupling = coupled(net, tokens, options=THROUGH_NORMS)
    removed = groups_of(coupling, "2.weight", 1, 2, dim=1)
    small = slim_module(net, coupling, removed, slim_graph(coupling, removed), [(tokens,)])
    assert isinstance(small, nn.Sequential)
    assert (small[0].embedding_dim, small[1].normalized_shape, small[2].in_features) == (6, (6,), 6)


def test_the_module_is_not_changed_and_shares_nothing() -> None:
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    coupling = coupled(net, ROW)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    small = own(net, coupling, groups_of(coupling, "0.weight", 2), ROW)
    assert small is not None
    for parameter in small.parameters():
        parameter.data.fill_(7)
    assert net[0].out_features == 8
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_it_trains_as_a_module_does() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.Flatten(), nn.Linear(512, 4))
    coupling = coupled(net, IMAGE)
    small = own(net, coupling, groups_of(coupling, "0.weight", 2), IMAGE)
    assert small is not None
    small.train()(IMAGE).sum().backward()
    assert all(parameter.grad is not None for parameter in small.parameters())
    assert small[1].num_batches_tracked == 1  # type: ignore[index]


class OwnAttention(Attention):
    """Attention that names its heads as libraries do."""

    def __init__(self, width: int, heads: int, size: int, kv_heads: int | None = None) -> None:
        super().__init__(width, heads, size, kv_heads)
        self.num_heads, self.num_kv_heads, self.all_head_size = heads, kv_heads or heads, heads * size

    def forward(self, x: Tensor) -> Tensor:
        self.heads, self.kv_heads = self.num_heads, self.num_kv_heads
        assert self.q(x).shape[-1] == self.all_head_size
        return super().forward(x)


def test_numbers_of_heads_follow() -> None:
    net = Net(lambda m, x: m.attention(x), attention=OwnAttention(5, 6, 4, kv_heads=3))
    coupling = coupled(net, ROW)
    removed = groups_of(coupling, "attention.k.weight", 5)  # the second of three key heads, and its two query heads
    small = own(net, coupling, removed, ROW)
    assert small is not None
    attention = small.get_submodule("attention")
    assert (attention.num_heads, attention.num_kv_heads, attention.all_head_size) == (4, 2, 16)


def test_a_forward_that_holds_sizes_has_no_own_module() -> None:
    net = Net(lambda m, x: m.b(m.a(x).reshape(x.shape[0], 7 * 8)), a=nn.Linear(5, 8), b=nn.Linear(56, 3))
    coupling = coupled(net, ROW)
    assert own(net, coupling, groups_of(coupling, "a.weight", 1), ROW) is None


def test_a_forward_that_computes_something_else_has_no_own_module() -> None:
    net = Net(lambda m, x: m.b(m.a(x)) / len(m.a.weight), a=nn.Linear(5, 8), b=nn.Linear(8, 3))
    coupling = coupled(net, ROW)
    assert own(net, coupling, groups_of(coupling, "a.weight", 1), ROW) is None


def test_packed_projections_of_another_width() -> None:
    layer = nn.TransformerDecoderLayer(12, 4, 24, batch_first=True)
    net = Net(lambda m, x: m.fc(m.layer(m.e(x), m.e(x)).mean(1)), e=nn.Linear(5, 12), layer=layer, fc=nn.Linear(12, 3))
    coupling = coupled(net, ROW)
    hidden = groups_of(coupling, "layer.linear1.weight", 3, 4)
    small = own(net, coupling, hidden, ROW)
    assert small is not None
    assert small.get_submodule("layer.linear1").out_features == 22
    assert own(net, coupling, random_groups(coupling, 0.5, seed=0), ROW) is None  # torch's attention holds its width
