"""Ranking: scores once, ranks once, then only comparisons; ties by index; refusals that name the layer."""

from collections import Counter
from collections.abc import Iterator
from threading import Thread
from time import sleep

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruning_core import masks, statistics
from pruning_core.apply import masks_for
from pruning_core.criteria import CRITERIA
from pruning_core.criteria.seam import Criterion
from pruning_core.data import EvalData
from pruning_core.errors import CriterionError, GranularityError, PlanError, PruningError, UnknownName
from pruning_core.granularities import GRANULARITIES, patterns
from pruning_core.model import Model
from pruning_core.plan import LayerPlan, Plan
from pruning_core.ranking import Ranking, cache, refuses

torch.set_num_threads(1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.fc1 = nn.Linear(8, 12)
        self.fc2 = nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu().mean((2, 3))
        logits: Tensor = self.fc2(self.fc1(x).relu())
        return logits


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model("net", Net().eval(), (torch.randn(2, 2, 6, 6),))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each criterion scored a layer, and blocks were ranked."""
    counter: Counter[str] = Counter()
    score, rank = Criterion.score, masks.ranks

    def counted_score(self: Criterion, *args: object, **settings: object) -> Tensor:
        counter[self.name] += 1
        sleep(0.01)
        return score(self, *args, **settings)  # type: ignore[arg-type]

    def counted_rank(scores: Tensor) -> Tensor:
        counter["ranks"] += 1
        return rank(scores)

    monkeypatch.setattr(Criterion, "score", counted_score)
    monkeypatch.setattr(masks, "ranks", counted_rank)
    return counter


def data(with_targets: bool = True) -> EvalData:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(20, 2, 6, 6)).astype(np.float32)
    return EvalData("noise", "calibration", inputs, generator.integers(0, 6, 20) if with_targets else None)


def test_a_move_only_compares(model: Model, calls: Counter[str]) -> None:
    known = Ranking(model)
    for step in range(1, 90):
        known.mask("fc1", LayerPlan(sparsity=step / 100))
    assert calls == {"l1": 1, "ranks": 1}
    known.mask("fc1", LayerPlan(sparsity=0.5, granularity="row"))
    known.mask("fc1", LayerPlan(sparsity=0.5, criterion="l2"))
    assert calls == {"l1": 2, "l2": 1, "ranks": 3}


@pytest.mark.parametrize("way", GRANULARITIES)
def test_a_mask_may_be_written_to_and_the_next_is_not_touched(model: Model, way: str) -> None:
    known, wish = Ranking(model), LayerPlan(sparsity=0.5, granularity=way)
    if refuses(known, "fc1", wish) is None:
        before = known.mask("fc1", wish).clone()
        known.mask("fc1", wish).fill_(False)
        assert torch.equal(known.mask("fc1", wish), before)


def test_settings_are_ways_of_their_own(model: Model, calls: Counter[str]) -> None:
    known = Ranking(model)
    wishes = [LayerPlan(sparsity=0.5, criterion="random", settings={"seed": seed}) for seed in (0, 1, 0)]
    first, second, again = (known.mask("fc1", wish) for wish in wishes)
    assert calls["random"] == 2
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_counts_score_nothing(model: Model, calls: Counter[str]) -> None:
    known = Ranking(model)
    assert known.n_kept_weights("fc1", LayerPlan(sparsity=0.3)) == 96 - 29
    assert known.n_kept_weights("conv", LayerPlan(sparsity=0.5, granularity="row")) == 72
    assert not calls


@pytest.mark.parametrize("name", ["conv", "fc1", "fc2"])
@pytest.mark.parametrize("way", GRANULARITIES)
def test_masks_keep_exactly_what_the_counts_say(model: Model, name: str, way: str) -> None:
    known = Ranking(model)
    for sparsity in (0.0, 0.25, 0.5, 0.75):
        wish = LayerPlan(sparsity=sparsity, granularity=way)
        if refuses(known, name, wish) is None:
            assert int(known.mask(name, wish).sum()) == known.n_kept_weights(name, wish)


def test_sessions_that_ask_at_once_wait_for_one_computation(model: Model, calls: Counter[str]) -> None:
    known = Ranking(model)
    found: list[Tensor] = []
    wish = LayerPlan(sparsity=0.5)
    threads = [Thread(target=lambda: found.append(known.mask("fc1", wish))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == {"l1": 1, "ranks": 1}
    assert all(torch.equal(mask, found[0]) for mask in found)


def test_statistics_are_collected_in_one_pass(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[object] = []
    collect = statistics.collect

    def counted(*args: object) -> object:
        passes.append(args)
        return collect(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(statistics, "collect", counted)
    known = Ranking(model, data())
    for name in ("conv", "fc1", "fc2"):
        known.mask(name, LayerPlan(sparsity=0.5, criterion="wanda"))
    assert len(passes) == 1


def test_pattern_sets_are_found_once_for_each_kernel_shape_and_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 5), nn.Flatten(), nn.Linear(16, 3))
    model, searched, search = Model("convs", net, (torch.randn(1, 2, 10, 10),)), [], patterns.pattern_set

    def counted(weights: list[Tensor], **settings: int) -> Tensor:
        searched.append([tuple(weight.shape) for weight in weights])
        return search(weights, **settings)

    monkeypatch.setattr(patterns, "pattern_set", counted)
    known, wish = Ranking(model), LayerPlan(granularity="pattern", sparsity=1 - 4 / 9)
    found = {}
    for criterion in ("l1", "l2", "random"):
        for name in ("0", "1"):
            found[name, criterion] = known.mask(name, wish.model_copy(update={"criterion": criterion}))
    assert searched == [[(4, 2, 3, 3), (4, 4, 3, 3)]]
    known.mask("2", wish.model_copy(update={"sparsity": 1 - 4 / 25}))
    known.mask("0", wish.model_copy(update={"settings": {"patterns": 2}}))
    assert searched[1:] == [[(4, 4, 5, 5)], searched[0]]
    fresh = Ranking(model).mask("1", wish.model_copy(update={"criterion": "l2"}))
    assert torch.equal(found["1", "l2"], fresh)


def test_the_cache_is_bounded_and_keeps_what_was_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHE_BYTES", 2 * 400)
    known, computed = cache.Cache(), []

    def ask(key: str) -> None:
        known.get(key, lambda: computed.append(key) or torch.zeros(100))  # type: ignore[func-returns-value]

    for key in "abaca":
        ask(key)
    assert computed == ["a", "b", "c"]  # b went for c, since a was used after it
    ask("b")
    assert computed[-1] == "b"
    assert known.n_bytes <= cache.CACHE_BYTES


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_ranks_are_usable_whatever_mode_the_first_caller_was_in(model: Model, criterion: str, mode: type) -> None:
    granularity = {"weight": "fine_grained", "output": "row", "input": "input_channel"}[CRITERIA[criterion].unit]
    how = {"criterion": criterion, "granularity": granularity, "update_weights": False}
    known, wish = Ranking(model, data()), LayerPlan(sparsity=0.5, **how)
    name = "fc1" if granularity == "input_channel" else "conv"
    with mode():
        known.mask(name, wish)
    for tensor in (known.scores(name, wish), known.ranks(name, wish)):
        assert not tensor.is_inference()
        assert not tensor.requires_grad


@pytest.mark.parametrize(
    "scores",
    [
        torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0)),
        torch.randint(-3, 3, (2, 9_000), generator=torch.Generator().manual_seed(0)).float(),
        torch.tensor([0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, float("inf"), -float("inf")]).repeat(1, 2_000),
        torch.zeros(1, 10_000),
    ],
    ids=["all different", "many ties", "extremes", "all alike"],
)
def test_long_rows_rank_as_a_stable_sort_does(scores: Tensor) -> None:
    assert scores.shape[1] >= masks.LONG
    order = torch.sort(scores, dim=-1, descending=True, stable=True).indices
    places = torch.arange(scores.shape[1]).expand(scores.shape)
    found = masks.ranks(scores)
    assert found.dtype == torch.int32
    assert torch.equal(found.long(), torch.empty_like(order).scatter_(-1, order, places))


def test_ties_are_kept_from_the_lowest_index_on() -> None:
    class Equal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)
            nn.init.ones_(self.fc.weight)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(x)
            return logits

    known = Ranking(Model("equal", Equal().eval(), (torch.randn(2, 4),)))
    assert known.mask("fc", LayerPlan(sparsity=0.625)).tolist() == [[True, True, True, False], [False] * 4]
    pattern = LayerPlan(sparsity=0.5, granularity="n_m")
    assert known.mask("fc", pattern).tolist() == [[True, True, False, False]] * 2


REFUSALS: list[tuple[str, dict[str, object], type[PruningError], str]] = [
    ("fc1", {"sparsity": 1.0}, PlanError, "fc1: sparsity 1 would remove all 96 blocks; a lower one keeps some"),
    ("fc2", {"sparsity": 0.95, "granularity": "row"}, PlanError, "fc2: sparsity 0.95 would remove all 6 blocks"),
    ("fc1", {"sparsity": 0.3, "granularity": "n_m"}, PlanError, "fc1: 2:4 removes 0 or 0.5; sparsity 0.3 is not"),
    ("fc2", {"granularity": "block"}, GranularityError, "fc2: blocks of (4, 4) do not tile a matrix of (6, 12)"),
    ("conv", {"granularity": "n_m"}, GranularityError, "conv: 2:4 needs inputs in groups of 4, this layer has 2"),
    ("fc1", {"granularity": "kernel"}, GranularityError, "fc1: a weight without kernel positions"),
    ("fc1", {"granularity": "rows"}, UnknownName, "fc1: unknown granularity 'rows'; did you mean 'row'?"),
    ("fc1", {"criterion": "l3"}, UnknownName, "fc1: unknown criterion 'l3'"),
    ("fc1", {"settings": {"sed": 1}, "criterion": "random"}, UnknownName, "fc1: unknown setting 'sed'"),
    ("fc1", {"settings": {"seed": -1}, "criterion": "random"}, PlanError, "fc1: setting 'seed' is -1"),
    ("fc3", {}, UnknownName, "the model has no prunable layer 'fc3'; did you mean 'fc2'?"),
    ("fc1", {"criterion": "bn_scale"}, CriterionError, "fc1: bn_scale needs a batch norm after the layer"),
    ("fc1", {"criterion": "wanda"}, CriterionError, "fc1: wanda needs calibration data; l1 and l2 work without"),
]


@pytest.mark.parametrize(("name", "wish", "error", "words"), REFUSALS, ids=[words for *_, words in REFUSALS])
def test_refusals_name_the_layer_and_what_would_work(
    model: Model, name: str, wish: dict[str, object], error: type[PruningError], words: str
) -> None:
    known = Ranking(model)
    with pytest.raises(error) as caught:
        known.n_keep(name, LayerPlan.model_validate(wish))
    assert str(caught.value).startswith(words)
    assert refuses(known, name, LayerPlan.model_validate(wish)) == str(caught.value)


def test_gradients_need_targets(model: Model) -> None:
    wish = LayerPlan(sparsity=0.5, criterion="taylor")
    assert "fc1: taylor needs gradients" in str(refuses(Ranking(model, data(with_targets=False)), "fc1", wish))
    assert refuses(Ranking(model, data()), "fc1", wish) is None


def test_a_criterion_that_the_layer_can_follow_is_not_refused(model: Model) -> None:
    wish = LayerPlan(sparsity=0.5, criterion="bn_scale", granularity="row")
    assert int(Ranking(model).mask("conv", wish).sum()) == 72


def model_wide(sparsity: float, **fields: object) -> Plan:
    wish = LayerPlan.model_validate({"sparsity": sparsity, **fields})
    return Plan(layers=dict.fromkeys(("conv", "fc1", "fc2"), wish), scope="model")


@pytest.mark.parametrize("sparsity", [0.1, 0.3, 0.6])
def test_model_wide_is_one_ranking_of_all_weights(model: Model, sparsity: float) -> None:
    names = ("conv", "fc1", "fc2")
    weights = torch.cat([model.graph.weight(name).abs().flatten() for name in names])
    n_gone = round(sparsity * len(weights))
    found = masks_for(model, model_wide(sparsity))
    together = torch.cat([found[name].flatten() for name in names])
    assert int((~together).sum()) == n_gone
    assert torch.equal(~together, weights <= weights.sort().values[n_gone - 1])


def test_model_wide_blocks_stay_within_the_budget(model: Model) -> None:
    found = masks_for(model, model_wide(0.5, granularity="row"))
    removed = sum(int((~mask).sum()) for mask in found.values())
    total = sum(mask.numel() for mask in found.values())
    assert 0 <= total // 2 - removed < 18  # the largest row
    assert all(set(mask.flatten(1).float().mean(1).tolist()) <= {0.0, 1.0} for mask in found.values())
