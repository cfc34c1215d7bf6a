"""The exact groups of small nets, one per family of rules."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning_core.coupling import Options
from tests.pruning_core.coupling.nets import (
    NETS,
    Attention,
    Net,
    columns,
    coupled,
    groups,
    reasons,
    residual,
    rows,
    units,
)

IMAGE = (3, 8, 8)
TOKENS = (7, 5)
DIMENSION = Options(heads="dimension")
THROUGH = Options(through_norms=True)


def of(name: str, *indices: int, dim: int = 0, step: int = 1, start: int = 0):
    """A part of `units`: index `start + step * unit`, or that of each given offset."""
    return lambda unit: {(name, dim, start + step * unit + offset) for offset in indices or (0,)}


def test_a_residual_sum_joins_its_producers_and_their_readers():
    found = coupled(residual(), IMAGE)
    assert groups(found) == units(6, of("a.weight"), of("b.weight"), of("b.weight", dim=1), of("fc.weight", dim=1))
    assert {slot for group in groups(found, vectors=True) for slot in group} >= {("a.bias", 0, 0), ("b.bias", 0, 5)}


def test_a_channel_takes_its_norm_vectors_along_but_not_the_reader_bias():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.PReLU(4), nn.Conv2d(4, 2, 1))
    vectors = [of(f"1.{name}") for name in ("weight", "bias", "running_mean", "running_var")]
    expected = units(4, of("0.weight"), of("0.bias"), *vectors, of("2.weight"), of("3.weight", dim=1))
    assert groups(coupled(net, IMAGE), vectors=True) == expected


def test_image_channels_and_outputs_stay_and_say_why():
    found = coupled(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)), IMAGE)
    assert reasons(found, "0.weight", 1) == {
        "aten.conv2d in '0' meets data without channels, such as the model's input"
    }
    assert reasons(found, "1.weight", 0) == {"they reach the model output"}


def test_a_single_channel_is_all_there_is():
    found = coupled(nn.Sequential(nn.Conv2d(3, 1, 1), nn.Conv2d(1, 2, 1)), IMAGE)
    assert reasons(found, "0.weight", 0) == {"it is all of dimension 0 of '0.weight': nothing would be left"}


def test_concatenated_channels_stay_apart():
    net = Net(
        lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 1)),
        a=nn.Conv2d(3, 2, 1), b=nn.Conv2d(3, 4, 1), c=nn.Conv2d(6, 5, 1),
    )  # fmt: skip
    expected = units(2, of("a.weight"), of("c.weight", dim=1)) | units(
        4, of("b.weight"), of("c.weight", dim=1, start=2)
    )
    assert groups(coupled(net, IMAGE)) == expected


def test_padded_channels_are_groups_of_their_own():
    found = coupled(*hard("option_a"))
    expected = (
        units(8, of("a.weight"), of("b.weight", dim=1, start=2))
        | units(2, of("b.weight", dim=1))
        | units(2, of("b.weight", dim=1, start=10))
        | units(6, of("b.weight"), of("fc.weight", dim=1))
    )
    assert groups(found) == expected


def hard(name: str):
    net, shapes = NETS[name]
    return (net, *shapes)


def test_a_depthwise_channel_is_its_input_and_all_its_outputs():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 2, 1))
    expected = units(4, of("0.weight"), of("1.weight", 0, 1, step=2), of("2.weight", 0, 1, dim=1, step=2))
    assert groups(coupled(net, IMAGE)) == expected


def test_a_grouped_convolution_loses_whole_groups_where_these_are_more():
    net = nn.Sequential(nn.Conv2d(3, 12, 1), nn.Conv2d(12, 12, 3, groups=4), nn.Conv2d(12, 2, 1))
    three = (0, 1, 2)
    expected = units(
        4, *(of(name, *three, step=3) for name in ("0.weight", "1.weight")), of("2.weight", *three, dim=1, step=3)
    )
    assert groups(coupled(net, IMAGE)) == expected


def test_a_grouped_convolution_loses_positions_of_every_group_where_these_are_more():
    net = nn.Sequential(nn.Conv2d(3, 12, 1), nn.Conv2d(12, 10, 3, groups=2), nn.Conv2d(10, 2, 1))
    expected = units(6, of("0.weight", 0, 6), of("1.weight", dim=1)) | units(
        5, of("1.weight", 0, 5), of("2.weight", 0, 5, dim=1)
    )
    assert groups(coupled(net, IMAGE)) == expected


@pytest.mark.parametrize("groups_of_layer", [1, 2, 4])
def test_transposed_convolutions(groups_of_layer: int):
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 12, 2, groups=groups_of_layer), nn.Conv2d(12, 4, 1))
    found = coupled(net, IMAGE)
    apart = units(8, of("0.weight"), of("1.weight")) | units(12, of("1.weight", dim=1), of("2.weight", dim=1))
    positions = units(4, of("0.weight", 0, 4), of("1.weight", 0, 4)) | units(
        6, of("1.weight", dim=1), of("2.weight", 0, 6, dim=1)
    )
    whole = units(4, of("0.weight", 0, 1, step=2), of("1.weight", 0, 1, step=2), of("2.weight", 0, 1, 2, dim=1, step=3))
    assert groups(found) == {1: apart, 2: positions, 4: whole}[groups_of_layer]
    assert len(found.outputs["1.weight"]) == 12
    assert len(set(found.outputs["1.weight"].tolist())) == {1: 12, 2: 6, 4: 4}[groups_of_layer]


def test_a_shuffle_lets_every_channel_go_alone():
    expected = (
        units(6, of("a.weight"), of("c.weight", dim=1, step=2))
        | units(6, of("a.weight", start=6), of("b.weight", dim=1))
        | units(6, of("b.weight"), of("c.weight", dim=1, start=1, step=2))
    )
    assert groups(coupled(*hard("shuffle"))) == expected


def test_a_flattened_channel_is_a_run_of_columns():
    expected = units(4, of("0.weight"), of("3.weight", *range(36), dim=1, step=36))
    assert groups(coupled(*hard("flatten"))) == expected


def test_squeeze_and_excitation_joins_the_gate_with_its_channels():
    net = Net(
        lambda m, x: m.fc((m.a(x) * m.grow(m.shrink(m.a(x).mean((2, 3), keepdim=True)).relu()).sigmoid()).mean((2, 3))),
        a=nn.Conv2d(3, 8, 1), shrink=nn.Conv2d(8, 2, 1), grow=nn.Conv2d(2, 8, 1), fc=nn.Linear(8, 4),
    )  # fmt: skip
    gate = units(8, of("a.weight"), of("shrink.weight", dim=1), of("grow.weight"), of("fc.weight", dim=1))
    assert groups(coupled(net, IMAGE)) == gate | units(2, of("shrink.weight"), of("grow.weight", dim=1))


def test_a_spatial_gate_stays_and_its_channels_are_free():
    found = coupled(*hard("gate"))
    assert groups(found) == units(8, of("a.weight"), of("gate.weight", dim=1), of("fc.weight", dim=1))
    assert len(reasons(found, "gate.weight", 0)) == 1


def test_pixel_shuffle_joins_the_channels_behind_a_pixel():
    expected = units(4, of("0.weight", 0, 1, 2, 3, step=4), of("2.weight"))
    assert groups(coupled(*hard("pixel_shuffle"))) >= expected


def test_gated_linear_units_go_in_pairs():
    assert groups(coupled(*hard("glu"))) == units(6, of("a.weight", 0, 6), of("c.weight", dim=1))


@pytest.mark.parametrize(
    "operate",
    [
        lambda x: F.unfold(x, 2).transpose(1, 2),
        lambda x: F.pixel_unshuffle(x, 2).flatten(2).transpose(1, 2),
        lambda x: x.flatten(2).transpose(1, 2).repeat_interleave(4, -1),
    ],
    ids=["unfold", "pixel_unshuffle", "repeat_interleave"],
)
def test_a_channel_that_becomes_a_run(operate):
    net = Net(lambda m, x: m.fc(operate(m.a(x))), a=nn.Conv2d(3, 4, 1), fc=nn.Linear(16, 2))
    assert groups(coupled(net, IMAGE)) == units(4, of("a.weight"), of("fc.weight", 0, 1, 2, 3, dim=1, step=4))


def test_a_channel_shuffle_as_one_operator():
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ChannelShuffle(2), nn.Conv2d(6, 2, 1))
    order = [0, 2, 4, 1, 3, 5]
    expected = {frozenset({("0.weight", 0, i), ("2.weight", 1, order[i])}) for i in range(6)}
    assert groups(coupled(net, IMAGE)) == expected


def test_a_grid_sample_keeps_channels_and_its_coordinates():
    net = Net(
        lambda m, x: m.c(F.grid_sample(m.a(x), m.at(x).movedim(1, -1), align_corners=False)),
        a=nn.Conv2d(3, 4, 1), at=nn.Conv2d(3, 2, 1), c=nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    found = coupled(net, IMAGE)
    assert groups(found) == units(4, of("a.weight"), of("c.weight", dim=1))
    assert reasons(found, "at.weight", 0) == {"aten.grid_sampler reads it as coordinates"}


ATTENTION = ("attention.q.weight", "attention.k.weight", "attention.v.weight")


def attending(heads: int, size: int, kv_heads: int | None = None) -> Net:
    return Net(
        lambda m, x: m.fc(m.attention(m.e(x)).mean(1)),
        e=nn.Linear(5, 7), attention=Attention(7, heads, size, kv_heads), fc=nn.Linear(7, 3),
    )  # fmt: skip


def width() -> set:
    """The groups of the residual width of `attending`."""
    return units(7, of("e.weight"), *(of(name, dim=1) for name in ATTENTION)) | units(
        7, of("attention.proj.weight"), of("fc.weight", dim=1)
    )


def test_a_head_is_rows_of_query_key_value_and_columns_of_the_projection():
    found = coupled(attending(4, 3), TOKENS)
    run = (0, 1, 2)
    heads = units(4, *(of(name, *run, step=3) for name in ATTENTION), of("attention.proj.weight", *run, dim=1, step=3))
    assert groups(found) == heads | width()
    assert len(found.heads) == 4


def test_the_same_dimension_of_all_heads():
    found = coupled(attending(4, 3), TOKENS, options=DIMENSION)
    every = (0, 3, 6, 9)
    expected = units(3, *(of(name, *every) for name in ATTENTION[:2])) | units(
        3, of(ATTENTION[2], *every), of("attention.proj.weight", *every, dim=1)
    )
    assert groups(found) == expected | width()
    assert not found.heads


def test_grouped_query_heads_go_with_their_key_and_value():
    found = coupled(attending(4, 3, kv_heads=2), TOKENS)
    six, three = tuple(range(6)), (0, 1, 2)
    heads = units(
        2,
        of(ATTENTION[0], *six, step=6),
        *(of(name, *three, step=3) for name in ATTENTION[1:]),
        of("attention.proj.weight", *six, dim=1, step=6),
    )
    assert groups(found) == heads | width()


def test_one_head_prunes_its_dimensions():
    found = coupled(attending(1, 6), TOKENS)
    expected = units(6, *(of(name) for name in ATTENTION[:2])) | units(
        6, of(ATTENTION[2]), of("attention.proj.weight", dim=1)
    )
    assert groups(found) == expected | width()


class Rotated(nn.Module):
    """Query and key times a table over the dimensions of a head, as in rotary positions (arXiv:2104.09864)."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj = nn.Linear(5, 12), nn.Linear(5, 12), nn.Linear(5, 12), nn.Linear(12, 3)
        self.register_buffer("table", torch.randn(7, 3))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).view(-1, 7, 4, 3).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q * self.table, k * self.table, v)
        return self.proj(y.transpose(1, 2).flatten(2)).mean(1)


def test_a_table_over_head_dimensions_follows_only_these():
    heads = units(4, *(of(f"{n}.weight", 0, 1, 2, step=3) for n in "qkv"), of("proj.weight", 0, 1, 2, dim=1, step=3))
    assert groups(coupled(Rotated(), TOKENS)) == heads
    every = (0, 3, 6, 9)
    scores = units(3, of("q.weight", *every), of("k.weight", *every), of("table", dim=1))
    values = units(3, of("v.weight", *every), of("proj.weight", *every, dim=1))
    assert groups(coupled(Rotated(), TOKENS, options=DIMENSION)) == scores | values


class Packed(nn.Module):
    """Attention written with matmul and softmax over one packed projection."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(5, 36), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(x.shape[0], 7, 3, 4, 3).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        return self.proj((scores @ v).transpose(1, 2).flatten(2)).mean(1)


@pytest.mark.parametrize("options", [Options(), DIMENSION])
def test_packed_query_key_value(options: Options):
    found = groups(coupled(Packed(), TOKENS, options=options))
    head = [start + i for start in (0, 12, 24) for i in (0, 1, 2)]
    by_head = units(4, of("qkv.weight", *head, step=3), of("proj.weight", 0, 1, 2, dim=1, step=3))
    by_dimension = units(3, of("qkv.weight", *range(0, 36, 3)), of("proj.weight", 0, 3, 6, 9, dim=1))
    assert found == (by_head if options.heads == "head" else by_dimension)


def test_multihead_attention_with_a_packed_parameter_that_the_graph_splits():
    found = coupled(*hard("multihead"))
    run = [start + i for start in (0, 12, 24) for i in (0, 1, 2)]
    heads = units(4, of("mha.in_proj_weight", *run, step=3), of("mha.out_proj.weight", 0, 1, 2, dim=1, step=3))
    wide = units(12, of("e.weight"), of("mha.in_proj_weight", dim=1))
    assert groups(found) == heads | wide | units(12, of("mha.out_proj.weight"), of("fc.weight", dim=1))
    assert found.roots["mha.in_proj_bias", 0].tolist() == found.roots["mha.in_proj_weight", 0].tolist()


def test_cross_attention_reads_two_inputs():
    found = coupled(*hard("decoder"))
    assert len(found.heads) == 8
    assert groups(found) >= units(24, of("layer.linear1.weight"), of("layer.linear2.weight", dim=1))


def test_linear_attention_that_is_not_zero_without_a_channel_stays():
    found = coupled(*hard("elu_attention"))
    assert groups(found) == set()
    assert reasons(found, "q.weight", 0) == {"aten.matmul sums values that are not zero where a channel is removed"}


def test_a_class_token_shares_the_channels_of_the_patches():
    net = Net(
        lambda m, x: m.fc(m.norm(torch.cat([m.token.expand(x.shape[0], -1, -1), m.a(x)], 1))[:, 0]),
        a=nn.Linear(5, 6), token=torch.randn(1, 1, 6), norm=nn.LayerNorm(6), fc=nn.Linear(6, 3),
    )  # fmt: skip
    expected = units(6, of("token", dim=2), of("a.weight"), of("fc.weight", dim=1))
    assert groups(coupled(net, TOKENS, options=THROUGH)) == expected


NORMS = [nn.LayerNorm(6), nn.RMSNorm(6), nn.GroupNorm(1, 6)]


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: type(norm).__name__)
@pytest.mark.parametrize("options", [Options(), THROUGH])
def test_a_norm_over_channels_freezes_them_or_is_noted(norm: nn.Module, options: Options):
    net = Net(
        lambda m, x: m.fc(m.norm(m.a(x)).mean(1)),
        a=nn.Linear(5, 6), norm=norm, fc=nn.Linear(6, 3),
    )  # fmt: skip
    if isinstance(norm, nn.GroupNorm):
        net.function = lambda m, x: m.fc(m.norm(m.a(x).transpose(1, 2)).mean(2))
    found = coupled(net, TOKENS, options=options)
    expected = units(6, of("a.weight"), of("fc.weight", dim=1))
    assert groups(found) == (expected if options.through_norms else set())
    if options.through_norms:
        assert len(found.statistics) >= 1
    else:
        assert not found.statistics
        (reason,) = reasons(found, "a.weight", 0)
        assert reason.endswith("computes one value over all these channels; the plan option through_norms lets them go")


def test_group_norm_loses_whole_groups():
    expected = units(4, of("0.weight", 0, 1, 2, step=3), of("3.weight", 0, 1, 2, dim=1, step=3))
    assert groups(coupled(*hard("group_norm"))) == expected


def test_group_norm_through_norms_loses_positions_where_these_are_more():
    net = nn.Sequential(nn.Conv2d(3, 12, 3), nn.GroupNorm(2, 12), nn.ReLU(), nn.Conv2d(12, 4, 1))
    found = coupled(net, IMAGE, options=THROUGH)
    assert groups(found) == units(6, of("0.weight", 0, 6), of("3.weight", 0, 6, dim=1))
    assert list(found.statistics.values()) == [(1,)]


def test_instance_norm_works_on_each_channel():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.Conv2d(4, 2, 1))
    expected = units(4, of("0.weight"), of("0.bias"), of("1.weight"), of("1.bias"), of("2.weight", dim=1))
    assert groups(coupled(net, IMAGE), vectors=True) == expected


def test_an_unknown_operator_freezes_what_reaches_it():
    found = coupled(*hard("topk"))
    assert groups(found) == set()
    assert reasons(found, "a.weight", 0) == {"reaches aten.topk: no rule for this operator"}
    assert found.unknown == {"aten.topk: no rule for this operator": 1}


def test_an_unknown_operator_on_data_without_channels_is_silent():
    net = Net(lambda m, x: m.b(m.a(x).relu()) + x.topk(2).values.sum(), a=nn.Linear(5, 4), b=nn.Linear(4, 3))
    found = coupled(net, TOKENS)
    assert found.unknown == {}
    assert len(groups(found)) == 4


def test_a_rule_that_raises_is_an_unknown_operator(monkeypatch: pytest.MonkeyPatch):
    from pruning_core.coupling.rules.table import RULES, Rule

    def broken(*arguments):
        raise KeyError("broken")

    monkeypatch.setitem(RULES, "aten.relu.default", Rule(broken, ()))
    found = coupled(nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), TOKENS)
    assert found.unknown == {"aten.relu: its rule does not cover this use ('broken')": 1}
    assert groups(found) == set()


def test_a_computed_weight_stays():
    found = coupled(*hard("weight_standardised"))
    assert list(found.unknown) == ["aten.conv2d: its weight is computed, not stored"]


def test_an_infinite_value_where_a_channel_is_masked_is_refused():
    net = Net(lambda m, x: m.b(m.a(x).relu().rsqrt()), a=nn.Linear(5, 4), b=nn.Linear(4, 3))
    (reason,) = reasons(coupled(net, TOKENS), "a.weight", 0)
    assert reason == "aten.rsqrt would be infinite where a masked channel is 0"


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.mark.parametrize("kind", GATES)
def test_a_hidden_unit_is_a_row_of_every_gate(kind: str):
    net = Net(
        lambda m, x: m.fc(m.rnn(m.e(x))[0][:, -1]),
        e=nn.Linear(5, 6), rnn=getattr(nn, kind)(6, 4, batch_first=True), fc=nn.Linear(4, 3),
    )  # fmt: skip
    found = coupled(net, TOKENS)
    gate_rows = [4 * gate for gate in range(GATES[kind])]
    gates = [of(f"rnn.{name}_l0", *gate_rows) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    hidden = units(4, *gates, of("rnn.weight_hh_l0", dim=1), of("fc.weight", dim=1))
    entering = units(6, of("e.weight"), of("e.bias"), of("rnn.weight_ih_l0", dim=1))
    assert groups(found, vectors=True) == hidden | entering
    assert not found.unknown


def test_a_stacked_bidirectional_layer_loses_a_unit_everywhere():
    found = coupled(*hard("gru"))
    hidden = [group for group in groups(found) if ("fc.weight", 1, 0) in group]
    assert len(groups(found)) == 6 + 8
    second = {slot for slot in hidden[0] if slot[0] == "rnn.weight_ih_l1"}
    assert second == rows("rnn.weight_ih_l1", 0, 8, 16) | columns("rnn.weight_ih_l1", 0, 8)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projected_lstm_has_cells_and_outputs():
    net = Net(lambda m, x: m.fc(m.rnn(x)[0]), rnn=nn.LSTM(5, 6, proj_size=4, batch_first=True), fc=nn.Linear(4, 3))
    cells = units(
        6, *(of(f"rnn.weight_{name}_l0", 0, 6, 12, 18) for name in ("ih", "hh")), of("rnn.weight_hr_l0", dim=1)
    )
    outputs = units(4, of("rnn.weight_hh_l0", dim=1), of("rnn.weight_hr_l0"), of("fc.weight", dim=1))
    assert groups(coupled(net, TOKENS)) == cells | outputs


def test_several_inputs_of_several_types():
    net = Net(
        lambda m, x, ids: m.fc(m.a(x) + m.table(ids)), a=nn.Linear(5, 6), table=nn.Embedding(9, 6), fc=nn.Linear(6, 3)
    )
    found = coupled(net, torch.randn(2, 7, 5), torch.randint(0, 9, (2, 7)))
    assert groups(found) == units(6, of("a.weight"), of("table.weight", dim=1), of("fc.weight", dim=1))
    assert reasons(found, "table.weight", 0) == {"the input chooses rows of 'table.weight'"}


def test_tied_weights_have_one_name():
    net = Net(lambda m, ids: F.linear(m.fc(m.table(ids)), m.table.weight), table=nn.Embedding(9, 6), fc=nn.Linear(6, 6))
    found = coupled(net, torch.randint(0, 9, (2, 7)))
    assert {name for name, dim in found.roots if dim} == {"table.weight", "fc.weight"}
    assert groups(found) == units(6, of("table.weight", dim=1), of("fc.weight", dim=1), of("fc.weight"))


@pytest.mark.parametrize(
    "multiply",
    [
        lambda x, w, b: x @ w.t(),
        lambda x, w, b: torch.matmul(x, w.transpose(0, 1)),
        lambda x, w, b: torch.mm(x.flatten(0, 1), w.t()).view(-1, 7, 4),
        lambda x, w, b: torch.addmm(b, x.flatten(0, 1), w.permute(1, 0)).view(-1, 7, 4),
        lambda x, w, b: torch.einsum("btc,oc->bto", x, w),
    ],
    ids=["t", "transpose", "mm", "addmm", "einsum"],
)
def test_a_turned_weight_keeps_its_stored_dimensions(multiply):
    stored = {"w": torch.randn(4, 6), "b": torch.randn(4)}
    net = Net(lambda m, x: m.fc(multiply(m.a(x), m.w, m.b)), a=nn.Linear(5, 6), **stored, fc=nn.Linear(4, 3))
    expected = units(6, of("a.weight"), of("w", dim=1)) | units(4, of("w"), of("fc.weight", dim=1))
    assert groups(coupled(net, TOKENS)) == expected


def test_einsum_of_three_operands():
    net = Net(
        lambda m, x: m.fc(torch.einsum("btc,btc,c->bc", m.a(x), m.b(x), m.scale)),
        a=nn.Linear(5, 6), b=nn.Linear(5, 6), scale=torch.randn(6), fc=nn.Linear(6, 3),
    )  # fmt: skip
    assert groups(coupled(net, TOKENS), vectors=True) == units(
        6, of("a.weight"), of("a.bias"), of("b.weight"), of("b.bias"), of("scale"), of("fc.weight", dim=1)
    )


def test_convolution_with_named_padding():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(4, 2, 1))
    assert groups(coupled(net, IMAGE)) == units(4, of("0.weight"), of("1.weight", dim=1))


def test_very_large_plain_data_stay(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pruning_core.coupling.stored.MOST_ELEMENTS", 41)
    net = Net(lambda m, x: m.fc(m.a(x) + m.table), a=nn.Linear(5, 6), table=torch.randn(7, 6), fc=nn.Linear(6, 3))
    found = coupled(net, TOKENS)
    assert reasons(found, "a.weight", 0) == {"meets 'table', plain data of 42 elements: too large to follow"}


def test_a_sum_with_a_broadcast_channel_is_not_zero_where_a_channel_is_removed():
    net = Net(
        lambda m, x: m.fc((m.a(x) + m.one(x)) @ (m.a(x) + m.one(x)).transpose(1, 2)),
        a=nn.Linear(5, 6), one=nn.Linear(5, 1), fc=nn.Linear(7, 3),
    )  # fmt: skip
    (reason,) = reasons(coupled(net, TOKENS), "a.weight", 0)
    assert reason == "aten.matmul sums values that are not zero where a channel is removed"


def test_a_tensor_in_two_roles_stays():
    net = Net(lambda m, x: m.fc(F.linear(x, m.w) + m.w.sum()), w=torch.randn(6, 5), fc=nn.Linear(6, 3))
    (reason,) = reasons(coupled(net, TOKENS), "w", 0)
    assert reason == "'w' is used both as the weight of a layer and as plain data"
