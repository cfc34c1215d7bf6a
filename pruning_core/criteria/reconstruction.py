"""Reconstruction: the input channels that rebuild the layer's output best, and the least-squares weights on them."""

from math import prod
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.criteria.seam import LayerStatistics, Refit, criterion, over_inputs
from pruning_core.criteria.sparsegpt import cut_layers, gram_of

Array = NDArray[np.float64]
STEPS, WEAKEST = 100, 1e-4  # strengths of the L1 penalty, from the largest to this share of it
SWEEPS, TOLERANCE = 1000, 1e-7  # of the coordinate descent at one strength
RIDGE = 1e-6  # of the mean diagonal, so that inputs that depend on each other have one answer


def update(refit: Refit) -> dict[str, Tensor]:
    """Return the weights of every layer that the wish cuts, refitted on the inputs that it keeps."""
    return {
        name: refitted(refit.graph.weight(name), refit.masks[name], gram_of(refit, name)) for name in cut_layers(refit)
    }


@criterion("reconstruction", label="Reconstruction", needs=frozenset({"inputs_gram"}), unit="input", update=update)
def reconstruction(weight: Tensor, stats: LayerStatistics, *, method: Literal["lasso", "greedy"] = "lasso") -> Tensor:
    """Strength s of min ||Y - sum b_c Z_c||^2 / 2 + s |b|_1 at which b_c dies (He et al. 2017, arXiv:1707.06168).

    Z_c is what input channel c adds to the layer's output Y; scores are shares of ||Y||^2. The paper raises one
    strength until few enough channels are left; here the whole path is run once and the kept weights are refitted by
    least squares once the mask is known. `greedy` is ThiNet (Luo et al. 2017, arXiv:1707.06342): channels go one by
    one, each time the one that leaves the least error; the score is its turn. Both follow from the Gram matrix alone.
    """
    products = torch.stack(
        [
            channel_products(group, gram)
            for group, gram in zip(_by_group(weight, stats), stats.known("inputs_gram"), strict=True)
        ]
    ).numpy()  # (groups, in, in)
    energy = products.sum()
    if method == "greedy":
        scores = np.stack([greedy_turns(group) for group in products])
    else:
        scores = np.stack([lasso_strengths(group) for group in products]) / (energy if energy > 0 else 1.0)
    return over_inputs(torch.from_numpy(scores).to(weight), weight)


def _by_group(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """Return the weight as (groups, out / groups, in, positions of the kernel)."""
    return weight.double().reshape(len(stats.known("inputs_gram")), -1, weight.shape[1], prod(weight.shape[2:]))


def channel_products(weight: Tensor, gram: Tensor) -> Tensor:
    """Return <Z_c, Z_d> (in, in): weight (out, in, k), gram (in * k, in * k)."""
    _, n_in, k = weight.shape
    by_rows = weight.flatten(1).T @ weight.flatten(1)  # (in * k, in * k): sum over outputs of w w^T
    return (by_rows * gram).reshape(n_in, k, n_in, k).sum((1, 3))


def lasso_strengths(products: Array) -> Array:
    """Return for each channel the largest strength at which its coefficient is not zero, (in,).

    Strengths fall from max |<Z_c, Y>|, where all are zero. Between two steps a channel's place is read off its
    correlation with what was left unexplained at the step before.
    """
    target = products.sum(1)  # <Z_c, Y>
    largest = float(np.abs(target).max(initial=0.0))
    coefficients, scores = np.zeros(len(products)), np.zeros(len(products))
    entered = np.zeros(len(products), dtype=bool)
    if largest == 0:
        return scores
    above = largest
    for strength in np.geomspace(largest, WEAKEST * largest, STEPS):
        left = np.abs(target - products @ coefficients)
        coefficients = coordinate_descent(products, target, float(strength), coefficients)
        new = (coefficients != 0) & ~entered
        scores[new] = np.clip(left[new], strength, above)
        entered |= new
        above = float(strength)
    left = np.abs(target - products @ coefficients)
    scores[~entered] = np.minimum(left[~entered], above)
    return scores


def coordinate_descent(products: Array, target: Array, strength: float, start: Array) -> Array:
    """Return argmin over b of b^T P b / 2 - t^T b + s |b|_1 for products P (n, n), target t (n,), strength s."""
    coefficients, diagonal = start.copy(), products.diagonal()
    gradient = target - products @ coefficients
    alive = np.flatnonzero(diagonal > 0)
    step, smallest = np.inf, TOLERANCE * float(np.abs(target).max(initial=0.0))
    for sweep in range(SWEEPS):
        everyone = step <= smallest or sweep == 0
        step = 0.0
        for i in alive if everyone else np.flatnonzero(coefficients):
            pull = gradient[i] + diagonal[i] * coefficients[i]
            moved = np.sign(pull) * max(abs(pull) - strength, 0.0) / diagonal[i] - coefficients[i]
            if moved:
                coefficients[i] += moved
                gradient -= moved * products[i]
                step = max(step, abs(moved) * diagonal[i])
        if everyone and step <= smallest:
            break
    return coefficients


def greedy_turns(products: Array) -> Array:
    """Return the turn at which each channel goes, (in,), when each time the least ||sum of removed Z||^2 is sought."""
    n = len(products)
    turns, added = np.zeros(n), products.diagonal().copy()  # what removing it adds to the error
    remaining = np.ones(n, dtype=bool)
    for turn in range(n):
        candidates = np.where(remaining, added, np.inf)
        worst = n - 1 - int(np.argmin(candidates[::-1]))  # of equals the last goes first
        turns[worst], remaining[worst] = turn, False
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
