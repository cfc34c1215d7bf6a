"""Gradients of batches and of single examples equal autograd; ablations equal models with a channel cut out."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import Cancelled
from pruning_core.statistics import collect
from tests.pruning_core.toys import CLASSES, N, data_of, traced

DATA = data_of(2, 5, 5)
INPUTS, TARGETS = DATA.batch(slice(None)), DATA.labels()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    nn.init.normal_(norm.bias)
    parts = [nn.Conv2d(2, 4, 3, padding=1), norm, nn.ReLU(), nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), nn.Tanh()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, CLASSES)).eval()


def gradients(module: nn.Module, part: slice) -> dict[str, Tensor]:
    """Gradient of the mean loss over some examples, by the name of the layer, in canonical shape."""
    module.zero_grad()
    F.cross_entropy(module(INPUTS[part]), TARGETS[part]).backward()
    stored = {name: module.get_submodule(name).weight.grad.clone() for name in ("0", "3", "7")}
    return stored | {"3": stored["3"].reshape(2, 2, 3, 2, 2).transpose(1, 2).flatten(0, 1)}  # (out, in / groups, ...)


def test_the_magnitude_is_the_mean_over_batches() -> None:
    found = collect(traced(network(), 2, 5, 5), DATA, ["gradient_magnitude", "first_gradient"], batch_size=5)
    batches = [gradients(network(), part) for part in (slice(0, 5), slice(5, 10), slice(10, 13))]
    for name, stats in found.items():
        expected = torch.stack([batch[name].abs() for batch in batches]).mean(0)
        torch.testing.assert_close(stats.gradient_magnitude, expected)
        torch.testing.assert_close(stats.first_gradient, batches[0][name])


def test_squares_are_those_of_single_examples() -> None:
    found = collect(traced(network(), 2, 5, 5), DATA, ["gradient_square"], batch_size=5)
    examples = [gradients(network(), slice(i, i + 1)) for i in range(N)]
    assert list(found) == ["0", "3", "7"]
    for name, stats in found.items():
        expected = torch.stack([example[name].square() for example in examples]).mean(0)
        torch.testing.assert_close(stats.gradient_square, expected)


def test_squares_of_a_weight_used_twice_are_of_the_sum() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3, bias=False)).eval()
    module[2].weight = module[0].weight
    data, expected = data_of(3), torch.zeros(3, 3)
    for i in range(N):
        module.zero_grad()
        F.cross_entropy(module(data.batch(slice(i, i + 1))), data.labels(slice(i, i + 1))).backward()
        expected += module[0].weight.grad.square() / N
    torch.testing.assert_close(collect(traced(module, 3), data, ["gradient_square"])["0"].gradient_square, expected)


class TokensFirst(nn.Module):
    """Runs a linear layer on (tokens, batch, features), as attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 4), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x.transpose(0, 1)).tanh().mean(0))


@pytest.mark.parametrize("batch_size", [1, 5])
def test_examples_are_told_apart_wherever_their_axis_is(batch_size: int) -> None:
    torch.manual_seed(0)
    module, data = TokensFirst().eval(), data_of(7, 3)
    found = collect(traced(module, 7, 3), data, ["gradient_square", "activation_gradient"], batch_size=batch_size)
    squares, products = torch.zeros(4, 3), torch.zeros(4)
    for i in range(N):
        x = data.batch(slice(i, i + 1))
        hidden = module.inner(x.transpose(0, 1)).tanh()
        hidden.retain_grad()
        module.zero_grad()
        F.cross_entropy(module.outer(hidden.mean(0)), data.labels(slice(i, i + 1))).backward()
        squares += module.inner.weight.grad.square() / N
        products += (hidden.detach() * hidden.grad).mean((0, 1)).abs() / N
    torch.testing.assert_close(found["inner"].gradient_square, squares)
    torch.testing.assert_close(found["inner"].activation_gradient, products)


def test_activations_are_derived_after_norm_and_nonlinearity() -> None:
    module = network()
    found = collect(traced(module, 2, 5, 5), DATA, ["activation_gradient"], batch_size=4)
    for name, split in {"0": 3, "3": 5, "7": 8}.items():
        with torch.no_grad():
            hidden = module[:split](INPUTS)
        hidden.requires_grad_()
        F.cross_entropy(module[split:](hidden), TARGETS, reduction="sum").backward()
        products = (hidden.detach() * hidden.grad).reshape(N, hidden.shape[1], -1).mean(2)
        torch.testing.assert_close(found[name].activation_gradient, products.abs().mean(0))


def without(module: nn.Sequential, after: int, channel: int) -> Callable[[Tensor], Tensor]:
    """The module with one channel zeroed after its part `after`."""

    def run(x: Tensor) -> Tensor:
        hidden = module[: after + 1](x).clone()
        hidden[:, channel] = 0
        return module[after + 1 :](hidden)

    return run


def test_ablation_is_the_loss_of_the_model_without_the_channel() -> None:
    module = network()
    found = collect(traced(module, 2, 5, 5), DATA, ["ablation"], batch_size=5)
    with torch.no_grad():
        dense = F.cross_entropy(module(INPUTS), TARGETS)
        for name, (after, n_out) in {"0": (2, 4), "3": (4, 6), "7": (7, CLASSES)}.items():
            losses = [F.cross_entropy(without(module, after, i)(INPUTS), TARGETS) for i in range(n_out)]
            torch.testing.assert_close(found[name].ablation, torch.stack(losses) - dense, rtol=1e-4, atol=1e-6)
            assert found[name].known("ablation").abs().max() > 1e-3


class Branches(nn.Module):
    """A channel that two later parts read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch, self.head = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.stem(x).relu()
        return self.head(hidden + self.branch(hidden))


def test_ablation_reaches_every_reader() -> None:
    torch.manual_seed(0)
    module, data = Branches().eval(), data_of(3)
    found = collect(traced(module, 3), data, ["ablation"])["stem"].known("ablation")
    x, y = data.batch(slice(None)), data.labels()
    with torch.no_grad():
        dense = F.cross_entropy(module(x), y)
        for channel in range(4):
            hidden = module.stem(x).relu()
            hidden[:, channel] = 0
            loss = F.cross_entropy(module.head(hidden + module.branch(hidden)), y)
            torch.testing.assert_close(found[channel], loss - dense, rtol=1e-4, atol=1e-6)


def test_a_channel_that_is_zero_already_costs_nothing() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, CLASSES)).eval()
    module[0].weight.data[1], module[0].bias.data[1] = 0.0, -1.0
    assert collect(traced(module, 3), data_of(3), ["ablation"])["0"].known("ablation")[1] == 0


def test_what_does_not_reach_the_loss_has_no_gradient() -> None:
    class Unread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.unread = nn.Linear(3, CLASSES), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.read(x), self.unread(x)

    names = ["gradient", "gradient_square", "activation_gradient", "ablation"]
    found = collect(traced(Unread(), 3), data_of(3), names)["unread"]
    assert not any(found.known(name).any() for name in names)
    alone = collect(traced(Unread(), 3), data_of(3), names, layers=["unread"])["unread"]
    assert not any(alone.known(name).any() for name in names)


@pytest.mark.parametrize(("name", "answers", "done"), [("gradient_square", 3, 3), ("ablation", 4, 5)])
def test_slow_statistics_can_be_stopped_inside_a_batch(name: str, answers: int, done: int) -> None:
    told = iter([False] * answers + [True])
    with pytest.raises(Cancelled, match=rf"^stopped after {done} of 13 calibration examples$"):
        collect(traced(network(), 2, 5, 5), DATA, [name], batch_size=5, cancelled=lambda: next(told))
