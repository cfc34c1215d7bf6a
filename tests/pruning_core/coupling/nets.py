"""Small nets, each with one thing that makes coupling hard; sizes differ where a mix-up could hide."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning_core.coupling import Coupling, Options, couple
from pruning_core.graph import ModelGraph, trace
from pruning_core.layers import tensor_at

Slot = tuple[str, int, int]  # tensor, stored dimension, index


class Net(nn.Module):
    """Modules by name and a forward function of them."""

    def __init__(self, forward: Callable[..., Tensor], **modules: Any) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            if isinstance(module, nn.Module):
                self.add_module(name, module)
            else:
                setattr(self, name, nn.Parameter(module))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.function(self, x) if y is None else self.function(self, x, y)


def coupled(net: nn.Module, *inputs: Tensor | tuple[int, ...], options: Options | None = None) -> Coupling:
    """Couple a net at example inputs, or at random ones of these shapes."""
    examples = tuple(given if isinstance(given, Tensor) else torch.randn(2, *given) for given in inputs)
    return couple(traced(net, *examples), options)


def traced(net: nn.Module, *examples: Tensor) -> ModelGraph:
    """Trace a net; one of `NETS` only once, since a trace takes long and is never changed."""
    name = next((name for name, (known, _) in NETS.items() if known is net), None)
    return trace(net.eval(), examples) if name is None else traced_once(name)


@cache
def traced_once(name: str) -> ModelGraph:
    """Trace one of `NETS`; the graph shares its parameters."""
    net, shapes = NETS[name]
    return trace(net.eval(), tuple(torch.randn(2, *shape) for shape in shapes))


def slots_of(coupling: Coupling) -> dict[int, frozenset[Slot]]:
    """Return the slots of every group, prunable or not."""
    found: dict[int, set[Slot]] = {}
    for (name, dim), roots in coupling.roots.items():
        for index, root in enumerate(roots.tolist()):
            if root:
                found.setdefault(root, set()).add((name, dim, index))
    return {root: frozenset(slots) for root, slots in found.items()}


def groups(coupling: Coupling, vectors: bool = False) -> set[frozenset[Slot]]:
    """Return the slots of the prunable groups; without those of biases and norm vectors unless asked for."""
    several = {name for name, _ in coupling.roots if tensor_at(coupling.original, name).dim() > 1}
    free, slots = set(coupling.prunable().tolist()), slots_of(coupling)
    kept = {root: {slot for slot in slots[root] if vectors or slot[0] in several} for root in free}
    return {frozenset(value) for value in kept.values()}


def rows(name: str, *indices: int, dim: int = 0) -> set[Slot]:
    """Return the slots of some indices of one stored dimension."""
    return {(name, dim, index) for index in indices}


def columns(name: str, *indices: int) -> set[Slot]:
    """Return the slots of some columns."""
    return rows(name, *indices, dim=1)


def units(count: int, *parts: Callable[[int], set[Slot]]) -> set[frozenset[Slot]]:
    """Return `count` groups, the union of the parts of each."""
    return {frozenset(set().union(*(part(unit) for part in parts))) for unit in range(count)}


def reasons(coupling: Coupling, name: str, dim: int) -> set[str]:
    """Return why the groups of a stored dimension must stay."""
    return {coupling.why_not[root] for root in coupling.roots[name, dim].tolist() if root in coupling.why_not}


class Attention(nn.Module):
    """Scaled dot-product attention with separate projections; fewer key and value heads are repeated."""

    def __init__(self, width: int, heads: int, size: int, kv_heads: int | None = None) -> None:
        super().__init__()
        kv_heads = kv_heads or heads
        self.heads, self.kv_heads, self.size = heads, kv_heads, size
        self.q = nn.Linear(width, heads * size)
        self.k, self.v = nn.Linear(width, kv_heads * size), nn.Linear(width, kv_heads * size)
        self.proj = nn.Linear(heads * size, width)

    def split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(x.shape[0], x.shape[1], heads, self.size).transpose(1, 2)  # (batch, heads, tokens, size)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            self.split(self.q(x), self.heads),
            self.split(self.k(x), self.kv_heads),
            self.split(self.v(x), self.kv_heads),
        )
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=self.heads != self.kv_heads)
        return self.proj(y.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))


def sequential(*modules: nn.Module) -> nn.Sequential:
    """Modules in a row."""
    return nn.Sequential(*modules)


def nets() -> Iterator[tuple[str, nn.Module, tuple[tuple[int, ...], ...]]]:
    """Return every net by name with the shapes of its inputs: the hard cases, for properties that hold for all."""
    image = (3, 8, 8)
    conv, pool = nn.Conv2d, nn.Flatten
    yield "residual", residual(), (image,)
    yield (
        "option_a",
        Net(
            lambda m, x: m.fc(m.b(F.pad(m.a(x)[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))).relu().mean((2, 3))),
            a=conv(3, 8, 3, padding=1),
            b=conv(12, 6, 1),
            fc=nn.Linear(6, 4),
        ),
        (image,),
    )
    yield (
        "gate",
        Net(
            lambda m, x: m.fc((m.a(x) * m.gate(m.a(x)).sigmoid()).mean((2, 3))),
            a=conv(3, 8, 1),
            gate=conv(8, 1, 1),
            fc=nn.Linear(8, 4),
        ),
        (image,),
    )
    yield (
        "cbam",
        Net(
            lambda m, x: m.fc((m.a(x) * m.gate(m.a(x).mean(1, keepdim=True)).sigmoid()).mean((2, 3))),
            a=conv(3, 8, 1),
            gate=conv(1, 1, 1),
            fc=nn.Linear(8, 4),
        ),
        (image,),
    )
    yield (
        "gru",
        Net(
            lambda m, x: m.fc(m.rnn(m.e(x).relu())[0][:, -1]),
            e=nn.Linear(5, 6),
            rnn=nn.GRU(6, 8, 2, bidirectional=True, batch_first=True),
            fc=nn.Linear(16, 3),
        ),
        ((7, 5),),
    )
    yield (
        "pixel_shuffle",
        sequential(conv(3, 16, 3), nn.PixelShuffle(2), nn.ConvTranspose2d(4, 6, 2), nn.ReLU(), conv(6, 2, 1)),
        (image,),
    )
    yield (
        "one_head",
        Net(
            lambda m, x: m.fc(m.attention(m.e(x)).mean(1)),
            e=nn.Linear(5, 12),
            attention=Attention(12, 1, 6),
            fc=nn.Linear(12, 3),
        ),
        ((7, 5),),
    )
    yield (
        "elu_attention",
        Net(
            lambda m, x: m.fc((F.elu(m.q(x)) + 1) @ ((F.elu(m.k(x)) + 1).transpose(1, 2) @ m.v(x))).mean(1),
            q=nn.Linear(5, 6),
            k=nn.Linear(5, 6),
            v=nn.Linear(5, 8),
            fc=nn.Linear(8, 3),
        ),
        ((7, 5),),
    )
    yield "group_norm", sequential(conv(3, 12, 3), nn.GroupNorm(4, 12), nn.ReLU(), conv(12, 4, 1)), (image,)
    yield (
        "weight_standardised",
        Net(
            lambda m, x: m.b(F.conv2d(x, m.w - m.w.mean((1, 2, 3), keepdim=True))),
            w=torch.randn(6, 3, 3, 3),
            b=conv(6, 4, 1),
        ),
        (image,),
    )
    yield (
        "topk",
        Net(
            lambda m, x: m.fc(m.a(x).mean((2, 3)).topk(3).values),
            a=conv(3, 8, 1),
            fc=nn.Linear(3, 4),
        ),
        (image,),
    )
    yield (
        "glu",
        Net(
            lambda m, x: m.c(F.glu(m.a(x), 1)),
            a=conv(3, 12, 1),
            c=conv(6, 4, 1),
        ),
        (image,),
    )
    yield "flatten", sequential(conv(3, 4, 3), nn.ReLU(), pool(), nn.Linear(144, 5)), (image,)
    yield (
        "multiplier",
        sequential(conv(3, 8, 1), conv(8, 16, 3, groups=8), nn.ReLU(), conv(16, 12, 1, groups=4), conv(12, 4, 1)),
        (image,),
    )
    yield (
        "multihead",
        Net(
            lambda m, x: m.fc(m.mha(m.e(x), m.e(x), m.e(x), need_weights=False)[0].mean(1)),
            e=nn.Linear(5, 12),
            mha=nn.MultiheadAttention(12, 4, batch_first=True),
            fc=nn.Linear(12, 3),
        ),
        ((7, 5),),
    )
    yield (
        "decoder",
        Net(
            lambda m, x, y: m.fc(m.layer(m.e(x), m.e(y)).mean(1)),
            e=nn.Linear(5, 12),
            layer=nn.TransformerDecoderLayer(12, 4, 24, batch_first=True),
            fc=nn.Linear(12, 3),
        ),
        ((7, 5), (9, 5)),
    )
    yield (
        "gqa",
        Net(
            lambda m, x: m.fc(m.attention(m.e(x) + m.positions).mean(1)),
            e=nn.Linear(5, 12),
            attention=Attention(12, 4, 3, kv_heads=2),
            positions=torch.randn(7, 12),
            fc=nn.Linear(12, 3),
        ),
        ((7, 5),),
    )
    yield (
        "shuffle",
        Net(
            lambda m, x: m.c(shuffled(torch.cat([m.a(x)[:, :6], m.b(m.a(x)[:, 6:])], 1), 2)),
            a=conv(3, 12, 1),
            b=conv(6, 6, 1),
            c=conv(12, 4, 1),
        ),
        (image,),
    )
    yield (
        "transposed_groups",
        sequential(conv(3, 8, 1), nn.ConvTranspose2d(8, 12, 2, groups=2), nn.ReLU(), conv(12, 4, 1)),
        (image,),
    )


def residual() -> nn.Module:
    """A residual block: its sum joins the outputs of two convolutions."""
    return Net(
        lambda m, x: m.fc((m.b(m.a(x).relu()) + m.a(x)).mean((2, 3))),
        a=nn.Conv2d(3, 6, 1),
        b=nn.Conv2d(6, 6, 3, padding=1),
        fc=nn.Linear(6, 4),
    )


def shuffled(x: Tensor, count: int) -> Tensor:
    """Channel shuffle of ShuffleNet."""
    batch, channels, height, width = x.shape
    return (
        x.view(batch, count, channels // count, height, width).transpose(1, 2).reshape(batch, channels, height, width)
    )


NETS = {name: (net, shapes) for name, net, shapes in nets()}
