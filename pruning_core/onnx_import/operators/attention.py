"""Attention as one operator (opset 23 on). Vaswani et al. 2017, arXiv:1706.03762."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.onnx_import.table import Node, operator
from pruning_core.onnx_import.types import dtype_of


@operator("Attention")
def attention(
    node: Node,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Any:
    """Inputs (batch, heads, steps, width), or (batch, steps, heads x width) with the numbers of heads as attributes."""
    flat = query.dim() == 3
    if flat:
        query = _heads(query, node["q_num_heads"])
        key, value = (_heads(x, node["kv_num_heads"]) for x in (key, value))
    before = 0 if past_key is None else past_key.shape[2]
    if past_key is not None and past_value is not None:
        key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
    allowed = _mask(node, query, key, mask, before, lengths)
    scale = node.get("scale", 1 / math.sqrt(query.shape[-1]))
    if node.outputs <= 3 and not node.get("softcap") and not node.get("softmax_precision"):
        gqa = query.shape[1] != key.shape[1]
        result, scores = (
            F.scaled_dot_product_attention(query, key, value, allowed, 0.0, False, scale=scale, enable_gqa=gqa),
            None,
        )
    else:
        result, scores = _written_out(node, query, key, value, allowed, scale)
    if flat:
        result = result.transpose(1, 2).flatten(2)
    return (result, key, value, scores)[: node.outputs] if node.outputs > 1 else result


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _mask(
    node: Node, query: Tensor, key: Tensor, mask: Tensor | None, before: int, lengths: Tensor | None
) -> Tensor | None:
    """Return what is added to the scores: the mask, and where attention must not look."""
    steps, seen = query.shape[2], key.shape[2]
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=query.dtype).masked_fill(~mask, float("-inf"))
    if mask is not None and mask.shape[-1] < seen:
        mask = F.pad(mask, [0, seen - mask.shape[-1]], value=float("-inf"))
    left, right = node.get("left_window_size", -1), 0 if node.get("is_causal") else node.get("right_window_size", -1)
    if lengths is None and left < 0 and right < 0:
        return mask
    ends = None if lengths is None else lengths.reshape(-1, 1, 1, 1)
    columns = torch.arange(seen)
    rows = torch.arange(steps).reshape(-1, 1) + (before if ends is None else ends - steps)
    forbidden = torch.zeros((1, 1, steps, seen), dtype=torch.bool)
    if ends is not None:
        forbidden = forbidden | (columns >= ends)
    if right >= 0:
        forbidden = forbidden | (columns > rows + right)
    if left >= 0:
        forbidden = forbidden | (columns < rows - left)
    added = torch.zeros(forbidden.shape, dtype=query.dtype).masked_fill(forbidden, float("-inf"))
    return added if mask is None else added + mask


def _written_out(
    node: Node, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """The same with its scores, which an output or a cap needs; the cap comes before the mask."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    root, cap = math.sqrt(scale), node.get("softcap", 0.0)
    raw = (query * root) @ (key.transpose(-1, -2) * root)
    capped = torch.tanh(raw / cap) * cap if cap else raw
    masked = capped if mask is None else capped + mask
    if mask is not None:
        masked = torch.where(mask == float("-inf"), mask, masked)  # whatever the score was
    precision = dtype_of(node["softmax_precision"]) if node.get("softmax_precision") else masked.dtype
    shares = torch.nan_to_num(torch.softmax(masked.to(precision), -1)).to(query.dtype)
    return shares @ value, [raw, capped, masked, shares][node.get("qk_matmul_output_mode", 0)]
