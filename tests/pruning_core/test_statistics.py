"""Statistics: exact against unfolded matrices and autograd, one pass, nothing of the model changed."""

from collections.abc import Callable

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

torch.set_num_threads(1)

N, CLASSES = 13, 3
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


def data_of(*shape: int, n: int = N, targets: bool = True, name: str = "toy") -> EvalData:
    inputs = np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)
    return EvalData(name, "calibration", inputs, np.arange(n) % CLASSES if targets else None)


def graph_of(module: nn.Module, *shape: int) -> ModelGraph:
    return trace(module.eval(), (torch.zeros(1, *shape),))


@pytest.fixture(scope="module")
def cnn() -> tuple[nn.Module, ModelGraph]:
    module = small_cnn()
    return module, graph_of(module, 4, 6, 6)


@pytest.fixture(scope="module")
def collected(cnn: tuple[nn.Module, ModelGraph]) -> dict[str, LayerStatistics]:
    return collect(cnn[1], data_of(4, 6, 6), STATISTICS, batch_size=5)  # batches of 5, 5 and 3


CONVOLUTIONS: dict[str, Callable[[], nn.Conv2d]] = {
    "plain": lambda: nn.Conv2d(4, 6, 3),
    "stride and padding": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "uneven": lambda: nn.Conv2d(4, 6, (3, 2), stride=(1, 3), padding=(2, 0), dilation=(2, 1)),
    "groups": lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 8, 3, stride=2, groups=4),
    "pointwise": lambda: nn.Conv2d(4, 6, 1),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_input_norms_of_a_convolution_are_those_of_the_unfolded_columns(name: str) -> None:
    conv = CONVOLUTIONS[name]()
    data = data_of(4, 7, 8, targets=False)
    norm = collect(graph_of(conv, 4, 7, 8), data, {"input_norm"}, batch_size=5)["weight"].input_norm
    columns = F.unfold(data.batch(slice(None)), conv.kernel_size, conv.dilation, conv.padding, conv.stride)
    by_channel = columns.transpose(0, 1).flatten(1).norm(dim=1).reshape(conv.groups, -1, *conv.kernel_size)
    expected = by_channel.repeat_interleave(conv.out_channels // conv.groups if conv.groups > 1 else 1, 0)
    assert norm is not None
    torch.testing.assert_close(norm, expected)


def test_input_norms_with_padding_same_are_those_of_the_same_padding() -> None:
    data = data_of(4, 6, 6, targets=False)
    convs = [nn.Conv2d(4, 2, 3, padding=padding) for padding in ("same", 1)]
    norms = [collect(graph_of(conv, 4, 6, 6), data, {"input_norm"})["weight"].known("input_norm") for conv in convs]
    torch.testing.assert_close(*norms)


def test_input_norms_in_one_dimension_by_hand() -> None:
    data = EvalData("toy", "calibration", np.array([[[3.0, 0, 4]], [[0, 2, 0]]]), None)
    norm = collect(graph_of(nn.Conv1d(1, 5, 2), 1, 3), data, {"input_norm"})["weight"].known("input_norm")
    torch.testing.assert_close(norm, torch.tensor([[[13.0, 20.0]]]).sqrt())


def test_input_norms_of_a_transposed_convolution_are_those_of_its_channels() -> None:
    data = data_of(4, 5, 5, targets=False)
    norm = collect(graph_of(nn.ConvTranspose2d(4, 6, 2, groups=2), 4, 5, 5), data, {"input_norm"})["weight"].input_norm
    by_channel = data.batch(slice(None)).transpose(0, 1).flatten(1).norm(dim=1)  # every weight meets every position
    assert norm is not None
    assert norm.shape == (6, 2, 2, 2)
    torch.testing.assert_close(norm[:, :, 0, 1], by_channel.reshape(2, 2).repeat_interleave(3, 0))


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5)], ids=str)
def test_input_norms_of_a_linear_layer_run_over_all_other_axes(shape: tuple[int, ...]) -> None:
    data = data_of(*shape, targets=False)
    norm = collect(graph_of(nn.Linear(5, 2), *shape), data, {"input_norm"}, batch_size=4)["weight"].known("input_norm")
    torch.testing.assert_close(norm, data.batch(slice(None)).reshape(-1, 5).norm(dim=0)[None])


class TwoWays(nn.Module):
    """One weight used as it is, and turned round."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.rand(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.w), self.w.t())


def test_input_norms_of_a_weight_used_both_ways_count_what_each_weight_meets() -> None:
    module, data = TwoWays(), data_of(5, targets=False)
    norm = collect(graph_of(module, 5), data, {"input_norm"})["w"].known("input_norm")
    x = data.batch(slice(None))
    forth, back = x.square().sum(0), F.linear(x, module.w.detach()).square().sum(0)
    torch.testing.assert_close(norm, (back[:, None] + forth).sqrt())


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
    found = collect(graph_of(module, 3), data, {"gradient"}, batch_size=4)["0"].gradient
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
    found = collect(graph_of(module, 7, 5), data, {"activation_zeros"})["0"].activation_zeros
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
    norm = collect(graph_of(nn.Linear(2, 2), 2), data, {"input_norm"})["weight"].known("input_norm")
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
        torch.testing.assert_close(getattr(alone[layer], name), getattr(collected[layer], name))


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
    batch = EvalData.batch
    monkeypatch.setattr(EvalData, "batch", lambda self, part: asked.append(part) or batch(self, part))
    collect(cnn[1], data_of(4, 6, 6), STATISTICS, batch_size=5)
    assert asked == [slice(0, 5), slice(5, 10), slice(10, 15)]


def test_the_model_is_as_it_was() -> None:
    module = small_cnn()
    module[0].weight.requires_grad_(False)
    graph = graph_of(module, 4, 6, 6)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [parameter.requires_grad for parameter in module.parameters()]
    collect(graph, data_of(4, 6, 6), STATISTICS)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [parameter.requires_grad for parameter in module.parameters()] == flags
    assert all(parameter.grad is None for parameter in [*module.parameters(), *graph.module.parameters()])
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", ["resnet_fashion", "vit_fashion"])
def test_every_criterion_scores_every_layer_of_a_sample(name: str) -> None:
    graph = graph_of(sample_models.build(name), 1, 28, 28)
    found = collect(graph, data_of(1, 28, 28, n=4), STATISTICS)
    for layer in graph.layers:
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
        collect(graph_of(nn.Linear(5, 2), 5), data_of(5), ["gradient"])
    with pytest.raises(DataError, match=r"^data 'toy' meets outputs of shape \(7, 3\); gradients need class scores"):
        collect(graph_of(nn.Linear(5, 3), 7, 5), data_of(7, 5), ["gradient"])
    with pytest.raises(DataError, match=r"^data 'toy' has examples of shape \(4, 6, 5\); the model takes \(4, 6, 6\)$"):
        collect(graph, data_of(4, 6, 5), ["input_norm"])
    with pytest.raises(UnknownName, match=r"^unknown statistic 'input_nrm'; did you mean 'input_norm'\?$"):
        collect(graph, data, ["input_nrm"])
    with pytest.raises(UnknownName, match=r"^the model has no prunable layer '1'"):
        collect(graph, data, ["input_norm"], layers=["1"])


def test_it_can_be_stopped_between_batches(cnn: tuple[nn.Module, ModelGraph]) -> None:
    answers = iter([False, False, True])
    with pytest.raises(Cancelled, match=r"^stopped after 10 of 13 calibration examples$"):
        collect(cnn[1], data_of(4, 6, 6), ["input_norm"], batch_size=5, cancelled=lambda: next(answers))
