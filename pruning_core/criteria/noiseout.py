"""NoiseOut: of two outputs that move together one goes, and the other does its work."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from pruning_core.criteria.seam import LayerStatistics, Refit, criterion, over_outputs
from pruning_core.errors import CriterionError
from pruning_core.graph import ModelGraph
from pruning_core.layers import WEIGHT_USES, Layer, operator, tensor_at

NEEDS = frozenset({"output_mean", "output_covariance"})
CONSTANT = 1e-12  # share of the mean square below which a variance is rounding
# What may stand between a layer's activation and its reader: each output's positions are moved, averaged or chosen.
KEEPS_RELATIONS = frozenset(
    "view reshape _unsafe_view flatten squeeze unsqueeze permute transpose t clone alias contiguous dropout "
    "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_avg_pool3d "
    "mean max_pool1d max_pool2d max_pool3d".split()
)


def update(refit: Refit) -> dict[str, Tensor]:
    """Return weights and biases of the layers that read this one, each removed output folded into a kept one.

    A reader without a bias has no place for the constant part, and a transposed convolution no one place: they take the
    regression through the origin. A bias reaches the positions that a convolution pads with zeros too, so there the
    fold is off by the constant part; and after a maximum it holds only as far as the two outputs rise together.
    """
    _check(refit)
    stats = refit.statistics(NEEDS)[refit.name]
    mean, covariance = stats.known("output_mean"), stats.known("output_covariance")
    units, kept = refit.rows[refit.name], refit.masks[refit.name].flatten(1).any(1)
    partner, slope, offset, through_origin = regressions(mean, covariance, kept & (units >= 0))
    values: dict[str, Tensor] = {}
    for name, columns in _readers(refit.columns).items():
        reader = refit.graph.layer(name)
        bias_name = None if reader.kind.startswith("conv_transpose") else reader.bias
        slopes = slope if bias_name else through_origin
        weight = refit.graph.weight(name).double().clone()
        added = torch.zeros(len(weight), dtype=torch.float64)
        for removed in torch.nonzero(~kept & (units >= 0)).flatten().tolist():
            theirs = weight[:, columns == units[removed]]
            weight[:, columns == units[partner[removed]]] += slopes[removed] * theirs
            added += offset[removed] * theirs.flatten(1).sum(1)
        values[name] = weight.to(refit.graph.weight(name).dtype)
        if bias_name:
            bias = tensor_at(refit.graph.module, bias_name).detach()
            values[bias_name] = (bias.double() + added).to(bias.dtype)
    return values


def why_not_update(
    graph: ModelGraph, name: str, rows: Mapping[str, Tensor], columns: Mapping[str, Tensor]
) -> str | None:
    """Return why channels of layer `name` cannot be folded into each other; `rows` and `columns` as in `Refit`."""
    instead, layer = "switch the update of weights off to remove without folding", graph.layer(name)
    if not rows:
        return f"folds whole output channels; choose output_channel, or {instead}"
    shared = [other for other, units in rows.items() if other != name and (units >= 0).any()]
    if shared:
        return f"cannot fold channels that '{shared[0]}' shares; {instead}"
    units = rows[name][rows[name] >= 0]
    if len(set(units.tolist())) < len(units) or len(layer.nodes) > 1:
        return f"folds channels that go one by one and are made once; {instead}"
    for other in _readers(columns):
        reader = graph.layer(other)
        between = "its groups" if reader.groups > 1 else _between(layer, reader)
        if between:
            return f"cannot fold channels into '{other}' through {between}; {instead}"
    return None


@criterion("noiseout", label="NoiseOut", needs=NEEDS, unit="output", update=update, why_not_update=why_not_update)
def noiseout(weight: Tensor, stats: LayerStatistics) -> Tensor:
    """1 - |correlation| with the output that it is folded into (Babaeizadeh et al. 2016, arXiv:1611.06211).

    Outputs go one by one: of the pair that correlates most, the one that varies less; so one of each pair stays and the
    last of all scores 1. Outputs that never vary score 0. The paper adds noise outputs in training to raise the
    correlations; that is no part of the score.
    """
    return over_outputs(pair_scores(stats.known("output_covariance"), stats.known("output_mean")).to(weight), weight)


def pair_scores(covariance: Tensor, mean: Tensor) -> Tensor:
    """Return the score of each output (out,) from the covariance (out, out) and mean (out,) of the activations."""
    variance = covariance.diagonal().numpy()
    strength = _correlations(covariance, mean).abs().fill_diagonal_(-1).numpy()
    alive = _varies(covariance, mean).numpy()
    strength[~alive], strength[:, ~alive] = -1.0, -1.0
    scores: NDArray[np.float64] = np.where(alive, 1.0, 0.0)
    partner = strength.argmax(1)
    for _ in range(int(alive.sum()) - 1):
        best = strength[np.arange(len(strength)), partner]
        one = int(best.argmax())
        other = int(partner[one])
        gone = max(one, other, key=lambda i: (-variance[i], i))
        scores[gone] = 1 - best[one]
        strength[gone], strength[:, gone] = -1.0, -1.0
        lost = partner == gone
        partner[lost] = strength[lost].argmax(1)
    return torch.from_numpy(scores)


def regressions(mean: Tensor, covariance: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return for each output its kept partner, slope and offset of the regression on it, and slope through the origin.

    The partner is the kept output with the largest |correlation|; `kept` (out,) must hold one.
    """
    strength = torch.where(kept, _correlations(covariance, mean).abs(), -1.0)
    partner = strength.argmax(1)
    everyone = torch.arange(len(mean))
    both, of_partner = covariance[everyone, partner], covariance.diagonal()[partner]
    slope = torch.where(_varies(covariance, mean)[partner], both / of_partner.clamp(min=1e-300), 0.0)
    squares = of_partner + mean[partner].square()
    through_origin = torch.where(squares > 0, (both + mean * mean[partner]) / squares.clamp(min=1e-300), 0.0)
    return partner, slope, mean - slope * mean[partner], through_origin


def _varies(covariance: Tensor, mean: Tensor) -> Tensor:
    return covariance.diagonal() > CONSTANT * (covariance.diagonal() + mean.square())


def _correlations(covariance: Tensor, mean: Tensor) -> Tensor:
    """Return the correlations (out, out); 0 where an output does not vary."""
    deviation = torch.where(_varies(covariance, mean), covariance.diagonal(), torch.inf).sqrt()
    return (covariance / deviation / deviation[:, None]).clamp(-1, 1)


def _readers(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the layers that read what the wish cuts, with the unit of each of their inputs."""
    return {name: units for name, units in columns.items() if (units >= 0).any()}


def _check(refit: Refit) -> None:
    """Refuse a fold that has no meaning, in a sentence."""
    if why := why_not_update(refit.graph, refit.name, refit.rows, refit.columns):
        raise CriterionError(f"noiseout {why}")
    if not refit.masks[refit.name].flatten(1).any(1)[refit.rows[refit.name] >= 0].any():
        raise CriterionError("noiseout folds into channels that stay, and none does; lower the sparsity")


def _between(layer: Layer, reader: Layer) -> str | None:
    """Return the operator between the layer's activation and a use of `reader` that breaks the relation, or None."""
    for use in reader.nodes:
        node = use.args[WEIGHT_USES[operator(use)][0] - 1]
        while node is not layer.activation:
            if not isinstance(node, fx.Node) or not _keeps_relations(node):
                return operator(node) if isinstance(node, fx.Node) else "its input"
            node = node.args[0]
    return None


def _keeps_relations(node: fx.Node) -> bool:
    parts = operator(node).split(".")
    return parts[0] == "aten" and parts[1:2] != [] and parts[1] in KEEPS_RELATIONS
