"""Small models to load data for."""

from functools import cache

import torch
from torch import Tensor, nn

from pruning_core.model import Model


@cache
def reader(*shape: int, outputs: int = 3) -> Model:
    """A model of examples of `shape` that answers with `outputs` numbers."""
    numbers = int(torch.tensor(shape).prod())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model("reader", nn.Sequential(nn.Flatten(), nn.Linear(numbers, outputs)), (torch.zeros(2, *shape),))


class Words(nn.Module):
    """Predicts the token after each one from this one alone."""

    def __init__(self, known: int) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(known, 4), nn.Linear(4, known)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.words(x))


@cache
def language_model(known: int = 256, length: int = 5) -> Model:
    """A language model of `known` tokens that reads `length` at a time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model("words", Words(known), (torch.zeros(2, length, dtype=torch.int64),))


class TwoInputs(nn.Module):
    """Reads tokens and numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.fc, self.out = nn.Embedding(7, 4), nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, input_ids: Tensor, features: Tensor) -> Tensor:
        return self.out(torch.relu(self.words(input_ids).mean(1) + self.fc(features)))


@cache
def two_inputs() -> Model:
    """A model of tokens (5,) and numbers (3,)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model("two", TwoInputs(), (torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, 3)))
