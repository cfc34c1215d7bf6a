"""`Order`: which examples a sweep measures first, the same for all cells.

A random preview first. Then the dense model has answered all examples, and they are told apart: nearly all changes of
a small pruning are where the dense model is least sure, those of a large one go by class. Blocks draw from all strata,
most from the lowest margins, so that what was measured so far is a random sample of each (stratified sampling,
Neyman 1934; Cochran 1977, chapter 5). The first blocks are as large as a cell needs that changes nothing.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.positions import by_example
from pruning_core.sensitivity.estimates import TOLERANCE, UNSEEN

PREVIEW = 64  # examples of block 0
LOWEST = (0.05, 0.1, 0.2)  # upper ends of the strata of low margins, as shares of all examples
RATES = (8.0, 3.0, 1.5)  # how much more often than others these are drawn
GROUPS, GROUP_SIZE = 10, 200  # the others are told apart by dense answer: at most so many, one for so many examples
GROWTH = 1.25  # of the share that is in, from block to block
LAST = 0.8  # a share above which all that is left goes into one block
SEED = 0


@dataclass(frozen=True)
class Order:
    """Each of N examples once; block 0 is the preview."""

    stratum: NDArray[np.int64]  # (N,) of each example; 0 has the lowest margins
    sizes: tuple[int, ...]  # examples of each stratum, none empty
    blocks: tuple[NDArray[np.int64], ...]  # example numbers


def preview_of(n: int) -> NDArray[np.int64]:
    """Return the random examples of block 0; all where there are no more than `PREVIEW`."""
    return _shuffled(n)[:PREVIEW]


def order_of(logits: Tensor, targets: Tensor | None) -> Order:
    """Return the order from the dense model's outputs (N, classes) on all examples and their targets (N,) or None.

    Outputs may be (N, positions, classes) with targets (N, positions): such examples have no one answer to go by.
    """
    return order_by(margins(logits, targets), *answers_of(logits))


def answers_of(logits: Tensor) -> tuple[NDArray[np.int64], int]:
    """Return the class that each output is for, (N,), and how many classes there are; one where there is no such."""
    if logits.dim() == 3:
        return np.zeros(len(logits), np.int64), 1
    return logits.argmax(1).cpu().numpy(), logits.shape[1]


def order_by(margins: NDArray[np.float64], answers: NDArray[np.int64], n_classes: int) -> Order:
    """Return the order from what counts of the dense outputs: `margins` (N,) and `answers` (N,)."""
    n, preview = len(margins), preview_of(len(margins))
    stratum, rates = _strata(margins, answers, n_classes)
    sizes, shuffled = np.bincount(stratum), _shuffled(n)
    members = [shuffled[stratum[shuffled] == k] for k in range(len(sizes))]  # the preview's examples come first
    blocks, taken = [preview], np.bincount(stratum[preview], minlength=len(sizes))
    for share in _shares(n):
        wanted = np.maximum(np.ceil(np.minimum(share * rates, 1.0) * sizes).astype(np.int64), taken)
        block = np.concatenate([m[a:b] for m, a, b in zip(members, taken, wanted, strict=True)])
        taken = wanted
        if len(block):
            blocks.append(block)
    return Order(stratum, tuple(sizes.tolist()), tuple(blocks))


def margins(logits: Tensor, targets: Tensor | None) -> NDArray[np.float64]:
    """Return how far each output (N, classes) is from another answer that counts, (N,) in logits.

    With targets: from right to wrong or from wrong to right. Without: from the first class to the second. A single
    class has no other answer: 0. Of outputs (N, positions, classes) it is the mean over the positions.
    """
    outputs, targets = logits.detach().cpu(), None if targets is None else targets.cpu()
    if outputs.shape[-1] < 2:
        return np.zeros(len(outputs))
    values, classes = outputs.topk(2, dim=-1)
    first, second = values.double().unbind(-1)
    found = first - second
    if targets is not None:
        wanted = targets.clamp(min=0)
        own = outputs.gather(-1, wanted[..., None])[..., 0].double()
        found = (own - torch.where(classes[..., 0] == wanted, second, first)).abs()  # to the best of the wrong answers
    margins: NDArray[np.float64] = by_example(found, targets).numpy()
    return margins


def _strata(
    margins: NDArray[np.float64], answers: NDArray[np.int64], n_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the stratum (N,) of each example, and how often each stratum is drawn, (strata,) with 1 as the least.

    Margins that are all equal tell nothing apart; neither do strata in a preview that holds everything.
    """
    n = len(margins)
    if n <= PREVIEW:
        return np.zeros(n, dtype=np.int64), np.ones(1)
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(margins, kind="stable")] = np.arange(n)
    lowest = len(LOWEST) if margins.min() < margins.max() else 0
    stratum = np.searchsorted(np.round(np.array(LOWEST[:lowest]) * n), rank, side="right")
    groups = max(1, min(GROUPS, n_classes, n // GROUP_SIZE))
    rest = stratum == lowest
    _, stratum[rest] = np.unique(answers[rest] * groups // n_classes, return_inverse=True)
    stratum[rest] += lowest
    return stratum, np.array([*RATES[:lowest], *np.ones(stratum.max() + 1 - lowest)])


def _shares(n: int) -> list[float]:
    """Return which share of an ordinary stratum is in after each block but the preview.

    The third share is where a stratum without any change is settled: `UNSEEN` sqrt(1 - share) / (n share) =
    `TOLERANCE`. Large drops are settled before, small ones after.
    """
    part = UNSEEN / TOLERANCE / n
    share = (sqrt(part**4 + 4 * part**2) - part**2) / 2
    shares = [share / 3, share * 2 / 3]
    while share < LAST:
        shares.append(share)
        share *= GROWTH
    return [*shares, 1.0]


def _shuffled(n: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = torch.randperm(n, generator=torch.Generator().manual_seed(SEED)).numpy()
    return order
