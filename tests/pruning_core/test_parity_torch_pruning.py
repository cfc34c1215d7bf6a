"""Parity with Torch-Pruning's importance scores; rows 17 to 22 of the oracle table.

Where Torch-Pruning means something else by the same words, the test names its variant.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.criteria import CRITERIA, LayerStatistics
from pruning_core.data import EvalData
from pruning_core.granularities import GRANULARITIES
from pruning_core.graph import trace
from pruning_core.statistics import collect

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
def test_row_17_magnitude_of_filters(module: nn.Sequential, criterion: str, p: int) -> None:
    expected = theirs(module, tp.importance.MagnitudeImportance(p=p, **FIRST))
    torch.testing.assert_close(ours(criterion, module[0].weight), expected)


def test_row_18_their_default_adds_norms_and_readers_and_divides_by_the_mean(module: nn.Sequential) -> None:
    of_filters = ours("l2", module[0].weight)
    of_readers = module[3].weight.detach().square().sum((0, 2, 3))
    total = (of_filters + module[1].weight.detach().square() + of_readers) / 3
    expected = theirs(module, tp.importance.MagnitudeImportance(p=2))
    torch.testing.assert_close(total / total.mean(), expected)


def test_row_19_lamp_of_the_reduced_scores(module: nn.Sequential) -> None:
    """Torch-Pruning reduces filters first and scores their sums; our lamp scores weights, here one for each filter."""
    reduced = ours("l2", module[0].weight)
    scores = CRITERIA["lamp"].score(reduced.sqrt()[:, None], LayerStatistics())[:, 0]
    expected = theirs(module, tp.importance.LAMPImportance(p=2, group_reduction="first"))
    torch.testing.assert_close(scores / scores.mean() * expected.mean(), expected)
    assert torch.equal(scores.argsort(), expected.argsort())


def test_row_20_scale_of_the_batch_norm(module: nn.Sequential) -> None:
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


def test_row_21_taylor_of_a_whole_filter(module: nn.Sequential) -> None:
    """Their `multivariable=True` is |sum of w g|; ours is its square, as in the paper."""
    stats = with_gradients(module)
    expected = theirs(module, tp.importance.TaylorImportance(multivariable=True, **FIRST))
    torch.testing.assert_close(ours("taylor", module[0].weight, stats).sqrt(), expected)


def test_row_21_their_default_taylor_is_our_snip_on_the_same_batch(module: nn.Sequential) -> None:
    """Their default sums |w g| over the filter, which is SNIP's score when all examples are one batch."""
    stats = with_gradients(module)
    expected = theirs(module, tp.importance.TaylorImportance(**FIRST))
    torch.testing.assert_close(ours("snip", module[0].weight, stats), expected)


@pytest.mark.parametrize(("of", "p"), [("magnitudes", 1), ("squares", 2)])
def test_row_22_distances_of_filters(module: nn.Sequential, of: str, p: int) -> None:
    scores = CRITERIA["similarity"].score(module[0].weight, LayerStatistics(), of=of)[:, 0, 0, 0]
    torch.testing.assert_close(scores, theirs(module, tp.importance.FPGMImportance(p=p, **FIRST)), rtol=1e-4, atol=1e-4)


def test_row_22_the_papers_distances_are_of_the_weights_themselves(module: nn.Sequential) -> None:
    filters = module[0].weight.detach().flatten(1)
    expected = (filters[:, None] - filters).norm(dim=2).sum(1)
    scores = CRITERIA["similarity"].score(module[0].weight, LayerStatistics())[:, 0, 0, 0]
    torch.testing.assert_close(scores, expected)
    assert not torch.allclose(scores, theirs(module, tp.importance.FPGMImportance(p=1, **FIRST)))
