"""Batch-norm statistics that disagree with the data: re-estimated on calibration examples, and judged by accuracy.

The running mean and variance of a batch norm are averages over training steps. Where they lag behind the weights, or
were lost on the way, every figure that is measured on the model is that of a worse model than its weights make, and
pruning may even seem to help. Re-estimation is the mean over batches of the statistics that each batch has when all
norms use their own (PreciseBN; Wu and Johnson 2021, arXiv:2105.07576); no weight changes and no label is read.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, fx

from pruning_core.data import Dataset, EvalData, check_fits
from pruning_core.errors import Cancelled, DataError, ModelError
from pruning_core.evaluate import Outcome, predict
from pruning_core.graph import ModelGraph
from pruning_core.intervals import Interval
from pruning_core.layers import BATCH_NORM, operator, tensor_at
from pruning_core.metrics import METRICS, Measurement
from pruning_core.model import Model

EXAMPLES, BATCH = 2048, 256  # of calibration; Wu and Johnson find 1,000 to 10,000 enough
LEAST_CHANGE = 0.005  # of accuracy that is worth a word, beyond noise
LEAST_CHANGED = 0.05  # of the answers, where no labels say which are right

IsCancelled = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class NormFinding:
    """What re-estimated statistics change, on the same n examples; accuracies are None without labels."""

    model: Model  # with the re-estimated statistics
    n: int
    before: float | None
    after: float | None
    change: float  # accuracy after minus before; without labels the share of answers that change
    interval: Interval  # 95 %, paired

    @property
    def improves(self) -> bool:
        """Whether the re-estimated model is known to be the better one."""
        return self.before is not None and self.change > 0

    @property
    def sentence(self) -> str:
        """What a user should know."""
        if self.before is None or self.after is None:
            low, high = (f"{100 * end:.1f}" for end in self.interval)
            return (
                f"Re-estimating the batch-norm statistics changes {self.change:.1%} of the answers (95 % interval "
                f"{low} to {high} %, n {self.n:,}); without labels nobody knows which are right."
            )
        low, high = (f"{100 * end:+.1f}" for end in self.interval)
        figures = (
            f"re-estimated on calibration data they change accuracy from {self.before:.1%} to {self.after:.1%} "
            f"(95 % interval {low} to {high} points, n {self.n:,})"
        )
        if self.improves:
            return f"The batch-norm statistics disagree with the data: {figures}."
        return f"The calibration data differ from those of the training; keep the batch-norm statistics: {figures}."


def check_norm_statistics(model: Model, dataset: Dataset, cancelled: IsCancelled | None = None) -> NormFinding | None:
    """Return what re-estimation changes on the validation examples; None where that is nothing beyond noise.

    A change counts from half a point of accuracy on, or from 5 % of the answers on where there are no labels.
    """
    if not statistics_of(model.graph):
        return None
    data, mended = dataset.validation, re_estimated(model, dataset.calibration, cancelled=cancelled)
    check_fits(data, model.graph)
    own, other = (predict(form.module, data, cancelled=cancelled) for form in (model, mended))
    outcome = Outcome(other, data.labels() if data.has_classes else None, own, data.is_regression)
    if outcome.targets is None:
        found = METRICS["agreement"](outcome) if outcome.is_scores else METRICS["relative_output_error"](outcome)
        low, high, share = _turned(found, 1) if outcome.is_scores else (*_ends(found), found.value)
        finding = NormFinding(mended, outcome.n, None, None, share, (low, high))
        return finding if low > 0 and share >= LEAST_CHANGED else None
    low, high, change = _turned(METRICS["accuracy_drop"](outcome), 0)
    before, after = (METRICS["accuracy"](found).value for found in (outcome.dense, outcome))
    finding = NormFinding(mended, outcome.n, before, after, change, (low, high))
    return finding if not low <= 0 <= high and abs(change) >= LEAST_CHANGE else None


def _turned(found: Measurement, whole: float) -> tuple[float, float, float]:
    """Return `whole` minus a measurement: the ends of its interval, and the value."""
    low, high = _ends(found)
    return whole - high, whole - low, whole - found.value


def _ends(found: Measurement) -> tuple[float, float]:
    return found.interval or (found.value, found.value)


def re_estimated(model: Model, data: EvalData, cancelled: IsCancelled | None = None) -> Model:
    """Return a copy of the model whose batch norms have the statistics of `data`; its name ends in `+norms`.

    Up to 2,048 examples are run in equal batches. The model itself stays as it is.
    """
    if not statistics_of(model.graph):
        raise ModelError(
            f"'{model.name}' has no batch norm that keeps running statistics; there is nothing to estimate"
        )
    found = _estimate(model.graph, data, cancelled or (lambda: False))
    module = deepcopy(model.module)
    with torch.no_grad():
        for name, value in found.items():
            buffer = tensor_at(module, name)
            buffer.copy_(value.to(buffer.dtype))
    n = _n_examples(data)
    note = f"Its batch-norm statistics were re-estimated on {n:,} examples of '{data.name}'."
    return replace(
        model,
        name=f"{model.name}+norms",
        title=f"{model.title or model.name}, batch norms re-estimated",
        module=module,
        note=f"{model.note} {note}".strip(),
    )


def statistics_of(graph: ModelGraph) -> dict[fx.Node, tuple[str, str]]:
    """Return the names of the running mean and variance of each place where a batch norm uses them."""
    found = {}
    for node in graph.module.graph.nodes:
        mean, variance = node.args[3:5] if operator(node) == BATCH_NORM else (None, None)
        if isinstance(mean, fx.Node) and isinstance(variance, fx.Node) and mean.op == variance.op == "get_attr":
            found[node] = str(mean.target), str(variance.target)
    return found


def _n_examples(data: EvalData) -> int:
    """Return how many examples are used: whole batches alone, so that each batch weighs alike."""
    n = min(len(data), EXAMPLES)
    return n if n < BATCH else n - n % BATCH


def _estimate(graph: ModelGraph, data: EvalData, cancelled: IsCancelled) -> dict[str, Tensor]:
    """Return the mean over batches of all running statistics, by name."""
    check_fits(replace(data, targets=None), graph)
    n = _n_examples(data)
    if n < 2:
        raise DataError(f"data '{data.name}' has one example; the statistics of a batch norm need at least 2")
    normed = _Normed(graph)
    for inputs, _ in data.take(n).batches(BATCH):
        if cancelled():
            raise Cancelled(f"stopped after {normed.n} of {n} calibration examples")
        with torch.no_grad():
            normed.run(*inputs)
    return normed.means()


class _Normed(fx.Interpreter):
    """Runs the graph with batch norms that use the statistics of the batch, and adds these up."""

    def __init__(self, graph: ModelGraph) -> None:
        super().__init__(graph.module)
        self.n = 0
        self._names = statistics_of(graph)
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the graph on inputs (batch, ...)."""
        self.n += len(args[0])
        return super().run(*args, **kwargs)

    def run_node(self, n: fx.Node) -> Any:
        """Run one node; a batch norm answers as in training."""
        if n not in self._names:
            return super().run_node(n)
        x, gamma, beta, _, _, *constants = self.fetch_args_kwargs_from_env(n)[0]
        variance, mean = torch.var_mean(x, [d for d in range(x.dim()) if d != 1], correction=0)
        per_channel = x.numel() // x.shape[1]
        kept = variance * (per_channel / (per_channel - 1))  # torch keeps the variance of a sample
        for name, value in zip(self._names[n], (mean, kept), strict=True):
            self._sums[name] = self._sums[name] + value.double() if name in self._sums else value.double()
            self._counts[name] = self._counts.get(name, 0) + 1
        return cast(Callable[..., Any], n.target)(x, gamma, beta, mean, variance, *constants)

    def means(self) -> dict[str, Tensor]:
        """Return the mean of all that was seen of each statistic."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}
