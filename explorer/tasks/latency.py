"""Latency as a task: dense against pruned, in turn; it is timed, so nothing of ours may run beside it."""

from dataclasses import dataclass

from torch import nn

from explorer.loading import Subject
from explorer.tasks.task import Task
from pruning_core import prune
from pruning_core.latency import Latency
from pruning_core.measure import latency_of
from pruning_core.plan import Plan

RUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Timed:
    """Dense against the smallest form of the pruned model; against the masked one too where that is another."""

    smallest: Latency
    masked: Latency | None


def run(task: Task, subject: Subject, plan: Plan, seconds: float) -> Timed:
    """Measure each form against the dense model for `seconds`."""
    reference = task.reference(subject)
    loaded = reference.model
    pruned = prune(loaded, plan, ranking=reference.ranking)
    inputs = tuple(example[:1] for example in loaded.example_inputs)

    def against(form: nn.Module, is_slimmed: bool) -> Latency:
        return latency_of(loaded, form, inputs, RUNTIME, seconds, task.cancelled, is_slimmed)

    if pruned.slimmed is None:
        return Timed(against(pruned.masked, False), None)
    return Timed(against(pruned.slimmed.module, True), against(pruned.masked, False))
