"""Criteria that read the weight alone."""

from hashlib import sha256
from typing import Annotated

import torch
from torch import Tensor

from pruning_core.criteria.seam import LayerStatistics, criterion
from pruning_core.registry import Setting


@criterion("l1", label="Magnitude")
def l1(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """|w|; a block sums to its L1 norm (Han et al. 2015, arXiv:1506.02626; Li et al. 2017, arXiv:1608.08710)."""
    return weight.abs()


@criterion("l2", label="L2 norm")
def l2(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """w^2; a block sums to its squared L2 norm, which ranks as the norm does (Han et al. 2015, arXiv:1506.02626)."""
    return weight.square()


@criterion("random", label="Random")
def random(weight: Tensor, stats: LayerStatistics, *, seed: Annotated[int, Setting(0, 2**31 - 1)] = 0) -> Tensor:
    """Uniform noise, the baseline that every criterion must beat (Blalock et al. 2020, arXiv:2003.03033).

    The noise is drawn for each weight; sums over blocks of one size are exchangeable, so every block is equally
    likely to go. The same seed, layer name and shape give the same scores on every device, whatever the weights are.
    """
    key = int.from_bytes(sha256(f"{seed} {stats.layer}".encode()).digest()[:7])
    return torch.rand(weight.shape, generator=torch.Generator().manual_seed(key)).to(weight.device)
