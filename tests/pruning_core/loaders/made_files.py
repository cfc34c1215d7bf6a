"""Small model files of every kind, and factories, for tests of loaders; imported by its path as a module too."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import pruning_core as pc


class Net(nn.Module):
    """A convolution, a batch norm and a linear layer, for pictures (1, 4, 4); two classes."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.bn(self.conv(x))).flatten(1))


def net(seed: int = 1) -> nn.Module:
    """A net whose every tensor differs from that of another seed."""
    torch.manual_seed(seed)
    module = Net().eval()
    for tensor in module.state_dict().values():
        tensor.add_(torch.rand(tensor.shape).to(tensor.dtype) + seed)
    return module


PICTURES = torch.zeros(2, 1, 4, 4)
instance = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def pair() -> tuple[nn.Module, Tensor]:
    """A module with its example inputs."""
    return Net(), PICTURES


def whole() -> pc.Model:
    """A whole model."""
    return pc.Model("mine", Net(), (PICTURES,))


def number() -> int:
    """No model."""
    return 5


def arrays() -> tuple[Any, Any]:
    """Two examples with their classes."""
    return torch.zeros(2, 4).numpy(), torch.arange(2).numpy()


def failing() -> nn.Module:
    """Raises."""
    raise ValueError("no luck\nat all")


def half() -> tuple[nn.Module, Tensor]:
    """A net with one layer less."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 2)), PICTURES


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def hostile_files(folder: Path, marker: Path) -> dict[str, Path]:
    """Files that would make the folder `marker` when they are opened without care, by kind."""
    evil = {"weight": torch.zeros(2), "more": Hostile(marker)}
    torch.save(evil, folder / "archive.pt")
    torch.save(evil, folder / "stream.pth", _use_new_zipfile_serialization=False)
    (folder / "bare.bin").write_bytes(pickle.dumps(evil))
    (folder / "named.safetensors").write_bytes(pickle.dumps(evil))
    torch.save({"state_dict": {"weight": Hostile(marker)}}, folder / "inside.ckpt")
    with zipfile.ZipFile(folder / "program.pt2", "w") as archive:
        archive.writestr("program/archive_format", "pt2")
        archive.write(folder / "archive.pt", "program/data/sample_inputs/model.pt")
        archive.writestr("program/models/model.json", "{}")
    with zipfile.ZipFile(folder / "program_as.pt", "w") as archive:
        archive.writestr("program/models/model.json", "{}")
        archive.writestr("program/data.pkl", pickle.dumps(evil))
    return {path.name: path for path in folder.iterdir() if path.is_file()}
