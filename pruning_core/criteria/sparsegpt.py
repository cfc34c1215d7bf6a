"""SparseGPT: the error that removing a weight leaves when the rest of its row makes up for it, and that repair."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from pruning_core.criteria.meaning import lacks
from pruning_core.criteria.seam import LayerStatistics, Refit, criterion
from pruning_core.errors import CriterionError
from pruning_core.graph import ModelGraph
from pruning_core.registry import Setting

DAMPING = 0.01  # of the mean diagonal, as in the paper's code
BLOCK = 128  # columns whose errors are passed on together


def update(refit: Refit) -> dict[str, Tensor]:
    """Return the weights of every layer that the wish cuts, each row making up for what it loses."""
    return {
        name: solve(refit.graph.weight(name), refit.masks[name], gram_of(refit, name), _damping(refit.settings))
        for name in cut_layers(refit)
    }


def why_not_update(
    graph: ModelGraph, name: str, rows: Mapping[str, Tensor], columns: Mapping[str, Tensor]
) -> str | None:
    """Return why a layer that reads what layer `name` loses cannot be refitted; `columns` as in `Refit`."""
    for other in columns:
        if why := lacks(graph.layer(other)).get("inputs_gram"):
            return f"refits '{other}', which {why}; switch the update of weights off to keep them as they are"
    return None


@criterion(
    "sparsegpt",
    label="SparseGPT",
    needs=frozenset({"inputs_gram"}),
    update=update,
    why_not_update=why_not_update,
)
def sparsegpt(
    weight: Tensor, stats: LayerStatistics, *, damping: Annotated[float, Setting(1e-4, 1, step=1e-3)] = DAMPING
) -> Tensor:
    """w^2 / [H^-1]_jj with H = X X^T + damping, the row then repaired (Frantar and Alistarh 2023, arXiv:2301.00774).

    `damping` is a share of the mean of H's diagonal. The paper's code chooses the mask in blocks of 128 columns while
    it repairs them; here the mask is fixed before, from the untouched weights and the inverse of the whole H, so that
    every granularity can choose it, and the columns are then repaired in order. Inputs that are always zero score 0.
    """
    gram = stats.known("inputs_gram")
    inverse_diagonal = torch.stack([inverse_hessian(group, damping).diagonal() for group in gram])
    share = (gram.diagonal(dim1=1, dim2=2) > 0) / inverse_diagonal  # (groups, d)
    matrix = weight.double().reshape(len(gram), -1, gram.shape[1])
    return (matrix.square() * share[:, None]).reshape(weight.shape).to(weight.dtype)


def solve(weight: Tensor, mask: Tensor, gram: Tensor, damping: float = DAMPING) -> Tensor:
    """Return the weight (out, in, *kernel) after the sweep: each removed weight's error goes to the columns after it.

    `gram` is (groups, d, d), `mask` True where kept; the removed weights come back as zeros.
    """
    groups, d = gram.shape[:2]
    matrices = weight.detach().double().reshape(groups, -1, d).clone()
    for group, (matrix, kept) in enumerate(zip(matrices, mask.reshape(groups, -1, d), strict=True)):
        factor = torch.linalg.cholesky(inverse_hessian(gram[group], damping), upper=True)
        _sweep(matrix, kept, factor)
    return matrices.reshape(weight.shape).to(weight.dtype)


def _sweep(matrix: Tensor, kept: Tensor, factor: Tensor) -> None:
    """Change `matrix` (out, d) in place; row j of `factor` from j on is that of the inverse of H[j:, j:]."""
    for start in range(0, matrix.shape[1], BLOCK):
        end = min(start + BLOCK, matrix.shape[1])
        errors = torch.zeros_like(matrix[:, start:end])
        for j in range(start, end):
            errors[:, j - start] = torch.where(kept[:, j], 0.0, matrix[:, j]) / factor[j, j]
            matrix[:, j:end] -= torch.outer(errors[:, j - start], factor[j, j:end])
        matrix[:, end:] -= errors @ factor[start:end, end:]
    matrix.masked_fill_(~kept, 0)


def inverse_hessian(gram: Tensor, damping: float) -> Tensor:
    """Return the inverse of `gram` (d, d) + damping * its mean diagonal; an input that is always zero stands alone."""
    hessian = gram.clone()
    diagonal = hessian.diagonal()
    mean = diagonal.mean() if diagonal.any() else diagonal.new_ones(())
    diagonal += torch.where(diagonal > 0, damping * mean, mean)
    return torch.cholesky_inverse(torch.linalg.cholesky(hessian))


def cut_layers(refit: Refit) -> list[str]:
    """Return the layers of the wish that keep something of a row and lose something of it."""
    masks = {name: mask.flatten(1) for name, mask in refit.masks.items() if name in refit.graph.by_name}
    return [name for name, mask in masks.items() if (mask.any(1) & ~mask.all(1)).any()]


def gram_of(refit: Refit, name: str) -> Tensor:
    """Return the Gram matrices (groups, d, d) of what layer `name` reads, or refuse in a sentence."""
    stats = refit.statistics(frozenset({"inputs_gram"}))[name]
    if stats.inputs_gram is None:
        raise CriterionError(f"{name}: refitting its weights {stats.lack('inputs_gram')}; keep them as they are")
    return stats.inputs_gram


def _damping(settings: Mapping[str, Any]) -> float:
    return float(settings.get("damping", DAMPING))
