"""NoiseOut: who goes first, and that what is folded computes the same where outputs depend on each other exactly."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.criteria import CRITERIA, LayerStatistics, Refit
from pruning_core.criteria.noiseout import pair_scores, regressions
from pruning_core.errors import CriterionError
from pruning_core.statistics import collect
from tests.pruning_core.toys import data_of, traced


def outputs_of(n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(2, 60, generator=generator).double()
    return torch.randn(n, 2, generator=generator).double() @ shared + torch.randn(n, 60, generator=generator) / 2 + 1


def statistics_of(outputs: Tensor) -> LayerStatistics:
    return LayerStatistics(output_mean=outputs.mean(1), output_covariance=outputs.cov(correction=0))


def naive_scores(outputs: Tensor) -> list[float]:
    """Remove the less varying one of the pair that correlates most, until one is left."""
    strength, variance = np.abs(np.corrcoef(outputs.numpy())), outputs.var(1)
    left, scores = list(range(len(outputs))), [1.0] * len(outputs)
    while len(left) > 1:
        pairs = [(strength[i, j], i, j) for i in left for j in left if i < j]
        value, one, other = max(pairs)
        gone = one if variance[one] < variance[other] else other
        scores[gone] = 1 - value
        left.remove(gone)
    return scores


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 9))
def test_scores_follow_the_greedy_pairing(seed: int, n: int) -> None:
    outputs = outputs_of(n, seed)
    scores = pair_scores(outputs.cov(correction=0), outputs.mean(1))
    torch.testing.assert_close(scores, torch.tensor(naive_scores(outputs)).double())


def test_one_of_each_pair_stays_and_constants_go_first() -> None:
    """Output 1 is twice output 0, 3 is minus half of 2, 4 never moves."""
    a, b = outputs_of(2, 0)
    outputs = torch.stack([a, 2 * a + 3, b, -b / 2, torch.full_like(a, 7)])
    scores = pair_scores(outputs.cov(correction=0), outputs.mean(1))
    torch.testing.assert_close(scores[[0, 3, 4]], torch.zeros(3).double(), rtol=0, atol=1e-12)
    assert scores[1] == 1  # the last of all varies most
    assert 0.1 < scores[2] < 1


def test_regressions_by_hand() -> None:
    outputs = torch.tensor([[1.0, 2, 3, 6], [3, 5, 7, 13], [4, 4, 4, 4], [0, 0, 0, 0], [1, -1, 2, 0]]).double()
    stats = statistics_of(outputs)
    kept = torch.tensor([True, False, False, False, True])
    partner, slope, offset, origin = regressions(stats.known("output_mean"), stats.known("output_covariance"), kept)
    assert partner[1] == 0
    torch.testing.assert_close(torch.stack([slope[1], offset[1]]), torch.tensor([2.0, 1]).double())
    torch.testing.assert_close(origin[1], torch.tensor((3 + 10 + 21 + 78) / 50).double())
    torch.testing.assert_close(torch.stack([slope[2:4], offset[2:4]]), torch.tensor([[0.0, 0], [4, 0]]).double())
    torch.testing.assert_close(origin[2], torch.tensor(4 * 12 / 50).double())
    assert origin[3] == 0


class Doubled(nn.Module):
    """Hidden channel 2 is 3 times channel 0 and 1 more; `inside` stands between the two layers."""

    def __init__(self, first: nn.Module, inside: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.inside, self.second = first, inside, second
        with torch.no_grad():
            first.weight[2] = 3 * first.weight[0]
            if first.bias is not None:
                first.bias[2] = 3 * first.bias[0] + 1

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.inside(self.first(x)))


POOLED = [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 3)]
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: Doubled(nn.Linear(3, 4), nn.Identity(), nn.Linear(4, 2)), (3,)),
    "without biases": (lambda: Doubled(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False)), (3,)),
    "conv": (lambda: Doubled(nn.Conv2d(2, 4, 3), nn.Identity(), nn.Conv2d(4, 5, 2)), (2, 8, 8)),
    "flattened": (lambda: Doubled(nn.Conv2d(2, 4, 3), nn.Sequential(*POOLED[:2]), POOLED[2]), (2, 8, 8)),
    "transposed": (
        lambda: Doubled(nn.Conv2d(2, 4, 3, bias=False), nn.Identity(), nn.ConvTranspose2d(4, 5, 2, 2)),
        (2, 8, 8),
    ),
    "after a maximum": (
        lambda: Doubled(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 5, 2)),
        (2, 8, 8),
    ),
}


def refit_of(module: nn.Module, shape: tuple[int, ...], **changes: object) -> Refit:
    """The wish to remove channel 2 of `first`."""
    graph = traced(module, *shape)
    units = torch.arange(4)
    mask = (units != 2).reshape(-1, *(1,) * (len(graph.layer("first").weight_shape) - 1))
    wide = graph.layer("second").weight_shape[1]
    fields = {
        "masks": {"first": mask.expand(graph.layer("first").weight_shape)},
        "rows": {"first": units},
        "columns": {"second": units.repeat_interleave(wide // 4)},
    }
    return Refit(graph, "first", **fields | changes, statistics=lambda names: collect(graph, data_of(*shape), names))


@pytest.mark.parametrize("name", MODELS)
def test_a_folded_channel_is_not_missed(name: str) -> None:
    torch.manual_seed(0)
    build, shape = MODELS[name]
    module = build().eval()
    refit = refit_of(module, shape)
    values = CRITERIA["noiseout"].update(refit)
    second = refit.graph.layer("second")
    assert set(values) == ({"second", second.bias} - {None} if name != "transposed" else {"second"})
    x = data_of(*shape).batch(slice(None))
    with torch.no_grad():
        dense = module(x)
        module.first.weight[2] = 0
        if module.first.bias is not None:
            module.first.bias[2] = 0
        lost = module(x)
        module.second.weight.copy_(second.stored(values["second"]))
        if second.bias in values:
            module.second.bias.copy_(values[second.bias])
        torch.testing.assert_close(module(x), dense, rtol=1e-4, atol=1e-4)
        assert (lost - dense).abs().max() > 0.01


def test_the_partner_is_the_best_of_those_that_stay() -> None:
    """Channels 0 and 2 are one up to scale; when both go, the folds use the next best and stay finite."""
    torch.manual_seed(0)
    module = Doubled(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    mask = torch.tensor([False, True, False, True])[:, None].expand(4, 3)
    refit = refit_of(module, (3,), masks={"first": mask})
    values = CRITERIA["noiseout"].update(refit)
    changed = values["second"] - refit.graph.weight("second")
    assert torch.isfinite(changed).all()
    assert changed[:, [1, 3]].any()
    assert not changed[:, [0, 2]].any()


def test_channels_without_a_unit_are_never_partners() -> None:
    torch.manual_seed(0)
    module = Doubled(nn.Linear(3, 4), nn.Identity(), nn.Linear(4, 2)).eval()
    units = torch.tensor([-1, 0, 1, 2])
    values = CRITERIA["noiseout"].update(refit_of(module, (3,), rows={"first": units}, columns={"second": units}))
    assert torch.equal(values["second"][:, 0], module.second.weight[:, 0])


INTO = "^noiseout cannot fold channels into 'second' through "
REFUSALS = {
    "folds whole output channels; choose output_channel, or": {"rows": {}, "columns": {}},
    "cannot fold channels that 'second' shares;": {"rows": {"first": torch.arange(4), "second": torch.arange(2)}},
    "folds channels that go one by one and are made once;": {"rows": {"first": torch.tensor([0, 0, 1, 1])}},
    "folds into channels that stay, and none does; lower": {"masks": {"first": torch.zeros(4, 3, dtype=torch.bool)}},
}


@pytest.mark.parametrize("sentence", REFUSALS)
def test_folds_without_a_meaning_are_refused(sentence: str) -> None:
    module = Doubled(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with pytest.raises(CriterionError, match=f"^noiseout {sentence}"):
        CRITERIA["noiseout"].update(refit_of(module, (3,), **REFUSALS[sentence]))


def test_a_fold_through_what_breaks_the_relation_is_refused() -> None:
    module = Doubled(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)).eval()
    with pytest.raises(CriterionError, match=INTO + r"aten\..*norm"):
        CRITERIA["noiseout"].update(refit_of(module, (3,)))
    grouped = Doubled(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1, groups=2)).eval()
    columns = {"second": torch.arange(2)}
    with pytest.raises(CriterionError, match=INTO + "its groups;"):
        CRITERIA["noiseout"].update(refit_of(grouped, (2, 5, 5), columns=columns))


def test_layers_that_read_nothing_of_the_wish_are_left_alone() -> None:
    module = Doubled(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)).eval()
    assert CRITERIA["noiseout"].update(refit_of(module, (3,), columns={"second": torch.full((4,), -1)})) == {}
