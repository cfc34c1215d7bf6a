"""Parity with Torch-Pruning: its importance scores, what its pruner leaves, and what it counts.

Where Torch-Pruning means something else by the same words, the test names its variant.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.apply import plan_for
from pruning_core.criteria import CRITERIA, LayerStatistics
from pruning_core.data import EvalData
from pruning_core.granularities import GRANULARITIES
from pruning_core.graph import trace
from pruning_core.model import Model
from pruning_core.slim import slim
from pruning_core.statistics import collect
from tests.zoo import SMALL, ZOO

tp = pytest.importorskip("torch_pruning")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    nn.init.normal_(norm.weight)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), norm, nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    )


def theirs(module: nn.Sequential, importance: object) -> Tensor:
    """Torch-Pruning's scores (6,) of the group that the first convolution's filters are in."""
    graph = tp.DependencyGraph().build_dependency(module, example_inputs=torch.zeros(2, 3, 6, 6))
    return importance(graph.get_pruning_group(module[0], tp.prune_conv_out_channels, idxs=list(range(6)))).detach()


def ours(criterion: str, weight: Tensor, stats: LayerStatistics | None = None, **settings: str) -> Tensor:
    """Our scores of the filters, (out,)."""
    layout = GRANULARITIES["row"].layout(tuple(weight.shape))
    return CRITERIA[criterion].block_scores(weight, stats or LayerStatistics(), layout, **settings)[0]


FIRST = {"group_reduction": "first", "normalizer": None}


@pytest.fixture
def module() -> nn.Sequential:
    return network().eval()


@pytest.mark.parametrize(("criterion", "p"), [("l1", 1), ("l2", 2)])
def test_torch_pruning_magnitude_of_filters(module: nn.Sequential, criterion: str, p: int) -> None:
    expected = theirs(module, tp.importance.MagnitudeImportance(p=p, **FIRST))
    torch.testing.assert_close(ours(criterion, module[0].weight), expected)


def test_torch_pruning_default_adds_norms_and_readers_and_divides_by_the_mean(module: nn.Sequential) -> None:
    of_filters = ours("l2", module[0].weight)
    of_readers = module[3].weight.detach().square().sum((0, 2, 3))
    total = (of_filters + module[1].weight.detach().square() + of_readers) / 3
    expected = theirs(module, tp.importance.MagnitudeImportance(p=2))
    torch.testing.assert_close(total / total.mean(), expected)


def test_torch_pruning_lamp_of_the_reduced_scores(module: nn.Sequential) -> None:
    """Torch-Pruning reduces filters first and scores their sums; our lamp scores weights, here one for each filter."""
    reduced = ours("l2", module[0].weight)
    scores = CRITERIA["lamp"].score(reduced.sqrt()[:, None], LayerStatistics())[:, 0]
    expected = theirs(module, tp.importance.LAMPImportance(p=2, group_reduction="first"))
    torch.testing.assert_close(scores / scores.mean() * expected.mean(), expected)
    assert torch.equal(scores.argsort(), expected.argsort())


def test_torch_pruning_scale_of_the_batch_norm(module: nn.Sequential) -> None:
    graph = trace(module, (torch.zeros(1, 3, 6, 6),))
    stats = collect(graph, None, ["bn_scale"])["0"]
    expected = theirs(module, tp.importance.BNScaleImportance(group_reduction="mean", normalizer=None))
    torch.testing.assert_close(CRITERIA["bn_scale"].score(module[0].weight, stats)[:, 0, 0, 0], expected)


def with_gradients(module: nn.Sequential) -> LayerStatistics:
    """The statistics of the first layer, after the module itself got the same gradients."""
    inputs = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    data = EvalData("toy", "calibration", inputs.numpy(), (torch.arange(8) % 3).numpy())
    F.cross_entropy(module(inputs), data.labels()).backward()
    return collect(trace(module, (inputs[:1],)), data, ["gradient", "first_gradient"])["0"]


def test_torch_pruning_multivariable_taylor_of_a_whole_filter(module: nn.Sequential) -> None:
    """Their `multivariable=True` is |sum of w g|; ours is its square, as in the paper."""
    stats = with_gradients(module)
    expected = theirs(module, tp.importance.TaylorImportance(multivariable=True, **FIRST))
    torch.testing.assert_close(ours("taylor", module[0].weight, stats).sqrt(), expected)


def test_torch_pruning_default_taylor_is_our_snip_on_the_same_batch(module: nn.Sequential) -> None:
    """Their default sums |w g| over the filter, which is SNIP's score when all examples are one batch."""
    stats = with_gradients(module)
    expected = theirs(module, tp.importance.TaylorImportance(**FIRST))
    torch.testing.assert_close(ours("snip", module[0].weight, stats), expected)


@pytest.mark.parametrize(("of", "p"), [("magnitudes", 1), ("squares", 2)])
def test_torch_pruning_fpgm_distances_are_of_powers(module: nn.Sequential, of: str, p: int) -> None:
    scores = CRITERIA["similarity"].score(module[0].weight, LayerStatistics(), of=of)[:, 0, 0, 0]
    torch.testing.assert_close(scores, theirs(module, tp.importance.FPGMImportance(p=p, **FIRST)), rtol=1e-4, atol=1e-4)


def test_torch_pruning_fpgm_is_not_the_papers_with_distances_of_the_weights(
    module: nn.Sequential,
) -> None:
    filters = module[0].weight.detach().flatten(1)
    expected = (filters[:, None] - filters).norm(dim=2).sum(1)
    scores = CRITERIA["similarity"].score(module[0].weight, LayerStatistics())[:, 0, 0, 0]
    torch.testing.assert_close(scores, expected)
    assert not torch.allclose(scores, theirs(module, tp.importance.FPGMImportance(p=1, **FIRST)))


class MeanOfOutputs(tp.importance.Importance):
    """Torch-Pruning's group scored as our rows are: mean over its layers of the L1 norms of a channel's filters."""

    def __call__(self, group: Any) -> Tensor:
        filters = [
            dep.target.module.weight.detach().abs().flatten(1).sum(1)[indices]
            for dep, indices in group
            if dep.handler == tp.prune_conv_out_channels
        ]
        return torch.stack(filters).mean(0)


def pruned_by_both(
    build: Callable[[], nn.Module], example: Tensor, last: str, importance: object, ratio: float
) -> tuple[nn.Module, nn.Module]:
    """What MagnitudePruner leaves of a model and what we do, of equal numbers of channels.

    Torch-Pruning keeps int(n * (1 - ratio)) of n channels, so it takes more than a share of n where that is no whole
    number; its `round_to` rounds what stays down to a multiple, our `channel_multiple` up.
    """
    module, model = build(), Model("model", build(), (example,))
    ignored = [module.get_submodule(last)]
    tp.pruner.MagnitudePruner(module, example, importance, pruning_ratio=ratio, ignored_layers=ignored).step()
    widths = {layer.name: layer.weight_shape[0] for layer in model.graph.layers if layer.name != last}
    shares = {name: (n - int(n * (1 - ratio))) / n for name, n in widths.items()}
    wishes = {name: {"sparsity": share, "granularity": "output_channel"} for name, share in shares.items()}
    return module, slim(plan_for(model).with_layers(wishes), model).module


def chain() -> nn.Sequential:
    """Two convolutions of 16 and 24 channels with norms of a history, and a head."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 24, 3, padding=1)]
    norms = [nn.BatchNorm2d(16), nn.BatchNorm2d(24)]
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.running_mean)
    layers = [part for pair in zip(convolutions, norms, strict=True) for part in (*pair, nn.ReLU())]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5)).eval()


def residual() -> nn.Module:
    torch.manual_seed(0)
    return SMALL["resnet"].module().eval()


def same_state(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("ratio", "widths"), [(0.3, (11, 16)), (0.33, (10, 16)), (0.37, (10, 15)), (0.5, (8, 12))])
def test_torch_pruning_magnitude_pruner_leaves_the_same_model(ratio: float, widths: tuple[int, int]) -> None:
    importance = tp.importance.MagnitudeImportance(p=1, **FIRST)
    theirs, ours = pruned_by_both(chain, torch.zeros(2, 3, 8, 8), "8", importance, ratio)
    assert (theirs[0].out_channels, theirs[3].out_channels) == widths
    assert same_state(theirs, ours)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_pruning_magnitude_pruner_leaves_the_same_residual_model() -> None:
    theirs, ours = pruned_by_both(residual, *SMALL["resnet"].inputs(), "fc", MeanOfOutputs(), 0.37)
    assert theirs.conv1.out_channels == 40  # 64 lose 24
    assert same_state(theirs, ours)


def test_torch_pruning_counts_biases_norms_activations_and_pooling_too() -> None:
    """Its MACs are ours and one for each value that a bias, a ReLU or a pooling reads, two for that of a norm."""
    model = Model("chain", chain(), (torch.zeros(1, 3, 8, 8),))
    operations, params = tp.utils.count_ops_and_params(model.module, *model.example_inputs)
    values = (16 + 24) * 64
    assert operations == model.graph.macs + values + 2 * values + values + 24 * 64 + 5
    assert params == model.graph.params


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_pruning_halves_resnet18_as_we_do() -> None:
    build, example = ZOO["resnet18"].module, torch.zeros(1, 3, 224, 224)
    theirs, ours = pruned_by_both(lambda: build().eval(), example, "fc", MeanOfOutputs(), 0.5)
    assert same_state(theirs, ours)
    assert tp.utils.count_ops_and_params(ours, example) == (487_202_536, 3_055_880)
    dense = trace(build().eval(), (example,))
    assert (dense.macs, dense.params) == (1_814_073_344, 11_689_512)
    assert tp.utils.count_ops_and_params(build().eval(), example)[0] == 1_822_177_768
