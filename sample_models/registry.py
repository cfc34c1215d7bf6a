"""The samples by name: how to build one, where its weights lie, what accuracy was measured on it."""

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from safetensors.torch import load_file
from torch import nn

PACKAGE_DIR = Path(__file__).parent
WEIGHTS_DIR = PACKAGE_DIR / "weights"
RECORDS_PATH = PACKAGE_DIR / "records.json"


class Record(TypedDict):
    """What a training run writes about the weight file it made."""

    validation_accuracy: float  # fraction of the held-out training images, with the weights as stored
    test_accuracy: float  # fraction of the 10,000 test images, with the weights as stored
    sha256: str  # of the weight file
    params: int
    epochs: int
    seed: int
    torch_version: str
    seconds: int  # training time


@dataclass(frozen=True)
class Sample:
    """A small trained network; the figures come from `records.json`, which training writes."""

    name: str
    title: str
    build: Callable[[], nn.Module]  # random weights
    dataset: str  # name in `datasets.DATASETS`
    source: str  # paper
    licence: str
    description: str  # one sentence

    @property
    def source_path(self) -> Path:
        """The one file that defines the network; it imports only torch."""
        return PACKAGE_DIR / f"{self.name}.py"

    @property
    def weights_path(self) -> Path:
        """safetensors, fp16."""
        return WEIGHTS_DIR / f"{self.name}.safetensors"

    @property
    def record(self) -> Record:
        """The training record; KeyError before the first training run."""
        return read_records(RECORDS_PATH)[self.name]

    @property
    def test_accuracy(self) -> float:
        """Fraction of the 10,000 test images classified correctly, with the weights as stored."""
        return self.record["test_accuracy"]

    @property
    def sha256(self) -> str:
        """Hash of the weight file."""
        return self.record["sha256"]

    @property
    def params(self) -> int:
        """Number of trained values."""
        return self.record["params"]


def read_records(path: Path) -> dict[str, Record]:
    """Training records by sample name; none where nothing was trained yet."""
    records: dict[str, Record] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return records


def sample(name: str, title: str, dataset: str, source: str, description: str) -> Sample:
    """A sample whose builder has the same name as its file."""
    module = importlib.import_module(f"sample_models.{name}")
    return Sample(name, title, getattr(module, name), dataset, source, "MIT", description)


SAMPLES: dict[str, Sample] = {
    entry.name: entry
    for entry in (
        sample(
            "lenet_300_100",
            "LeNet-300-100",
            "mnist",
            "LeCun et al. 1998; Han et al. 2015, arXiv:1506.02626",
            "Three fully connected layers on digits: the first example of nearly every pruning paper.",
        ),
        sample(
            "guide_cnn",
            "CNN of the pruning guides",
            "mnist",
            "Zhu and Gupta 2017, arXiv:1710.01878",
            "Two convolutions and a wide hidden layer that holds 98 % of the weights.",
        ),
        sample(
            "resnet_fashion",
            "ResNet, 16-32-64 channels",
            "fashion_mnist",
            "He et al. 2015, arXiv:1512.03385",
            "Residual blocks with batch norm: channels that are added together must be pruned together.",
        ),
        sample(
            "mobilenet_fashion",
            "MobileNet with squeeze-and-excite",
            "fashion_mnist",
            "Howard et al. 2019, arXiv:1905.02244",
            "Inverted residuals whose depthwise layers are small and far more sensitive than the others.",
        ),
        sample(
            "vit_fashion",
            "Vision transformer, 4 blocks",
            "fashion_mnist",
            "Dosovitskiy et al. 2020, arXiv:2010.11929",
            "Patches, packed attention and layer norm: heads and hidden units can be pruned, tokens cannot.",
        ),
    )
}


def find(name: str) -> Sample:
    """The sample called `name`."""
    if name not in SAMPLES:
        raise KeyError(f"no sample model named {name!r}; there are {', '.join(SAMPLES)}")
    return SAMPLES[name]


def build(name: str) -> nn.Module:
    """A sample with random weights."""
    return find(name).build()


def load(name: str) -> nn.Module:
    """A trained sample in eval mode; weights are fp32, read from the fp16 file."""
    return load_weights(build(name), find(name).weights_path)


def load_weights(model: nn.Module, path: Path) -> nn.Module:
    """Fill `model` from a file that must hold exactly its tensors, and put it in eval mode."""
    stored = {key: as_float32(tensor) for key, tensor in load_file(path).items()}
    model.load_state_dict(stored, strict=True)
    return model.eval()


def as_float32(tensor: torch.Tensor) -> torch.Tensor:
    """fp16 to fp32; counters stay integers."""
    return tensor.float() if tensor.is_floating_point() else tensor
