"""LeNet-300-100: two hidden fully connected layers on 28 x 28 digits.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition". Han et al. 2015
(arXiv:1506.02626) made it the first example of nearly every pruning paper.
"""

import torch
from torch import Tensor, nn


class LeNet300100(nn.Module):
    """Images (batch, 1, 28, 28) -> logits (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(28 * 28, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1)  # (batch, 784)
        x = torch.relu(self.fc1(x))  # (batch, 300)
        x = torch.relu(self.fc2(x))  # (batch, 100)
        logits: Tensor = self.fc3(x)  # (batch, 10)
        return logits


def lenet_300_100() -> nn.Module:
    """A fresh LeNet-300-100 with random weights."""
    return LeNet300100()
