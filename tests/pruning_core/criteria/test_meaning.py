"""Every criterion says what it lacks and where it has no meaning, before anything is run, in words for a menu."""

import pytest
import torch
from torch import Tensor, nn

from pruning_core.criteria import CRITERIA, STATISTICS, WITH_TARGETS, WITHOUT_DATA, why_not_criterion
from pruning_core.granularities import GRANULARITIES
from pruning_core.graph import trace
from pruning_core.model import Model
from pruning_core.plan import LayerPlan
from pruning_core.ranking import Ranking, refuses
from pruning_core.statistics import collect
from tests.pruning_core.toys import CLASSES, data_of, traced

EVERYTHING = {"has_data": True, "has_targets": True}
OF_OUTPUTS = "taylor_activation bn_scale apoz mean_activation noiseout ablation".split()


class Net(nn.Module):
    """A residual pair of convolutions whose norm only one has, a shared layer, and a wide head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.alone = nn.Conv2d(4, 6, 1)
        self.wide, self.shared, self.out = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.tanh(self.alone(x + self.second(x))).mean((2, 3))
        return self.out(self.shared(torch.relu(self.shared(torch.tanh(self.wide(x))))))


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model("net", Net().eval(), (torch.zeros(1, 1, 4, 4),))


@pytest.fixture(scope="module")
def ranking(model: Model) -> Ranking:
    return Ranking(model, data_of(1, 4, 4, n=4))


def why(model: Model, name: str, criterion: str, granularity: str = "output_channel", **changes: bool) -> str | None:
    cut = Ranking(model).layout(name, LayerPlan(granularity=granularity))
    return why_not_criterion(model.graph, name, criterion, cut, **EVERYTHING | changes)


@pytest.mark.parametrize("name", CRITERIA)
def test_a_menu_is_told_what_a_member_needs(name: str) -> None:
    member = CRITERIA[name]
    assert bool(member.requirements) == bool(member.needs)
    assert set(member.requirements) == {STATISTICS[need] for need in member.needs}
    assert ("targets" in " ".join(member.requirements)) == bool(member.needs & WITH_TARGETS)


@pytest.mark.parametrize("name", CRITERIA)
def test_without_data_only_those_stay_that_need_none(model: Model, name: str) -> None:
    said = why_not_criterion(model.graph, "first", name, has_data=False, has_targets=False)
    assert (said is not None) == bool(CRITERIA[name].needs - WITHOUT_DATA)
    assert said in (None, "needs calibration data; l1 and l2 work without data")
    without = why_not_criterion(model.graph, "first", name, has_data=True, has_targets=False)
    assert (without is not None) == bool(CRITERIA[name].needs & WITH_TARGETS)
    assert without is None or without.endswith("data with targets, and the data has none; l1 works without")


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("layer", ["first", "alone", "out"])
def test_what_is_allowed_scores_and_what_is_refused_is_one_sentence_with_a_remedy(
    model: Model, ranking: Ranking, layer: str, name: str, granularity: str
) -> None:
    wish = LayerPlan(granularity=granularity, criterion=name)
    if refuses(ranking, layer, wish.model_copy(update={"criterion": "l1"})):
        return  # the granularity does not fit
    said = why_not_criterion(model.graph, layer, name, ranking.layout(layer, wish), **EVERYTHING)
    if said is None:
        assert torch.isfinite(ranking.scores(layer, wish)).all()
        return
    assert refuses(ranking, layer, wish) == f"{layer}: {name} {said}"
    assert said.split()[0] in ("needs", "counts", "scores", "folds", "cannot", "refits")
    assert said.count(";") == 1  # after it stands what would work
    assert "\n" not in said


def test_a_norm_is_needed_of_the_layer_and_of_all_that_is_coupled_with_it(model: Model) -> None:
    assert why(model, "out", "bn_scale", "row") == "needs a batch norm after the layer; l1 works everywhere"
    assert why(model, "first", "bn_scale", "row") is None
    coupled = "needs a batch norm after the layer (so at 'second', which is coupled with it); l1 works everywhere"
    assert why(model, "first", "bn_scale") == coupled


def test_zeros_are_counted_only_where_something_makes_them(model: Model) -> None:
    no_relu = "counts exact zeros, and no ReLU follows at once; mean_activation needs none"
    assert why(model, "alone", "apoz") == no_relu
    assert why(model, "first", "apoz", "row") is None
    assert why(model, "second", "apoz", "row") == no_relu
    assert why(model, "second", "apoz") is None  # its channels are those of `first`, which tells them apart
    for nonlinearity, makes_zeros in ((nn.ReLU6(), True), (nn.Hardswish(), True), (nn.Hardtanh(), False)):
        graph = traced(nn.Sequential(nn.Linear(3, 4), nonlinearity, nn.Linear(4, 2)), 3)
        assert (why_not_criterion(graph, "0", "apoz", **EVERYTHING) is None) == makes_zeros


@pytest.mark.parametrize("name", CRITERIA)
def test_outputs_are_those_of_one_place(model: Model, name: str) -> None:
    said = why_not_criterion(model.graph, "shared", name, **EVERYTHING)
    expected = (
        "needs outputs of one place, and this weight is used in 2; l1 works everywhere" if name in OF_OUTPUTS else None
    )
    assert said == expected
    needs = CRITERIA[name].needs
    found = collect(model.graph, data_of(1, 4, 4, n=2), needs, ["shared"])["shared"]
    assert any(getattr(found, need) is None for need in needs) == (name in OF_OUTPUTS)


@pytest.mark.parametrize("name", CRITERIA)
def test_blocks_that_a_criterion_cannot_tell_apart_are_refused(model: Model, name: str) -> None:
    fits = {
        "weight": {"row", "column", "fine_grained", "kernel", "input_channel", "output_channel"},
        "output": {"row", "output_channel"},
        "input": {"input_channel"},
    }[CRITERIA[name].unit]
    for granularity in ("row", "column", "fine_grained", "kernel", "input_channel", "output_channel"):
        said = why(model, "second", name, granularity, update_weights=False)
        if name not in ("bn_scale", "apoz"):  # which `second` cannot have
            assert (said is None) == (granularity in fits)
            assert said is None or f"scores whole {CRITERIA[name].unit}s, so within them position would" in said


def test_a_column_of_a_matrix_is_a_whole_input(model: Model) -> None:
    assert why(model, "out", "reconstruction", "column") is None
    assert why(model, "second", "reconstruction", "column") is not None  # one of the kernel's positions


def test_what_cannot_be_folded_is_said_before_and_can_be_removed_without(model: Model) -> None:
    assert why(model, "alone", "noiseout") is None  # a mean lies between it and `wide`
    shares = why(model, "first", "noiseout")
    assert shares == (
        "cannot fold channels that 'second' shares; switch the update of weights off to remove without folding"
    )
    assert why(model, "first", "noiseout", update_weights=False) is None
    assert why(model, "out", "noiseout", "row").startswith("folds whole output channels; choose output_channel, or")


def test_a_refit_of_a_reader_that_is_too_wide_is_said_before() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 65 * 65, 2))
    model = Model("wide", net.eval(), (torch.zeros(1, 1, 65, 65),))
    refused = (
        "refits '3', which needs products of all pairs of inputs, and 8450 are more than 8192; "
        "switch the update of weights off to keep them as they are"
    )
    assert why(model, "0", "sparsegpt") == refused
    assert why(model, "0", "sparsegpt", update_weights=False) is None
    assert why(model, "0", "sparsegpt", "row") is None


class TwoInputs(nn.Module):
    """Reads two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.fc(x + y)


def test_models_of_two_inputs_and_models_that_give_no_class_scores() -> None:
    two = trace(TwoInputs().eval(), (torch.zeros(1, 5), torch.zeros(1, 5)))
    assert why_not_criterion(two, "fc", "wanda", **EVERYTHING) is None
    assert why_not_criterion(two, "fc", "l1", **EVERYTHING) is None
    tokens = traced(nn.Linear(5, CLASSES), 7, 5)
    assert why_not_criterion(tokens, "weight", "taylor", **EVERYTHING) == (
        "needs one score for each class, and the outputs have shape (7, 3); l1 works without"
    )
    assert why_not_criterion(tokens, "weight", "wanda", **EVERYTHING) is None
