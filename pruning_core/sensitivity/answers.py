"""What the dense model answered on some examples, and the tally of other answers against it."""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.errors import DataError, ModelError
from pruning_core.positions import by_example, check_targets, of_targets
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
        places = torch.zeros(len(logits), dtype=torch.int64) if stratum is None else stratum
        self._members = F.one_hot(places, n_strata).T.double()  # (strata, batch)

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def dense(self) -> Tally:
        """The dense model against itself."""
        return self.tally(self.logits)

    def tally(self, logits: Tensor) -> Tally:
        """Count the outputs of another model on the same examples."""
        return sum(self.tallies(logits), Tally())

    def tallies(self, logits: Tensor) -> tuple[Tally, ...]:
        """Count the outputs of another model on the same examples, stratum by stratum."""
        found = self.outcomes(logits)
        count = int if logits.dim() == 2 else float  # shares of positions
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
        check_outputs(logits)
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


def check_outputs(logits: Tensor) -> None:
    """Refuse outputs that are no class scores, or hold NaN or infinite values."""
    if logits.dim() not in (2, 3):
        raise ModelError(
            f"the model's output has shape {tuple(logits.shape)}; (batch, classes) is needed, or "
            "(batch, positions, classes)"
        )
    if not logits.sum().isfinite() and not torch.isfinite(logits).all():  # the sum alone is quick, but may overflow
        raise DataError("the model's output holds NaN or infinite values on this data")


def _log_softmax(logits: Tensor) -> Tensor:
    """Return log softmax over few classes: 4 times as fast at 10 as torch's own, which is made for many."""
    return logits - logits.logsumexp(-1, keepdim=True)


def tally_of(logits: Tensor, dense: Tensor, targets: Tensor | None) -> Tally:
    """Count one chunk: outputs of the pruned and of the dense model, and targets or None, as `Answers` takes them."""
    return Answers(dense, targets).tally(logits)
