"""Metrics of what the model answers. All are over the n examples of the outcome; intervals are at 95 %."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.evaluate import Outcome
from pruning_core.intervals import mean_interval, paired_difference, wilson
from pruning_core.metrics.seam import Reading, metric


def share(hits: Tensor, what: str) -> Reading:
    """Share of true among `hits`, bool (n,), with Wilson's interval."""
    count, n = int(hits.sum()), len(hits)
    return Reading(count / n, f"{count:,} of {n:,} examples {what}; Wilson interval", wilson(count, n), n)


def mean(values: Tensor, what: str) -> Reading:
    """Mean of `values` (n,) with the normal interval."""
    n = len(values)
    average, deviation = float(values.double().mean()), float(values.double().std()) if n > 1 else 0.0
    return Reading(average, f"{what}, mean of {n:,} examples; normal interval", mean_interval(average, deviation, n), n)


@metric("accuracy", label="Accuracy", unit="fraction", higher_is_better=True, needs={"targets"})
def accuracy(outcome: Outcome) -> Reading:
    """Share of examples whose largest logit is the target."""
    return share(outcome.correct, "answered right")


@metric(
    "top5_accuracy", label="Top-5 accuracy", unit="fraction", higher_is_better=True, needs={"targets", "many_classes"}
)
def top5_accuracy(outcome: Outcome) -> Reading:
    """Share of examples whose target is among the five largest logits."""
    top = outcome.logits.topk(5, dim=1).indices  # (n, 5)
    return share((top == outcome.known_targets[:, None]).any(1), "have the target among the five largest logits")


@metric("loss", label="Loss", unit="nats", higher_is_better=False, needs={"targets"})
def loss(outcome: Outcome) -> Reading:
    """Cross entropy of the softmax of the logits."""
    return mean(F.cross_entropy(outcome.logits.double(), outcome.known_targets, reduction="none"), "cross entropy")


@metric("agreement", label="Agreement with dense", unit="fraction", higher_is_better=True, needs={"dense"})
def agreement(outcome: Outcome) -> Reading:
    """Share of examples that the model and the dense model answer alike."""
    return share(outcome.answers == outcome.dense.answers, "answered as by the dense model")


@metric("kl", label="KL divergence from dense", unit="nats", higher_is_better=False, needs={"dense"})
def kl(outcome: Outcome) -> Reading:
    """KL(dense || pruned) of the softmax outputs."""
    return mean(kl_by_example(outcome.dense.logits, outcome.logits), "KL(dense || pruned)")


def kl_by_example(dense: Tensor, pruned: Tensor) -> Tensor:
    """Return KL(dense || pruned) in nats, float64 (n,), of logits (n, classes); never below zero."""
    log_dense, log_pruned = (torch.log_softmax(logits.double(), dim=1) for logits in (dense, pruned))
    return (log_dense.exp() * (log_dense - log_pruned)).sum(1).clamp(min=0)


@metric("accuracy_drop", label="Accuracy drop", unit="fraction", higher_is_better=False, needs={"targets", "dense"})
def accuracy_drop(outcome: Outcome) -> Reading:
    """Accuracy of the dense model minus that of this one, on the same examples."""
    before, after = outcome.dense.correct, outcome.correct
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    low, high = paired_difference(gained, lost, outcome.n)
    how = f"{lost:,} of {outcome.n:,} examples lost, {gained:,} gained; paired interval (Agresti and Min)"
    return Reading((lost - gained) / outcome.n, how, (-high, -low), outcome.n)
