"""Bytes that a weight takes in a storage format, index cost counted; fp32 values unless said otherwise.

`dense` every value; `bitmask` the kept values and one bit per weight; `csr` the kept values, an int32 column for each
and int32 row pointers of the matrix (out, in * kernel); `n_m` n values of every m inputs, each with its place.
"""

import torch
from torch import Tensor

INDEX_BYTES = 4  # int32
FORMATS = frozenset({"dense", "bitmask", "csr"})  # that every weight has; some have `n_m` too


def storage_of(n_weights: int, n_kept: int, rows: int, value_bytes: int = 4) -> dict[str, int]:
    """Return bytes by format of one weight, from counts alone; `rows` are its outputs."""
    values = n_kept * value_bytes
    return {
        "dense": n_weights * value_bytes,
        "bitmask": values + (n_weights + 7) // 8,
        "csr": values + (n_kept + rows + 1) * INDEX_BYTES,
    }


def n_m_bytes(mask: Tensor, value_bytes: int = 4) -> int | None:
    """Return the bytes of the smallest n:m pattern that `mask` (out, in, *kernel) has, or None."""
    sizes = [n_m_size(mask.numel(), n, m, value_bytes) for n, m in n_m_patterns(mask)]
    return min(sizes, default=None)


def n_m_size(n_weights: int, n: int, m: int, value_bytes: int = 4) -> int:
    """Return the bytes of n slots for every m weights: a value and ceil(log2 m) bits each, whole bytes in all."""
    slots = n_weights // m * n
    return slots * value_bytes + (slots * (m - 1).bit_length() + 7) // 8


def n_m_patterns(mask: Tensor) -> list[tuple[int, int]]:
    """Return every (n, m), n below m = 2, 4, ... 64, that `mask` has.

    No group of m consecutive inputs keeps more than n, and at least half of them keep exactly n: without the second,
    some large m would fit any sparse layer. Groups lie along the input channels, as hardware has them, or in * kernel.
    """
    along_inputs = mask.movedim(1, -1).reshape(-1, mask.shape[1])
    lines = [along_inputs] if mask.dim() == 2 else [along_inputs, mask.flatten(1)]
    return sorted({pattern for line in lines for pattern in _patterns(line)})


def _patterns(lines: Tensor) -> list[tuple[int, int]]:
    """Return the patterns along the last dimension of `lines` (lines, inputs); counts of m come from those of m / 2."""
    found = []
    counts = lines.to(torch.uint8)
    for m in (2, 4, 8, 16, 32, 64):
        if counts.shape[1] % 2:
            break
        counts = counts[:, ::2] + counts[:, 1::2]
        n = int(counts.max())
        if 0 < n < m and 2 * int((counts == n).sum()) >= counts.numel():
            found.append((n, m))
    return found
