"""Inputs of every type that a model reads: narrow whole numbers, halves and doubles, flags."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruning_core.data import EvalData, Preprocessing, check_fits
from pruning_core.errors import DataError
from pruning_core.evaluate import predict
from pruning_core.loaders.arrays import from_arrays
from pruning_core.loaders.generated import load_generated
from pruning_core.loaders.preparing import fitted
from pruning_core.model import Model


class Reader(nn.Module):
    """Looks up its first input, weighs by its second."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(7, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        return self.out((self.words(x) * seen[..., None]).sum(1))


@pytest.fixture(scope="module")
def masked() -> Model:
    torch.manual_seed(0)
    return Model("masked", Reader(), (torch.zeros(2, 5, dtype=torch.int32), torch.ones(2, 5, dtype=torch.bool)))


WORDS = np.arange(20).reshape(4, 5) % 7


@pytest.mark.parametrize("kind", ["bool", "int64", "uint8"])
def test_whole_numbers_and_flags_come_as_the_model_reads_them(masked: Model, kind: str) -> None:
    seen = (WORDS > 2).astype(kind)
    data = fitted(from_arrays("text", {"x0": WORDS, "x1": seen}), {}, None, masked).validation
    check_fits(data, masked.graph)
    words, flags = data.prepared(slice(None))
    assert (words.dtype, flags.dtype) == (torch.int32, torch.bool)
    assert np.array_equal(flags.numpy(), WORDS > 2)
    with torch.inference_mode():
        expected = masked.module(torch.from_numpy(WORDS).int(), torch.from_numpy(WORDS > 2))
    assert torch.equal(predict(masked.module, data), expected)


def test_generated_flags_hide_nothing(masked: Model) -> None:
    data = fitted(load_generated("generated:6", masked), {}, None, masked).validation
    check_fits(data, masked.graph)
    assert bool(data.prepared(slice(None))[1].all())


def test_each_input_has_its_own_vocabulary() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.kinds, self.out = nn.Embedding(9, 4), nn.Embedding(2, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor, kind: Tensor) -> Tensor:
            return self.out((self.words(x) + self.kinds(kind)).mean(1))

    model = Model("two", Two(), (torch.zeros(2, 5, dtype=torch.long), torch.zeros(2, 5, dtype=torch.long)))
    words, kinds = np.full((3, 5), 8), np.ones((3, 5), int)
    check_fits(EvalData("text", "all", words, None, tokens=True, more=(kinds,)), model.graph)
    with pytest.raises(DataError, match="token 2 as input 1 is outside 0 to 1"):
        check_fits(EvalData("text", "all", words, None, tokens=True, more=(kinds + 1,)), model.graph)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_floats_come_in_the_precision_of_the_model(kind: torch.dtype) -> None:
    model = Model("exact", nn.Linear(3, 2).to(kind), (torch.zeros(2, 3, dtype=kind),))
    data = fitted(from_arrays("x", {"x": np.eye(3)}), {"scale": "2"}, None, model).validation
    check_fits(data, model.graph)
    (x,) = data.prepared(slice(None))
    assert x.dtype == kind
    assert x.tolist() == (2 * np.eye(3)).tolist()


def test_twins_are_prepared_alike_and_other_inputs_are_not() -> None:
    x, numbers = np.full((2, 1, 2, 2), 255, np.uint8), np.full((2, 3), 5.0)
    data = EvalData("twins", "all", x, None, Preprocessing(1 / 255), more=(x, numbers), types=(torch.float32,) * 3)
    assert [float(value.max()) for value in data.prepared(slice(None))] == [1.0, 1.0, 5.0]
