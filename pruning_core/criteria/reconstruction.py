"""Reconstruction: the input channels that rebuild the layer's output best, and the least-squares weights on them."""

from math import prod
from typing import Literal

import torch
from torch import Tensor

from pruning_core.criteria.lasso import RIDGE, lasso_strengths
from pruning_core.criteria.seam import LayerStatistics, Refit, criterion, over_inputs
from pruning_core.criteria.sparsegpt import cut_layers, gram_of, why_not_update


def update(refit: Refit) -> dict[str, Tensor]:
    """Return the weights of every layer that the wish cuts, refitted on the inputs that it keeps."""
    return {
        name: refitted(refit.graph.weight(name), refit.masks[name], gram_of(refit, name)) for name in cut_layers(refit)
    }


@criterion(
    "reconstruction",
    label="Reconstruction",
    needs=frozenset({"inputs_gram"}),
    unit="input",
    update=update,
    why_not_update=why_not_update,
)
def reconstruction(weight: Tensor, stats: LayerStatistics, *, method: Literal["lasso", "greedy"] = "lasso") -> Tensor:
    """Strength s of min ||Y - sum b_c Z_c||^2 / 2 + s |b|_1 at which b_c dies (He et al. 2017, arXiv:1707.06168).

    Z_c is what input channel c adds to the layer's output Y; scores are shares of ||Y||^2. The paper raises one
    strength until few enough channels are left; here the whole path is run once and the kept weights are refitted by
    least squares once the mask is known. `greedy` is ThiNet (Luo et al. 2017, arXiv:1707.06342): channels go one by
    one, each time the one that leaves the least error; the score is its turn. Both follow from the Gram matrix alone.
    """
    grams = stats.known("inputs_gram")
    products = [channel_products(*pair) for pair in zip(_by_group(weight, len(grams)), grams, strict=True)]
    if method == "greedy":
        return over_inputs(torch.stack([greedy_turns(group) for group in products]).to(weight), weight)
    energy = float(sum(group.sum() for group in products))
    strengths = torch.stack([lasso_strengths(group) for group in products])
    return over_inputs((strengths / energy if energy > 0 else strengths).to(weight), weight)


def _by_group(weight: Tensor, groups: int) -> Tensor:
    """Return the weight as (groups, out / groups, in, positions of the kernel)."""
    return weight.double().reshape(groups, -1, weight.shape[1], prod(weight.shape[2:]))


def channel_products(weight: Tensor, gram: Tensor) -> Tensor:
    """Return <Z_c, Z_d> (in, in): weight (out, in, k), gram (in * k, in * k)."""
    _, n_in, k = weight.shape
    by_rows = weight.flatten(1).T @ weight.flatten(1)  # (in * k, in * k): sum over outputs of w w^T
    return (by_rows * gram).reshape(n_in, k, n_in, k).sum((1, 3))


def greedy_turns(products: Tensor) -> Tensor:
    """Return the turn at which each channel goes, (in,), when each time the least ||sum of removed Z||^2 is sought."""
    n = len(products)
    turns, added = torch.zeros(n), products.diagonal().clone()  # what removing it adds to the error
    gone = torch.zeros(n, dtype=torch.bool)
    for turn in range(n):
        worst = n - 1 - int(added.masked_fill(gone, torch.inf).flip(0).argmin())  # of equals the last goes first
        turns[worst], gone[worst] = turn, True
        added += 2 * products[worst]
    return turns


def refitted(weight: Tensor, mask: Tensor, gram: Tensor) -> Tensor:
    """Return the weight (out, in, *kernel) that rebuilds the dense output best on each row's kept columns.

    Least squares towards the present weights, so what the data says nothing about stays; removed ones are zero.
    """
    groups, d = gram.shape[:2]
    matrices = weight.detach().double().reshape(groups, -1, d).clone()
    for matrix, kept, products in zip(matrices, mask.reshape(groups, -1, d), gram, strict=True):
        patterns, pattern_of_row = torch.unique(kept, dim=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            rows = torch.nonzero(pattern_of_row == number).flatten()
            matrix[rows] = _refit_rows(matrix[rows], pattern, products)
    return matrices.reshape(weight.shape).to(weight.dtype)


def _refit_rows(rows: Tensor, kept: Tensor, gram: Tensor) -> Tensor:
    """Return `rows` (n, d), zero outside of `kept` (d,): W_k + W_r G_rk (G_kk + ridge)^-1."""
    result = torch.where(kept, rows, 0.0)
    if kept.any() and not kept.all():
        inside = gram[kept][:, kept]
        ridge = RIDGE * inside.diagonal().mean()
        inside.diagonal().add_(ridge if ridge > 0 else 1.0)
        lost = rows[:, ~kept] @ gram[~kept][:, kept]
        result[:, kept] += torch.cholesky_solve(lost.T, torch.linalg.cholesky(inside)).T
    return result
