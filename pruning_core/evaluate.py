"""Run a model over data: `predict` gives the logits, `Outcome` is what the output metrics read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, fx, nn

from pruning_core.data import EvalData
from pruning_core.errors import Cancelled, DataError, ModelError
from pruning_core.positions import are_scores, by_example, check_targets

Progress = Callable[[int, int], None]  # (examples done, examples in all)
IsCancelled = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a model answered on n examples; `dense_logits` are those of the unpruned model on the same examples.

    A model that answers at each position has a dimension more, (n, positions, classes). Outputs that are numbers and no
    class scores, as of a regression, have any shape (n, ...).
    """

    logits: Tensor  # (n, classes)
    targets: Tensor | None = None  # (n,), or (n, positions) with -100 where none counts; floats of a regression
    dense_logits: Tensor | None = None  # (n, classes)
    regression: bool = False  # outputs are numbers, whatever their shape

    def __post_init__(self) -> None:
        for what, other in (("targets", self.targets), ("dense logits", self.dense_logits)):
            if other is not None and len(other) != len(self.logits):
                raise DataError(f"{len(self.logits)} outputs but {len(other)} {what}; give those of the same examples")
        check_targets(self.logits, self.targets)

    @property
    def n(self) -> int:
        """Examples."""
        return len(self.logits)

    @property
    def is_scores(self) -> bool:
        """Whether outputs are class scores, which answers can be told from."""
        return not self.regression and are_scores(tuple(self.logits.shape[1:]), self.targets)

    @property
    def by_position(self) -> bool:
        """Whether an example is answered at each of its positions."""
        return self.logits.dim() == 3

    @cached_property
    def answers(self) -> Tensor:
        """Class with the largest logit, (n,) or (n, positions)."""
        return self.logits.argmax(-1)

    @cached_property
    def correct(self) -> Tensor:
        """Whether each answer is the target, bool (n,) or (n, positions)."""
        return self.answers == self.known_targets

    def by_example(self, values: Tensor) -> Tensor:
        """Return one value for each example (n,): that of its answer, or the mean of those that have a target."""
        return by_example(values, self.targets)

    @property
    def known_targets(self) -> Tensor:
        """Targets (n,) or (n, positions), or a refusal."""
        if self.targets is None:
            raise DataError("the data has no targets")
        return self.targets

    @property
    def dense(self) -> "Outcome":
        """The outcome of the unpruned model on the same examples, or a refusal."""
        if self.dense_logits is None:
            raise DataError("there are no outputs of the dense model to compare with")
        return Outcome(self.dense_logits, self.targets, regression=self.regression)


def predict(
    module: nn.Module,
    data: EvalData,
    batch_size: int = 256,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Tensor:
    """Return the outputs of `module` on all examples, in order: class scores (n, classes) or others (n, ...).

    NaN and infinite outputs are refused.
    """
    if module.training and not isinstance(module, fx.GraphModule):  # an exported graph has no dropout left to switch
        raise ModelError("the model is in training mode; call model.eval() before measuring it")
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    parts: list[Tensor] = []
    done = 0
    with torch.inference_mode():
        for inputs, _ in data.batches(batch_size):
            if cancelled is not None and cancelled():
                raise Cancelled(f"stopped after {done} of {len(data)} examples")
            logits = _first_tensor(module(*(values.to(device) for values in inputs))).cpu()
            check_logits(logits, data, done)
            parts.append(logits)
            done += len(logits)
            if progress is not None:
                progress(done, len(data))
    return torch.cat(parts)


def check_logits(logits: Tensor, data: EvalData, start: int) -> None:
    """Refuse outputs (batch, ...) without a batch or with NaN or infinite values; `start` numbers the first."""
    if logits.dim() == 0 or logits.numel() == 0:
        raise ModelError(f"the model's output has shape {tuple(logits.shape)}; an answer for each example is needed")
    wrong = (~torch.isfinite(logits)).reshape(len(logits), -1).any(1).nonzero().flatten()
    if len(wrong):
        raise ModelError(
            f"the model's output is NaN or infinite for {len(wrong)} of {len(logits)} examples of data '{data.name}', "
            f"first for example {start + int(wrong[0])}"
        )


def _first_tensor(output: object) -> Tensor:
    first = output[0] if isinstance(output, (tuple, list)) and output else output
    if not isinstance(first, Tensor):
        raise ModelError(f"the model returns {type(first).__name__}; a model that returns a tensor works")
    return first
