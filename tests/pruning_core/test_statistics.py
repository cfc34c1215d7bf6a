"""Statistics: exact against unfolded matrices and autograd, one pass, nothing of the model changed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sample_models
from pruning_core.criteria import CRITERIA, STATISTICS
from pruning_core.data import EvalData, Preprocessing
from pruning_core.errors import Cancelled, DataError, UnknownName
from pruning_core.graph import ModelGraph, trace
from pruning_core.statistics import LayerStatistics, collect
from tests.pruning_core.toys import CLASSES, N, data_of, traced

CALIBRATED = set(STATISTICS) - {"bn_scale"}


def small_cnn() -> nn.Module:
    """Grouped and transposed convolutions, a batch norm with a history, a dead channel."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 4, 2, groups=2),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(64, CLASSES),
    ).eval()
    norm = module[1]
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.normal_(norm.weight)
    norm.weight.data[1], norm.bias.data[1] = 0.0, -1.0
    return module


class TwoInputs(nn.Module):
    """Reads two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.fc(x + y)


@pytest.fixture(scope="module")
def cnn() -> tuple[nn.Module, ModelGraph]:
    module = small_cnn()
    return module, traced(module, 4, 6, 6)


@pytest.fixture(scope="module")
def collected(cnn: tuple[nn.Module, ModelGraph]) -> dict[str, LayerStatistics]:
    return collect(cnn[1], data_of(4, 6, 6), STATISTICS, batch_size=5)  # batches of 5, 5 and 3


def test_gradients_are_those_of_the_mean_loss(
    cnn: tuple[nn.Module, ModelGraph], collected: dict[str, LayerStatistics]
) -> None:
    module, data = small_cnn(), data_of(4, 6, 6)
    F.cross_entropy(module(data.batch(slice(None))), data.labels()).backward()
    for layer in cnn[1].layers:
        expected = layer.canonical(module.get_parameter(layer.parameter).grad)
        torch.testing.assert_close(collected[layer.name].gradient, expected)
        assert collected[layer.name].known("gradient").abs().sum() > 0


def test_gradients_of_tied_weights_add_up() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3, bias=False))
    module[2].weight = module[0].weight
    data = data_of(3)
    found = collect(traced(module, 3), data, {"gradient"}, batch_size=4)["0"].gradient
    F.cross_entropy(module(data.batch(slice(None))), data.labels()).backward()
    torch.testing.assert_close(found, module[0].weight.grad)


def test_activations_are_seen_after_norm_and_nonlinearity(
    cnn: tuple[nn.Module, ModelGraph], collected: dict[str, LayerStatistics]
) -> None:
    module = cnn[0]
    with torch.no_grad():
        relu = module[:3](data_of(4, 6, 6).batch(slice(None)))
        gelu = module[3:5](relu)
        logits = module[5:](gelu)
    for name, values in {"0": relu, "3": gelu, "6": logits}.items():
        channels = values.transpose(0, 1).flatten(1)
        torch.testing.assert_close(collected[name].activation_zeros, (channels == 0).float().mean(1))
        torch.testing.assert_close(collected[name].activation_mean, channels.abs().mean(1))
    assert collected["0"].dead_channels.tolist() == [1]
    assert collected["6"].dead_channels.tolist() == []


def test_activations_of_tokens_are_counted_for_each_feature() -> None:
    module = nn.Sequential(nn.Linear(5, 4), nn.ReLU())
    data = data_of(7, 5, targets=False)
    found = collect(traced(module, 7, 5), data, {"activation_zeros"})["0"].activation_zeros
    with torch.no_grad():
        expected = (module(data.batch(slice(None))) == 0).float().mean((0, 1))
    torch.testing.assert_close(found, expected)


def test_bn_scale_is_that_of_the_norm_that_follows_or_none(
    cnn: tuple[nn.Module, ModelGraph], collected: dict[str, LayerStatistics]
) -> None:
    assert torch.equal(collected["0"].known("bn_scale"), cnn[0][1].weight)
    assert collected["3"].bn_scale is None


def test_preprocessing_is_applied() -> None:
    data = EvalData("toy", "calibration", np.array([[3, 1]], np.uint8), None, Preprocessing(2.0, (2.0,), (1.0,)))
    norm = collect(traced(nn.Linear(2, 2), 2), data, {"input_norm"})["weight"].known("input_norm")
    assert norm.tolist() == [[4.0, 0.0]]


def test_only_what_was_asked_is_there(cnn: tuple[nn.Module, ModelGraph]) -> None:
    found = collect(cnn[1], data_of(4, 6, 6, targets=False), {"activation_mean"}, layers=["3"])
    assert list(found) == ["3"]
    assert {name for name in STATISTICS if getattr(found["3"], name) is not None} == {"activation_mean"}


@pytest.mark.parametrize("name", sorted(CALIBRATED))
def test_each_alone_equals_all_at_once(
    cnn: tuple[nn.Module, ModelGraph], collected: dict[str, LayerStatistics], name: str
) -> None:
    alone = collect(cnn[1], data_of(4, 6, 6), [name], batch_size=5)
    for layer in cnn[1].by_name:
        found, expected = getattr(alone[layer], name), getattr(collected[layer], name)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)  # here in batches, there one by one


def test_no_data_is_needed_for_nothing_or_a_scale(cnn: tuple[nn.Module, ModelGraph]) -> None:
    assert set(collect(cnn[1], None, [])) == {"0", "3", "6"}
    assert collect(cnn[1], None, ["bn_scale"])["0"].bn_scale is not None
    assert collect(cnn[1], data_of(9, 9), [])["0"].n == 0  # the data is not even looked at
    with pytest.raises(DataError, match=r"^gradient, input_norm cannot be collected without data$"):
        collect(cnn[1], None, ["input_norm", "gradient"])


def test_n_examples_are_seen(cnn: tuple[nn.Module, ModelGraph], collected: dict[str, LayerStatistics]) -> None:
    assert collected["0"].n == N
    few = collect(cnn[1], data_of(4, 6, 6), ["input_norm"], n=4)["0"]
    assert few.n == 4
    chosen = data_of(4, 6, 6).take(4)
    assert torch.equal(few.known("input_norm"), collect(cnn[1], chosen, ["input_norm"])["0"].known("input_norm"))


def test_one_pass_runs_each_example_once(monkeypatch: pytest.MonkeyPatch, cnn: tuple[nn.Module, ModelGraph]) -> None:
    asked: list[slice] = []
    batch = EvalData.prepared
    monkeypatch.setattr(EvalData, "prepared", lambda self, part: asked.append(part) or batch(self, part))
    collect(cnn[1], data_of(4, 6, 6), STATISTICS, batch_size=5)
    assert asked == [slice(0, 5), slice(5, 10), slice(10, 15)]


def test_the_model_is_as_it_was() -> None:
    module = small_cnn()
    module[0].weight.requires_grad_(False)
    graph = traced(module, 4, 6, 6)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [parameter.requires_grad for parameter in module.parameters()]
    collect(graph, data_of(4, 6, 6), STATISTICS)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [parameter.requires_grad for parameter in module.parameters()] == flags
    assert all(parameter.grad is None for parameter in [*module.parameters(), *graph.module.parameters()])
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", ["resnet_fashion", "vit_fashion"])
def test_every_criterion_scores_layers_of_a_sample(name: str) -> None:
    graph = traced(sample_models.build(name), 1, 28, 28)
    layers = [graph.layers[i] for i in (0, 1, -1)]
    names = set(STATISTICS) - {"ablation"}
    found = collect(graph, data_of(1, 28, 28, n=3), names, layers=[layer.name for layer in layers])
    for layer in layers:
        stats = found[layer.name]
        for member in CRITERIA.values():
            if all(getattr(stats, need) is not None for need in member.needs):
                scores = member.score(graph.weight(layer.name), stats)
                assert scores.shape == layer.weight_shape
                assert torch.isfinite(scores).all()
        assert stats.known("activation_zeros").shape == (layer.weight_shape[0],)
        assert stats.known("gradient").shape == layer.weight_shape


def test_refusals(cnn: tuple[nn.Module, ModelGraph]) -> None:
    graph, data = cnn[1], data_of(4, 6, 6)
    with pytest.raises(DataError, match=r"^data 'toy' has no targets; gradients need class scores and targets$"):
        collect(graph, data_of(4, 6, 6, targets=False), ["gradient"])
    with pytest.raises(DataError, match=r"^data 'toy': target 2 of example 2 is outside 0 to 1$"):
        collect(traced(nn.Linear(5, 2), 5), data_of(5), ["gradient"])
    with pytest.raises(DataError, match=r"^data 'toy' meets outputs of shape \(7, 3\); gradients need class scores"):
        collect(traced(nn.Linear(5, 3), 7, 5), data_of(7, 5), ["gradient"])
    with pytest.raises(DataError, match=r"^data 'toy' has examples of shape \(4, 6, 5\); the model takes \(4, 6, 6\)$"):
        collect(graph, data_of(4, 6, 5), ["input_norm"])
    two = trace(TwoInputs().eval(), (torch.zeros(1, 5), torch.zeros(1, 5)))
    with pytest.raises(DataError, match=r"^the model takes 2 inputs, but data 'toy' gives 1; save them as x0, x1"):
        collect(two, data_of(5), ["input_norm"])
    with pytest.raises(UnknownName, match=r"^unknown statistic 'input_nrm'; did you mean 'input_norm'\?$"):
        collect(graph, data, ["input_nrm"])
    with pytest.raises(UnknownName, match=r"^the model has no prunable layer '1'"):
        collect(graph, data, ["input_norm"], layers=["1"])


def test_it_can_be_stopped_between_batches(cnn: tuple[nn.Module, ModelGraph]) -> None:
    answers = iter([False, False, True])
    with pytest.raises(Cancelled, match=r"^stopped after 10 of 13 calibration examples$"):
        collect(cnn[1], data_of(4, 6, 6), ["input_norm"], batch_size=5, cancelled=lambda: next(answers))


def test_the_layers_name_is_told(collected: dict[str, LayerStatistics]) -> None:
    assert [stats.layer for stats in collected.values()] == list(collected)


def test_outputs_that_overflow_are_refused() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, CLASSES))
    module[0].weight.data.fill_(1e30)
    module[1].weight.data.fill_(1e30)
    with pytest.raises(DataError, match=r"^1: activation_mean is NaN or infinite; the model overflows on the calibrat"):
        collect(traced(module, 2), data_of(2), ["activation_mean"])


def test_moments_of_outputs_are_those_of_all_positions(
    cnn: tuple[nn.Module, ModelGraph], collected: dict[str, LayerStatistics]
) -> None:
    with torch.no_grad():
        relu = cnn[0][:3](data_of(4, 6, 6).batch(slice(None)))
        logits = cnn[0](data_of(4, 6, 6).batch(slice(None)))
    for name, values in {"0": relu, "6": logits}.items():
        channels = values.transpose(0, 1).flatten(1).double()
        torch.testing.assert_close(collected[name].output_mean, channels.mean(1), rtol=1e-5, atol=1e-7)
        expected = channels.cov(correction=0)
        torch.testing.assert_close(collected[name].output_covariance, expected, rtol=1e-4, atol=1e-7)
    assert collected["0"].known("output_covariance")[1].eq(0).all()  # the dead channel


def test_a_large_mean_costs_the_covariance_no_digits() -> None:
    layer = nn.Linear(1, 2, bias=True)
    layer.weight.data, layer.bias.data = torch.tensor([[1.0], [2.0]]), torch.full((2,), 1e9)
    inputs = np.array([[0], [64], [128], [192]], np.float32)  # single precision steps by 64 there
    found = collect(traced(layer, 1), EvalData("toy", "calibration", inputs, None), ["output_covariance"], batch_size=3)
    torch.testing.assert_close(
        found["weight"].output_covariance, 64**2 * torch.tensor([[1.25, 2.5], [2.5, 5]]).double()
    )
