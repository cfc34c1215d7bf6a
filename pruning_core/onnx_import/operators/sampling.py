"""Sampling at computed places."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.values import Unsupported

MODES = {"bilinear": "bilinear", "linear": "bilinear", "nearest": "nearest", "bicubic": "bicubic", "cubic": "bicubic"}


@operator("GridSample")
def grid_sample(node: Node, x: Tensor, grid: Tensor) -> Tensor:
    """Jaderberg et al. 2015, arXiv:1506.02025."""
    mode, padding = node.get("mode", "linear"), node.get("padding_mode", "zeros")
    return F.grid_sample(x, grid, MODES[mode], padding, bool(node.get("align_corners")))


@operator("RoiAlign")
def roi_align(node: Node, x: Tensor, boxes: Tensor, images: Tensor) -> Tensor:
    """He et al. 2017, arXiv:1703.06870; with the average of the samples of each bin."""
    from torchvision.ops import roi_align as align

    if node.get("mode", "avg") != "avg":
        raise Unsupported("the largest sample of a bin (mode max) is not supported")
    default = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    half = node.get("coordinate_transformation_mode", default) == "half_pixel"
    size = (node.get("output_height", 1), node.get("output_width", 1))
    placed = torch.cat([images.to(x.dtype).reshape(-1, 1), boxes], 1)
    result: Tensor = align(x, placed, size, node.get("spatial_scale", 1.0), node.get("sampling_ratio", 0) or -1, half)
    return result


@operator("DeformConv", weights={1: "weight", 3: "bias"})
def deformable_convolution(
    node: Node, x: Tensor, weight: Tensor, offset: Tensor, bias: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Dai et al. 2017, arXiv:1703.06211."""
    from torchvision.ops import deform_conv2d

    pads = node.get("pads", [0] * 4)
    if x.dim() != 4 or pads[:2] != pads[2:]:
        raise Unsupported("only two spatial dimensions with equal padding at both ends are supported")
    options = (node.get("strides", [1, 1]), pads[:2], node.get("dilations", [1, 1]), mask)
    result: Tensor = deform_conv2d(x, offset, weight, bias, *options)
    return result
