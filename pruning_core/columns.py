"""What the columns of a layer's matrix meet: sums of squared inputs, for convolutions without unfolding them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from pruning_core.layers import WEIGHT_USES, Layer, operator, reads_in_out


def column_squares(node: fx.Node, layer: Layer, args: Sequence[Any]) -> Tensor:
    """Return the sum of x^2 over examples and positions that each weight meets, (1 or out, in, *kernel) float64.

    A convolution is linear in its weight, so the gradient of sum(conv(x^2, w)) by w is that sum exactly, whatever the
    stride, padding, dilation and groups; one output for each group is enough.
    """
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
