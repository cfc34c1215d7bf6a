"""What may be skipped: residual branches, and layers that pass on their input with other weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import pruning_core as pc
from pruning_core.coupling.skippable import Skippable
from pruning_core.errors import PruningError
from tests.pruning_core.coupling.nets import Net
from tests.zoo import shaken

IMAGE = (4, 6, 6)


def model_of(net: nn.Module, *shape: int) -> pc.Model:
    return pc.Model("net", shaken(net), (torch.randn(2, *shape),))


def without(model: pc.Model, *names: str) -> nn.Module:
    """Return the masked copy of a model that skips some layers."""
    wish = {"sparsity": 1.0, "granularity": "layer"}
    return pc.apply(pc.plan_for(model).with_layers(dict.fromkeys(names, wish)), model)


def parts(model: pc.Model) -> list[tuple[str, ...]]:
    return [found.layers for found in model.rows.skippable]


def transformers_layer(width: int) -> nn.Module:
    from transformers.pytorch_utils import Conv1D

    layer: nn.Module = Conv1D(width, width)
    return layer


PASSING_ON: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv1d": (nn.Conv1d(4, 4, 3, padding=1), (4, 9)),
    "conv2d": (nn.Conv2d(4, 4, (3, 5), padding=(1, 2)), IMAGE),
    "conv3d": (nn.Conv3d(4, 4, 3, padding=1), (4, 3, 4, 5)),
    "same padding, even kernel": (nn.Conv2d(4, 4, 2, padding="same"), IMAGE),
    "dilated": (nn.Conv2d(4, 4, 3, padding=2, dilation=2), IMAGE),
    "depthwise": (nn.Conv2d(4, 4, 3, padding=1, groups=4), IMAGE),
    "grouped": (nn.Conv2d(4, 4, 3, padding=1, groups=2), IMAGE),
    "transposed": (nn.ConvTranspose2d(4, 4, 3, padding=1), IMAGE),
    "transposed, grouped": (nn.ConvTranspose2d(4, 4, 3, padding=1, groups=2), IMAGE),
    "linear": (nn.Linear(5, 5), (3, 5)),
    "transformers' Conv1D": (transformers_layer(5), (3, 5)),
    "batch norm": (nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)), IMAGE),
    "batch norm, no bias": (nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)), IMAGE),
    "plain batch norm": (nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False)), IMAGE),
    "batch norm of rows": (nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5)), (5,)),
    "double precision": (nn.Linear(5, 5).double(), (5,)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize(("net", "shape"), PASSING_ON.values(), ids=list(PASSING_ON))
def test_a_layer_that_is_skipped_passes_on_its_input(net: nn.Module, shape: tuple[int, ...]) -> None:
    dtype = next(net.parameters()).dtype
    model = pc.Model("net", shaken(net), (torch.randn(2, *shape, dtype=dtype),))
    (found,) = model.rows.skippable
    x = torch.randn(3, *shape, dtype=dtype)
    with torch.inference_mode():
        assert torch.allclose(without(model, *found.layers)(x), x, atol=1e-5)
        assert not torch.allclose(model.module(x), x, atol=1e-2)


@pytest.mark.parametrize(
    ("net", "name", "why"),
    [
        (nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)), "0", r"its input \(3, 5\) and output \(3, 4\) differ"),
        (Net(lambda m, x: m.a(m.a(x)), a=nn.Linear(5, 5)), "a", "it is used 2 times"),
        (Net(lambda m, x: m.a(x) * m.a.weight.mean(), a=nn.Linear(5, 5)), "a", "are read by other operators too"),
        (Net(lambda m, x: m.a(x).flip(1).flip(1) + x.mean(), a=nn.Linear(5, 6)), "a", "differ in shape"),
    ],
)
def test_layers_that_cannot_be_skipped_say_why(net: nn.Module, name: str, why: str) -> None:
    with pytest.raises(PruningError, match=f"{name}: it is in no residual branch that could be skipped, and .*{why}"):
        without(model_of(net, 3, 5), name)


def test_an_embedding_has_no_input_of_its_kind() -> None:
    net = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 3))
    model = pc.Model("net", shaken(net), (torch.zeros(2, 5, dtype=torch.int64),))
    with pytest.raises(PruningError, match="its input is no value of its kind"):
        without(model, "0")


def test_a_stride_that_keeps_the_shape_is_found_out_by_running() -> None:
    net = Net(lambda m, x: m.b(m.a(x)), a=nn.Conv1d(2, 2, 2, stride=2, padding=3), b=nn.Conv1d(2, 3, 1))
    with pytest.raises(PruningError, match="no weights make it pass on what it is given"):
        without(model_of(net, 2, 5), "a")  # (5 + 2 * 3 - 2) // 2 + 1 = 5


def test_a_batch_norm_that_ignores_a_channel_cannot_pass_it_on() -> None:
    conv, norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
    model = model_of(nn.Sequential(conv, norm), *IMAGE)
    norm.weight.data[2] = 0
    with pytest.raises(PruningError, match="its batch norm has a channel with a factor of 0"):
        without(model, "0")


def test_a_batch_norm_without_shift_cannot_undo_its_mean() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False))
    with pytest.raises(PruningError, match="its batch norm has no shift that could undo its mean"):
        without(model_of(net, *IMAGE), "0")


def residual(m: Net, x: Tensor) -> Tensor:
    x = m.a(x)
    x = x + m.norm(m.c(torch.relu(m.b(x))))
    result: Tensor = m.d(x)
    return result


def residual_net() -> Net:
    return Net(
        residual,
        a=nn.Conv2d(4, 6, 1),
        b=nn.Conv2d(6, 5, 3, padding=1),
        c=nn.Conv2d(5, 6, 1, bias=False),
        norm=nn.BatchNorm2d(6),
        d=nn.Conv2d(6, 3, 1),
    )


def test_a_residual_branch_takes_the_parameters_that_only_it_reads() -> None:
    model = model_of(residual_net(), *IMAGE)
    assert parts(model) == [("b", "c")]
    masks, values = model.rows.skippable[0].change()
    assert set(masks) == {"b", "c", "b.bias", "norm.weight", "norm.bias"}
    assert not any(mask.any() for mask in masks.values())
    assert values == {}
    x = torch.randn(3, *IMAGE)
    with torch.inference_mode():
        assert torch.equal(without(model, "b")(x), model.module.d(model.module.a(x)))  # type: ignore[operator]


def test_a_shortcut_that_is_repeated_is_none() -> None:
    net = Net(
        lambda m, x: m.b(x.mean(1, keepdim=True) + m.a(x.mean(1, keepdim=True))),
        a=nn.Conv2d(1, 4, 1),
        b=nn.Conv2d(4, 3, 1),
    )
    assert parts(model_of(net, *IMAGE)) == []


def test_a_projection_is_the_shortcut_of_the_longer_side() -> None:
    def forward(m: Net, x: Tensor) -> Tensor:
        x = torch.relu(m.a(x))
        result: Tensor = m.e(torch.relu(m.short(x) + m.c(torch.relu(m.b(x)))))
        return result

    layers = {"a": (4, 6), "short": (6, 8), "b": (6, 5), "c": (5, 8), "e": (8, 3)}
    model = model_of(Net(forward, **{name: nn.Conv2d(*sizes, 1) for name, sizes in layers.items()}), *IMAGE)
    assert parts(model) == [("b", "c")]
    x, net = torch.randn(3, *IMAGE), model.module
    with torch.inference_mode():
        without_it = net.e(torch.relu(net.short(torch.relu(net.a(x)))))  # type: ignore[operator]
        assert torch.equal(without(model, "c")(x), without_it)


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        (lambda m, x: m.c(m.a(x) + m.b(x)), "two sides alike"),
        (lambda m, x: m.c(x + (h := m.b(m.a(x)))) + h.mean(), "its result is read elsewhere"),
        (lambda m, x: m.c(x + m.b(h := m.a(x))) + h.mean(), "what is inside is read elsewhere"),
        (lambda m, x: m.c(x + torch.softmax(m.b(m.a(x)), -1)), "zeros are not zero behind a softmax"),
    ],
)
def test_what_is_no_branch(forward: Callable[..., Tensor], why: str) -> None:
    model = model_of(Net(forward, a=nn.Linear(5, 5), b=nn.Linear(5, 5), c=nn.Linear(5, 3)), 5)
    assert not [found.layers for found in model.rows.skippable if found.result.startswith("add")], why


def test_tables_of_tokens_and_places_are_no_branch_of_one_another() -> None:
    def forward(m: Net, x: Tensor) -> Tensor:
        result: Tensor = m.c(m.words(x) + m.places(torch.arange(x.shape[1])))
        return result

    net = Net(forward, words=nn.Embedding(7, 4), places=nn.Embedding(9, 4), c=nn.Linear(4, 3))
    model = pc.Model("net", shaken(net), (torch.zeros(2, 5, dtype=torch.int64),))
    assert parts(model) == []


def test_layers_of_a_residual_branch_are_not_skipped_alone() -> None:
    net = Net(lambda m, x: m.c(x + m.b(torch.relu(m.a(x)))), a=nn.Linear(5, 5), b=nn.Linear(5, 5), c=nn.Linear(5, 5))
    assert parts(model_of(net, 5)) == [("a", "b"), ("c",)]


def test_new_values_of_a_criterion_do_not_disturb_what_is_skipped() -> None:
    net = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    model = model_of(net, 5)
    calibration = pc.EvalData("data", "train", torch.randn(32, 5).numpy(), None)
    plan = pc.plan_for(model).with_layers(
        {
            "0": {"sparsity": 0.5, "granularity": "output_channel", "criterion": "noiseout"},
            "2": {"sparsity": 1.0, "granularity": "layer"},
        }
    )
    masked = pc.apply(plan, model, calibration)
    kept = masked[0].weight.any(1)  # type: ignore[index]
    assert 0 < int(kept.sum()) < 6
    assert torch.equal(masked[2].weight, torch.diag(kept.float()))  # type: ignore[index]


def test_what_is_skipped_is_named_by_nodes_of_the_graph() -> None:
    found = model_of(residual_net(), *IMAGE).rows.skippable[0]
    assert isinstance(found, Skippable)
    assert (found.source, found.result) == ("conv2d", "add")
