"""Criteria that read the gradient of the loss."""

import torch
from torch import Tensor

from pruning_core.criteria.seam import LayerStatistics, criterion, over_outputs


@criterion("gradient", label="Gradient", needs=frozenset({"gradient_magnitude"}))
def gradient(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """Mean over batches of |dL/dw|, what RigL grows weights by (Evci et al. 2020, arXiv:1911.11134).

    Each batch's gradient is that of its mean loss; RigL reads one batch. Says how fast a weight would change, not how
    much it matters now: compare with taylor.
    """
    return stats.known("gradient_magnitude")


@criterion("taylor", label="Taylor", needs=frozenset({"gradient"}), finish=torch.square)
def taylor(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """(sum of w g over a block)^2, the loss change to first order, squared (Molchanov et al. 2019, arXiv:1906.10771).

    Returned signed, w g: `finish` squares after the sum over a block, as the paper's group form does. g is the gradient
    of the mean loss over all calibration examples. Torch-Pruning's default sums |w g| over a filter instead; its
    `multivariable=True` is |sum of w g|, which ranks as this does.
    """
    return weight * stats.known("gradient")


@criterion("taylor_activation", label="Taylor (activations)", needs=frozenset({"activation_gradient"}), unit="output")
def taylor_activation(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """Mean over examples of |mean over positions of a dL/da| (Molchanov et al. 2017, arXiv:1611.06440).

    For each output channel, `a` after norm and nonlinearity. As in the paper the absolute value is taken of each
    example; its scaling of each layer's scores to norm 1, which compares layers, is not part of the score.
    """
    return over_outputs(stats.known("activation_gradient"), weight)


@criterion("fisher", label="Fisher (OBD)", needs=frozenset({"gradient_square"}))
def fisher(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """w^2 E[g^2] / 2, g of single examples, as in Optimal Brain Damage (Theis et al. 2018, arXiv:1801.05787).

    LeCun et al. 1990 take the diagonal of the Hessian; its empirical Fisher approximation, the mean over examples of
    the squared gradient at the true targets, stands for it here. Libraries often square the gradient of a batch,
    which is smaller.
    """
    return weight.square() * stats.known("gradient_square") / 2


@criterion("snip", label="SNIP", needs=frozenset({"first_gradient"}))
def snip(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """|w g| on one batch (Lee et al. 2019, arXiv:1810.02340).

    The paper scores a network at its initialisation, before training; here the weights are those that the model has.
    It divides by the sum over all weights of the model, which changes no order.
    """
    return (weight * stats.known("first_gradient")).abs()
