"""What is swept: the five trained samples, and the three larger networks.

A larger network that nobody trained here (`python -m tests.benchmarks.train`) has random weights, and its labels are
its own answers: times and equality of answers hold, its curves say nothing of trained networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

import pruning_core as pc
from pruning_core.data import EvalData, Preprocessing
from pruning_core.layers import Layer
from pruning_core.model import Model
from sample_models.registry import load_weights
from tests.benchmarks.architectures import LARGER, Enlarged, enlarged
from tests.benchmarks.common import available
from tests.benchmarks.train import FOLDER


@dataclass(frozen=True)
class Subject:
    """A model with its examples, and the layers to sweep."""

    model: Model
    data: EvalData
    layers: tuple[Layer, ...]
    weights: str  # in words

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the layers to sweep."""
        return tuple(layer.name for layer in self.layers)


def names() -> list[str]:
    """Return the samples whose weights are here, and the larger networks."""
    return [*available(), *LARGER]


def subject(name: str, n: int, n_layers: int | None = None) -> Subject:
    """Return a model with `n` validation examples and `n_layers` of its layers; 0 for all, None as by default."""
    if name in LARGER:
        model, data, weights = _larger(name, n)
        n_layers = LARGER[name].n_layers if n_layers is None else n_layers
    else:
        model, weights = pc.load_model(name), "trained"
        data = pc.load_data(str(model.data_name)).validation.take(n)
    layers = model.graph.layers
    return Subject(model, data, spread(layers, n_layers or len(layers)), weights)


def spread(layers: Sequence[Layer], n: int) -> tuple[Layer, ...]:
    """Return the middles of `n` equal stretches, so that what runs behind them is as long as on average."""
    n = min(n, len(layers))
    return tuple(layers[int((i + 0.5) * len(layers) / n)] for i in range(n))


def _larger(name: str, n: int) -> tuple[Model, EvalData, str]:
    about, path = LARGER[name], FOLDER / f"{name}.safetensors"
    module, trained = about.random(), path.exists()
    if trained:
        load_weights(module, path)
    data = _data(about.side, n)
    model = Model(name, module, (data.batch(slice(2)),))
    if not trained:
        data = replace(data, targets=_answers(model, data).numpy())
    return model, data, "trained for a few epochs" if trained else "random; its own answers are the labels"


def _data(side: int, n: int) -> EvalData:
    data, scale = pc.load_data("fashion_mnist").validation.take(n), Enlarged(side)
    grey = torch.from_numpy(data.inputs).reshape(len(data), *data.inputs.shape[-2:])
    preprocessing = Preprocessing(1 / 255, (scale.mean,), (scale.std,))
    return replace(data, inputs=enlarged(grey, side).contiguous().numpy(), preprocessing=preprocessing)


@torch.inference_mode()
def _answers(model: Model, data: EvalData) -> torch.Tensor:
    return torch.cat([model.module(*inputs).argmax(1) for inputs, _ in data.batches(64)])
