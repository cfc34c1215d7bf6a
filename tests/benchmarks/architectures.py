"""Three networks larger than the samples, on clothes enlarged to their images; they are not shipped with weights.

`python -m tests.benchmarks.train` trains them for a few epochs; untrained ones have random weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sample_models.datasets import FASHION_MNIST, SampleData
from sample_models.recipes import Recipe
from sample_models.resnet_fashion import ResidualBlock
from sample_models.vit_fashion import EncoderBlock


class ResNet20(nn.Module):
    """He et al. 2015 (arXiv:1512.03385), section 4.2: images (batch, 3, 32, 32) -> logits (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(16)
        channels = [(16, 16), (16, 16), (16, 16), (16, 32), (32, 32), (32, 32), (32, 64), (64, 64), (64, 64)]
        self.layers = nn.Sequential(*(ResidualBlock(i, o, stride=1 if i == o else 2) for i, o in channels))
        self.fc = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        x = self.layers(torch.relu(self.bn1(self.conv1(images))))  # (batch, 64, 8, 8)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class ViTTiny(nn.Module):
    """Six blocks of width 192 with 3 heads on 64 tokens: images (batch, 3, 32, 32) -> logits (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 192, kernel_size=4, stride=4)
        self.positions = nn.Parameter(torch.randn(1, 64, 192) * 0.02)
        self.layers = nn.Sequential(*(EncoderBlock(192, 3, hidden=768) for _ in range(6)))
        self.norm, self.fc = nn.LayerNorm(192), nn.Linear(192, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        x = self.patches(images).flatten(2).transpose(1, 2) + self.positions  # (batch, 64, 192)
        logits: Tensor = self.fc(self.norm(self.layers(x)).mean(1))
        return logits


def _mobilenet_v2() -> nn.Module:
    from torchvision.models import mobilenet_v2

    module: nn.Module = mobilenet_v2(weights=None, num_classes=10)
    return module


@dataclass(frozen=True)
class Architecture:
    """How to build a network, the side of its images, how many of its layers are swept, and how it is trained."""

    build: Callable[[], nn.Module]
    side: int
    n_layers: int
    recipe: Recipe

    def random(self) -> nn.Module:
        """Return the network with random weights, always the same ones."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build().eval()


LARGER = {
    "resnet20": Architecture(
        ResNet20, 32, 4, Recipe(4, "sgd", peak_lr=0.15, weight_decay=5e-4, shift=1, with_flip=True, with_bf16=True)
    ),
    "mobilenet_v2_96": Architecture(
        _mobilenet_v2, 96, 4, Recipe(3, "adamw", peak_lr=3e-3, weight_decay=0.05, shift=1, with_flip=True)
    ),
    "vit_tiny": Architecture(
        ViTTiny, 32, 2, Recipe(4, "adamw", peak_lr=1e-3, weight_decay=0.05, shift=1, with_flip=True, with_bf16=True)
    ),
}


class Enlarged(SampleData):
    """Fashion-MNIST as images (n, 3, side, side) with three equal channels."""

    def __init__(self, side: int) -> None:
        super().__init__(**vars(FASHION_MNIST))
        object.__setattr__(self, "side", side)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images (n, 28, 28) -> float model inputs (n, 3, side, side)."""
        return (enlarged(images, vars(self)["side"]).float() / 255 - self.mean) / self.std


def enlarged(images: Tensor, side: int) -> Tensor:
    """uint8 images (n, 28, 28) -> uint8 (n, 3, side, side)."""
    grey = nn.functional.interpolate(
        images[:, None].float(), size=(side, side), mode="bilinear", align_corners=False
    )  # (n, 1, side, side)
    return grey.round().to(torch.uint8).expand(-1, 3, -1, -1)
