"""Awkward networks of every kind, small: shared and tied weights, shortcuts, attention, norms, arithmetic on sizes."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning_core.model import Model


class Net(nn.Module):
    """Modules by name, and a function that uses them."""

    def __init__(self, use: Callable[["Net", Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.use = use
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.use(self, x)


def head(x: Tensor) -> Tensor:
    """(batch, channels, h, w) -> (batch, channels)."""
    return x.mean((2, 3))


def shared_module() -> tuple[nn.Module, Tensor]:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    net = Net(lambda n, x: n.fc(head(F.relu(n.conv(F.relu(n.conv(x)))))), conv=conv, fc=nn.Linear(4, 3))
    return net, torch.randn(5, 4, 6, 6)


def shared_module_with_norm() -> tuple[nn.Module, Tensor]:
    net = Net(
        lambda n, x: n.fc(head(n.conv(F.relu(n.norm(n.conv(x)))))),
        conv=nn.Conv2d(4, 4, 3, padding=1),
        norm=nn.BatchNorm2d(4),
        fc=nn.Linear(4, 3),
    )
    return net, torch.randn(5, 4, 6, 6)


def tied_weights() -> tuple[nn.Module, Tensor]:
    net = Net(lambda n, x: n.c(F.relu(n.b(F.relu(n.a(x))))), a=nn.Linear(6, 6), b=nn.Linear(6, 6), c=nn.Linear(6, 3))
    net.b.weight = net.a.weight
    return net, torch.randn(5, 6)


def tied_embedding() -> tuple[nn.Module, Tensor]:
    net = Net(lambda n, x: n.out(F.relu(n.mid(n.table(x).mean(1)))), table=nn.Embedding(9, 6), mid=nn.Linear(6, 6))
    net.out = nn.Linear(6, 9, bias=False)
    net.out.weight = net.table.weight
    return net, torch.randint(0, 9, (5, 4))


def read_through_a_transpose() -> tuple[nn.Module, Tensor]:
    net = Net(lambda n, x: F.relu(x @ n.w) @ n.v.t(), fc=nn.Identity())
    net.w, net.v = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(3, 8))
    return net, torch.randn(5, 6)


def shortcut_after_the_fork() -> tuple[nn.Module, Tensor]:
    net = Net(
        lambda n, x: n.fc(head(F.relu(n.bn2(n.conv2(F.relu(n.bn1(n.conv1(x))))) + n.bn3(n.short(x))))),
        conv1=nn.Conv2d(3, 4, 3, padding=1, stride=2),
        bn1=nn.BatchNorm2d(4),
        conv2=nn.Conv2d(4, 4, 3, padding=1, bias=False),
        bn2=nn.BatchNorm2d(4),
        short=nn.Conv2d(3, 4, 1, stride=2),
        bn3=nn.BatchNorm2d(4),
        fc=nn.Linear(4, 3),
    )
    return net, torch.randn(5, 3, 8, 8)


def norm_without_affine() -> tuple[nn.Module, Tensor]:
    norm = nn.BatchNorm2d(4, affine=False)
    net = Net(lambda n, x: n.fc(head(n.norm(n.conv(x)).relu())), conv=nn.Conv2d(1, 4, 3), norm=norm, fc=nn.Linear(4, 3))
    return net, torch.randn(5, 1, 6, 6)


def grouped_and_transposed() -> tuple[nn.Module, Tensor]:
    net = Net(
        lambda n, x: n.fc(head(F.relu(n.bn2(n.up(F.relu(n.bn1(n.grouped(x)))))))),
        grouped=nn.Conv2d(4, 8, 3, groups=2, bias=False),
        bn1=nn.BatchNorm2d(8),
        up=nn.ConvTranspose2d(8, 4, 2, stride=2, groups=2),
        bn2=nn.BatchNorm2d(4),
        fc=nn.Linear(4, 3),
    )
    return net, torch.randn(5, 4, 6, 6)


def norm_in_one_dimension() -> tuple[nn.Module, Tensor]:
    net = Net(
        lambda n, x: n.fc(F.relu(n.norm(n.conv(x))).flatten(1)),
        conv=nn.Conv1d(3, 4, 3),
        norm=nn.BatchNorm1d(4),
        fc=nn.Linear(16, 3),
    )
    return net, torch.randn(5, 3, 6)


def arithmetic_on_sizes() -> tuple[nn.Module, Tensor]:
    def use(n: Net, x: Tensor) -> Tensor:
        y = n.conv(x)
        batch, channels, height, width = y.shape
        ramp = torch.arange(height * width).view(1, 1, height, width) / (height + width)
        token = torch.zeros(1, 1, 1, 1).expand(batch, channels, 1, width)
        return n.fc(torch.cat([y * ramp, token], 2).reshape(batch, channels * (height + 1) * width))

    return Net(use, conv=nn.Conv2d(2, 4, 3, padding=1), fc=nn.Linear(4 * 5 * 4, 3)), torch.randn(5, 2, 4, 4)


def class_token(pick: Callable[[Tensor], Tensor]) -> tuple[nn.Module, Tensor]:
    def use(n: Net, x: Tensor) -> Tensor:
        q, k, v = (
            part.reshape(x.shape[0], -1, 2, 4).transpose(1, 2) for part in n.qkv(n.norm1(x + n.positions)).chunk(3, -1)
        )
        x = x + n.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        x = x + n.fc2(F.gelu(n.fc1(n.norm2(x))))
        return n.fc(pick(n.norm(x)))

    net = Net(
        use,
        qkv=nn.Linear(8, 24),
        proj=nn.Linear(8, 8),
        fc1=nn.Linear(8, 16),
        fc2=nn.Linear(16, 8),
        fc=nn.Linear(8, 3),
        **{name: nn.LayerNorm(8) for name in ("norm1", "norm2", "norm")},
    )
    net.positions = nn.Parameter(torch.randn(1, 7, 8))
    return net, torch.randn(5, 7, 8)


def one_head() -> tuple[nn.Module, Tensor]:
    def use(n: Net, x: Tensor) -> Tensor:
        heads = n.proj(x).reshape(x.shape[0], 7, 2, 4).transpose(1, 2)
        return n.fc(F.scaled_dot_product_attention(heads, 2 * heads, 1 + heads)[:, 1, 2])

    return Net(use, proj=nn.Linear(8, 8), fc=nn.Linear(4, 3)), torch.randn(5, 7, 8)


NETS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    maker.__name__: maker
    for maker in (
        shared_module,
        shared_module_with_norm,
        tied_weights,
        tied_embedding,
        read_through_a_transpose,
        shortcut_after_the_fork,
        norm_without_affine,
        grouped_and_transposed,
        norm_in_one_dimension,
        arithmetic_on_sizes,
        one_head,
    )
} | {
    "first token": lambda: class_token(lambda x: x[:, 0]),
    "second token": lambda: class_token(lambda x: x[:, 1]),
    "last token": lambda: class_token(lambda x: x[:, -1]),
    "first and last token": lambda: class_token(lambda x: x[:, 0] + x[:, -1]),
    "mean of tokens": lambda: class_token(lambda x: x.mean(1)),
}


@cache
@torch.inference_mode(False)  # whoever asks first: others change weights in place and back
def prepared(name: str) -> tuple[Model, Tensor]:
    torch.manual_seed(0)
    module, x = NETS[name]()
    for norm in module.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            norm.running_mean, norm.running_var = torch.randn(norm.num_features), torch.rand(norm.num_features) + 0.5
            if norm.affine:
                nn.init.uniform_(norm.weight, -1.5, 1.5)
                nn.init.normal_(norm.bias)
    return Model(name, module.eval(), (x,)), x


def random_mask(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape))) < 0.5
