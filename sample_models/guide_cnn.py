"""The CNN of the common practical pruning guides: two convolutions, each with pooling, and a wide hidden layer.

Zhu and Gupta 2017, "To prune, or not to prune" (arXiv:1710.01878); the network is the one of the MNIST example of the
TensorFlow pruning guide. 98 % of its weights sit in `fc1`, which is what makes global pruning look so generous on it.
"""

import torch
from torch import Tensor, nn


class GuideCNN(nn.Module):
    """Images (batch, 1, 28, 28) -> logits (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=5, padding=2)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=5, padding=2)
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(64 * 7 * 7, 1024)
        self.fc2 = nn.Linear(1024, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool1(torch.relu(self.conv1(images)))  # (batch, 32, 14, 14)
        x = self.pool2(torch.relu(self.conv2(x)))  # (batch, 64, 7, 7)
        x = torch.relu(self.fc1(x.flatten(1)))  # (batch, 1024)
        logits: Tensor = self.fc2(x)  # (batch, 10)
        return logits


def guide_cnn() -> nn.Module:
    """A fresh guide CNN with random weights."""
    return GuideCNN()
