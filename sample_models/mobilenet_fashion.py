"""A small MobileNet for Fashion-MNIST: inverted residuals with depthwise convolutions and squeeze-and-excite.

Howard et al. 2019, "Searching for MobileNetV3" (arXiv:1905.02244); inverted residuals: Sandler et al. 2018
(arXiv:1801.04381); squeeze-and-excite: Hu et al. 2017 (arXiv:1709.01507).
"""

import torch
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channel means: (batch, c, h, w) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, channels // 4, kernel_size=1)
        self.expand = nn.Conv2d(channels // 4, channels, kernel_size=1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        squeezed = torch.relu(self.reduce(self.pool(x)))  # (batch, c / 4, 1, 1)
        gates: Tensor = self.gate(self.expand(squeezed))  # (batch, c, 1, 1), each in [0, 1]
        return x * gates


class InvertedResidual(nn.Module):
    """Widen, filter each channel alone, gate, narrow: (batch, in, h, w) -> (batch, out, h / stride, w / stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = nn.Conv2d(in_channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.squeeze = SqueezeExcite(width)
        self.project = nn.Conv2d(width, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.activation = nn.Hardswish()
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        wide = self.activation(self.bn1(self.expand(x)))
        wide = self.activation(self.bn2(self.depthwise(wide)))
        narrow: Tensor = self.bn3(self.project(self.squeeze(wide)))
        return x + narrow if self.is_residual else narrow


class MobileNetFashion(nn.Module):
    """Images (batch, 1, 28, 28) -> logits (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 24, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.activation = nn.Hardswish()
        self.layers = nn.Sequential(
            InvertedResidual(24, 24, stride=1, expansion=2),
            InvertedResidual(24, 48, stride=2, expansion=3),
            InvertedResidual(48, 48, stride=1, expansion=4),
            InvertedResidual(48, 48, stride=1, expansion=4),
        )
        self.conv2 = nn.Conv2d(48, 192, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(192)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(192, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.activation(self.bn1(self.conv1(images)))  # (batch, 24, 14, 14)
        x = self.layers(x)  # (batch, 48, 7, 7)
        x = self.activation(self.bn2(self.conv2(x)))  # (batch, 192, 7, 7)
        logits: Tensor = self.fc(self.pool(x).flatten(1))  # (batch, 10)
        return logits


def mobilenet_fashion() -> nn.Module:
    """A fresh small MobileNet with random weights."""
    return MobileNetFashion()
