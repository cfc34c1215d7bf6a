"""The two small image sets that come with the package, and the full training sets they were cut from.

An array set is a dict of uint8 arrays: `x_train`, `x_test` (n, 28, 28) and `y_train`, `y_test` (n,).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

DATA_DIR = Path(__file__).parent / "data"
ARRAY_KEYS = ("x_train", "y_train", "x_test", "y_test")

ArraySet = dict[str, np.ndarray]


@dataclass(frozen=True)
class SampleData:
    """A data set and what must be known to feed it: inputs are `(x / 255 - mean) / std`, float, (n, 1, 28, 28)."""

    name: str
    title: str
    mean: float
    std: float
    class_names: tuple[str, ...]
    credit: str
    licence: str
    torchvision_name: str  # class in torchvision.datasets that downloads the full set
    n_validation: int = 2000  # the last training images of the shipped file; no sample was trained on them

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images (n, 28, 28) -> float model inputs (n, 1, 28, 28)."""
        return ((images.float() / 255 - self.mean) / self.std).unsqueeze(1)


MNIST = SampleData(
    name="mnist",
    title="MNIST",
    mean=0.1307,
    std=0.3081,
    class_names=tuple("0123456789"),
    credit="Yann LeCun, Corinna Cortes and Christopher J. C. Burges",
    licence="CC BY-SA 3.0",
    torchvision_name="MNIST",
)
FASHION_MNIST = SampleData(
    name="fashion_mnist",
    title="Fashion-MNIST",
    mean=0.2860,
    std=0.3530,
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    credit="Han Xiao, Kashif Rasul and Roland Vollgraf, Zalando Research",
    licence="MIT",
    torchvision_name="FashionMNIST",
)

DATASETS: dict[str, SampleData] = {data.name: data for data in (MNIST, FASHION_MNIST)}


def load_arrays(name: str) -> ArraySet:
    """The shipped arrays: 10,000 training images (the last `n_validation` are for choosing) and 10,000 test images."""
    if name not in DATASETS:
        raise KeyError(f"no sample data set named {name!r}; there are {', '.join(DATASETS)}")
    return read_arrays(DATA_DIR / f"{name}.npz")


def read_arrays(path: Path) -> ArraySet:
    """The four arrays of an .npz file."""
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in ARRAY_KEYS}


def download_arrays(data: SampleData, folder: Path) -> ArraySet:
    """The full set, 60,000 + 10,000 images, through torchvision, which keeps its files in `folder`."""
    from torchvision import datasets as torchvision_datasets  # only this function needs it

    source = getattr(torchvision_datasets, data.torchvision_name)
    arrays: ArraySet = {}
    for part, is_train in (("train", True), ("test", False)):
        images = source(root=str(folder), train=is_train, download=True)
        arrays[f"x_{part}"] = images.data.numpy().astype(np.uint8)
        arrays[f"y_{part}"] = images.targets.numpy().astype(np.uint8)
    return arrays


def n_held_out(n_train: int) -> int:
    """How many of the last training images training leaves out: a fifth, at most 5,000 (so 5,000 of 60,000)."""
    return min(5000, n_train // 5)
