"""`Order`: which examples a sweep measures first, the same for all cells.

A random preview; then all examples that the dense model is least sure of, where nearly all changes of a small pruning
are; then random ones of the others, in blocks that grow. Within a stratum the order is random, so that the examples
measured so far are a random sample of each stratum (stratified sampling; Cochran 1977, chapters 5 and 12).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PREVIEW = 64  # examples of block 0
N_STRATA = 10  # of about equal size, by dense margin
SHARES = (0.1, 0.2, 0.3, 0.45, 0.7, 1.0)  # of each stratum but the lowest that are in after blocks 1, 2, ...
SEED = 0


@dataclass(frozen=True)
class Order:
    """Each of N examples once; block 0 is the preview."""

    stratum: NDArray[np.int64]  # (N,) of each example; 0 has the lowest margins
    sizes: tuple[int, ...]  # examples of each stratum
    blocks: tuple[NDArray[np.int64], ...]  # example numbers


def preview_of(n: int) -> NDArray[np.int64]:
    """Return the random examples of block 0; all where there are no more than `PREVIEW`."""
    return _shuffled(n)[:PREVIEW]


def order_of(logits: Tensor, targets: Tensor | None) -> Order:
    """Return the order from the dense model's outputs (N, classes) on all examples and their targets (N,) or None."""
    n, preview = len(logits), preview_of(len(logits))
    stratum = strata_of(margins(logits, targets))
    sizes = np.bincount(stratum)
    shuffled = _shuffled(n)
    members = [shuffled[stratum[shuffled] == k] for k in range(len(sizes))]  # the preview's examples come first
    blocks, taken = [preview], np.bincount(stratum[preview], minlength=len(sizes))
    for share in SHARES:
        wanted = np.maximum(np.ceil(share * sizes).astype(np.int64), taken)
        wanted[0] = sizes[0]  # a census of the lowest margins
        block = np.concatenate([m[a:b] for m, a, b in zip(members, taken, wanted, strict=True)])
        taken = wanted
        if len(block):
            blocks.append(block)
    return Order(stratum, tuple(sizes.tolist()), tuple(blocks))


def margins(logits: Tensor, targets: Tensor | None) -> NDArray[np.float64]:
    """Return how far each output (N, classes) is from another answer that counts, (N,) in logits.

    With targets: from right to wrong or from wrong to right. Without: from the first class to the second. One class
    has no other answer: 0.
    """
    scores = logits.double()
    if scores.shape[1] < 2:
        return np.zeros(len(scores))
    if targets is None:
        top = scores.topk(2, dim=1).values
        return (top[:, 0] - top[:, 1]).numpy()
    wanted = scores.gather(1, targets[:, None])[:, 0]
    others = scores.scatter(1, targets[:, None], -torch.inf).amax(1)
    return (wanted - others).abs().numpy()


def strata_of(margins: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the stratum (N,) of each example: equal parts by rank, 0 the lowest; one where all margins are equal."""
    n = len(margins)
    n_strata = 1 if margins.min() == margins.max() else min(N_STRATA, max(1, n // N_STRATA))
    stratum = np.empty(n, dtype=np.int64)
    stratum[np.argsort(margins, kind="stable")] = np.arange(n) * n_strata // n
    return stratum


def _shuffled(n: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = torch.randperm(n, generator=torch.Generator().manual_seed(SEED)).numpy()
    return order
