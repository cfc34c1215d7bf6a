"""What the columns of a layer's matrix meet: sums of squared inputs, without unfolding, and products of all pairs."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, fx

from pruning_core.layers import EMBEDDING, WEIGHT_USES, Layer, embedding_counts, operator, reads_in_out

CHUNK = 1 << 24  # numbers that are unfolded at once, 64 MiB


def column_squares(node: fx.Node, layer: Layer, args: Sequence[Any]) -> Tensor:
    """Return the sum of x^2 over examples and positions that each weight meets, (1 or out, in, *kernel) float64.

    A convolution is linear in its weight, so the gradient of sum(conv(x^2, w)) by w is that sum exactly, whatever the
    stride, padding, dilation and groups; one output for each group is enough.
    """
    if operator(node) == EMBEDDING:
        return embedding_counts(args[1], layer.weight_shape[1])[None]
    x: Tensor = args[WEIGHT_USES[operator(node)][0] - 1].detach()
    if not layer.kind.startswith("conv"):
        squares = x.square().flatten(0, -2).sum(0, dtype=torch.float64)
        return squares[:, None] if reads_in_out(node) != layer.stored_in_out else squares[None]
    with torch.enable_grad():
        probe = torch.zeros(layer.groups, *layer.weight_shape[1:], requires_grad=True)
        squares = x.float().square().sum(0, keepdim=True)
        convolve: Any = node.target
        (sums,) = torch.autograd.grad(convolve(squares, layer.stored(probe), None, *args[3:]).sum(), probe)
    return sums.double().repeat_interleave(layer.weight_shape[0] // layer.groups if layer.groups > 1 else 1, dim=0)


def column_gram(node: fx.Node, layer: Layer, args: Sequence[Any]) -> Tensor:
    """Return the sum of x x^T over examples and positions, (groups, d, d) float64 with d = in * kernel columns.

    A convolution whose kernels each copy one column is the unfolding itself, whatever the stride, padding and groups.
    Products are float32, their sums over chunks of examples float64.
    """
    if operator(node) == EMBEDDING:
        return torch.diag(embedding_counts(args[1], layer.weight_shape[1]))[None]  # one token at a time
    x: Tensor = args[WEIGHT_USES[operator(node)][0] - 1].detach().float()
    groups, d = layer.groups, prod(layer.weight_shape[1:])
    gram = torch.zeros(groups, d, d, dtype=torch.float64)
    if not layer.kind.startswith("conv"):
        for part in torch.split(x.flatten(0, -2), max(1, CHUNK // d)):
            gram += part.T @ part
        return gram
    kernels = torch.eye(d).reshape(d, *layer.weight_shape[1:])
    weight, convolve = layer.stored(torch.cat([kernels] * groups)), cast(Callable[..., Tensor], node.target)
    with torch.no_grad():
        for part in torch.split(x, max(1, CHUNK // (groups * d * prod(x.shape[2:])))):
            copied = convolve(part, weight, None, *args[3:])  # (examples, groups * d, *positions)
            columns = copied.reshape(len(part), groups, d, -1).movedim(0, -1).flatten(2)
            gram += columns @ columns.transpose(1, 2)
    return gram
