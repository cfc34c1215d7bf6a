"""What the dense model answered on some examples, and the tally of other answers against it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.data import EvalData
from pruning_core.errors import DataError, ModelError
from pruning_core.positions import are_scores, by_example, check_targets, of_targets, relative_error
from pruning_core.sensitivity.order import answers_of, margins
from pruning_core.sensitivity.tally import Tally


@dataclass(frozen=True)
class Outcomes:
    """What a model answered to each example (batch,), beside the dense model; for token models shares of positions."""

    agreeing: Tensor
    kl: Tensor
    right: Tensor | None = None  # this and what follows need labels
    gained: Tensor | None = None
    lost: Tensor | None = None
    loss: Tensor | None = None
    rise: Tensor | None = None

    @property
    def change(self) -> Tensor:
        """Change of the accuracy (batch,), -1 to 1; agreement minus 1 without labels."""
        if self.gained is None or self.lost is None:
            return self.agreeing.double() - 1
        return self.gained.double() - self.lost.double()


class Answers:
    """The dense model's outputs with the targets or None; what they give is computed once.

    Outputs are (batch, classes) with targets (batch,), or (batch, positions, classes) with targets (batch, positions).
    With `stratum` (batch,) the tallies are also told apart by the stratum of each example.
    """

    def __init__(
        self, logits: Tensor, targets: Tensor | None, stratum: Tensor | None = None, n_strata: int = 1
    ) -> None:
        check_targets(logits, targets)
        self.logits, self.targets = logits.float(), targets
        self._classes = self.logits.argmax(-1)
        self._right = None if targets is None else self._classes == targets
        self._log_p = _log_softmax(self.logits)
        self._p = self._log_p.exp()
        self._loss = None if targets is None else -of_targets(self._log_p, targets)
        self._members = _members(len(logits), stratum, n_strata)

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def dense(self) -> Tally:
        """The dense model against itself."""
        return self.tally(self.logits)

    @property
    def margins(self) -> NDArray[np.float64]:
        """How far the dense model is from another answer that counts, (batch,)."""
        return margins(self.logits, self.targets)

    @property
    def classes(self) -> tuple[NDArray[np.int64], int]:
        """The class that the dense model answers, (batch,), and how many there are."""
        return answers_of(self.logits)

    def tally(self, logits: Tensor) -> Tally:
        """Count the outputs of another model on the same examples."""
        return sum(self.tallies(logits), Tally())

    def tallies(self, logits: Tensor) -> tuple[Tally, ...]:
        """Count the outputs of another model on the same examples, stratum by stratum."""
        found = self.outcomes(logits)
        count = float if found.agreeing.is_floating_point() else int  # shares of positions
        columns = [torch.ones_like(found.kl), found.agreeing, found.kl, found.kl.square()]
        if (
            found.right is None
            or found.gained is None
            or found.lost is None
            or found.loss is None
            or found.rise is None
        ):
            return tuple(Tally(n=int(n), agreeing=count(same), kl=kl, kl_squares=squares)
                         for n, same, kl, squares in self._sums(columns))  # fmt: skip
        columns += [found.right, found.gained, found.lost, found.loss, found.rise, found.rise.square()]
        return tuple(
            Tally(int(n), count(right), count(gained), count(lost), count(same), loss, kl, rise, rises, squares, True)
            for n, same, kl, squares, right, gained, lost, loss, rise, rises in self._sums(columns)
        )

    def outcomes(self, logits: Tensor) -> Outcomes:
        """Return what another model's outputs say of each example."""
        check_outputs(logits, self.logits)
        classes, log_q = logits.argmax(-1), _log_softmax(logits.float())
        kl = (self._p * (self._log_p - log_q)).sum(-1).clamp(min=0)
        if self.targets is None or self._right is None or self._loss is None:
            return Outcomes(*self._by_example(classes == self._classes, kl))
        right, loss = classes == self.targets, -of_targets(log_q, self.targets)
        gained, lost = right & ~self._right, self._right & ~right
        return Outcomes(*self._by_example(classes == self._classes, kl, right, gained, lost, loss, loss - self._loss))

    def _by_example(self, *columns: Tensor) -> list[Tensor]:
        return [by_example(column, self.targets) for column in columns]

    def _sums(self, columns: list[Tensor]) -> list[list[float]]:
        sums: list[list[float]] = (self._members @ torch.stack([column.double() for column in columns], 1)).tolist()
        return sums


class Numbers(Answers):
    """The dense model's outputs (batch, ...) where they are numbers and no class scores, as of a regression.

    An example agrees as far as its relative error is below 1. The KL divergence is that between normal distributions
    around the two outputs whose standard deviation is the size of the dense one: half the square of that error, nats.
    """

    def __init__(self, outputs: Tensor, stratum: Tensor | None = None, n_strata: int = 1) -> None:
        self.logits, self.targets = outputs.float(), None
        self._members = _members(len(outputs), stratum, n_strata)

    def outcomes(self, logits: Tensor) -> Outcomes:
        """Return what another model's outputs say of each example."""
        check_outputs(logits, self.logits)
        error = relative_error(logits, self.logits)
        return Outcomes(1 - error, error.square() / 2)

    @property
    def margins(self) -> NDArray[np.float64]:
        """Zeros (batch,): numbers have no other answer."""
        return np.zeros(len(self))

    @property
    def classes(self) -> tuple[NDArray[np.int64], int]:
        """One class for all."""
        return np.zeros(len(self), np.int64), 1


def answers_on(
    data: EvalData,
    examples: NDArray[np.int64],
    outputs: Tensor,
    stratum: Tensor | None = None,
    n_strata: int = 1,
) -> Answers:
    """Return the dense model's `outputs` on some examples of `data`, to tell other answers by."""
    if data.is_regression or not are_scores(tuple(outputs.shape[1:])):
        return Numbers(outputs, stratum, n_strata)
    targets = None if data.targets is None else data.labels(examples)
    return Answers(outputs, targets, stratum, n_strata)


def _members(n: int, stratum: Tensor | None, n_strata: int) -> Tensor:
    """Return which example is of which stratum, float64 (strata, batch)."""
    places = torch.zeros(n, dtype=torch.int64) if stratum is None else stratum
    return F.one_hot(places, n_strata).T.double()


def check_outputs(logits: Tensor, dense: Tensor | None = None) -> None:
    """Refuse outputs without a batch, of another shape than the dense model's, or with NaN or infinite values."""
    if logits.dim() == 0 or (dense is not None and logits.shape != dense.shape):
        wanted = "(batch, ...)" if dense is None else tuple(dense.shape)
        raise ModelError(f"the model's output has shape {tuple(logits.shape)}; {wanted} is needed")
    if not logits.sum().isfinite() and not torch.isfinite(logits).all():  # the sum alone is quick, but may overflow
        raise DataError("the model's output holds NaN or infinite values on this data")


def _log_softmax(logits: Tensor) -> Tensor:
    """Return log softmax over few classes: 4 times as fast at 10 as torch's own, which is made for many."""
    return logits - logits.logsumexp(-1, keepdim=True)


def tally_of(logits: Tensor, dense: Tensor, targets: Tensor | None) -> Tally:
    """Count one chunk: outputs of the pruned and of the dense model, and targets or None, as `Answers` takes them."""
    return Answers(dense, targets).tally(logits)
