"""Metrics of what the model answers. All are over the n examples of the outcome; intervals are at 95 %.

Where a model answers at each position, an example counts for the mean over its positions that have a target.
"""

from dataclasses import replace
from math import exp

import torch
from torch import Tensor

from pruning_core.evaluate import Outcome
from pruning_core.intervals import mean_interval, paired_difference, wilson
from pruning_core.metrics.seam import Reading, metric
from pruning_core.positions import of_targets

LARGEST_LOSS = 700.0  # nats; exp of more is no float


def share(outcome: Outcome, hits: Tensor, what: str) -> Reading:
    """Share of true among `hits`, bool (n,) or (n, positions), with Wilson's interval."""
    count, n = float(outcome.by_example(hits).sum()), outcome.n
    if outcome.by_position:
        how = f"{count / n:.1%} of the positions of {n:,} examples {what}; Wilson interval of examples"
        return Reading(count / n, how, wilson(count, n), n)
    return Reading(count / n, f"{count:,.0f} of {n:,} examples {what}; Wilson interval", wilson(count, n), n)


def mean(outcome: Outcome, values: Tensor, what: str) -> Reading:
    """Mean of `values`, (n,) or (n, positions), with the normal interval."""
    values, n = outcome.by_example(values).double(), outcome.n
    average, deviation = float(values.mean()), float(values.std()) if n > 1 else 0.0
    what = f"{what}, mean over the positions" if outcome.by_position else what
    return Reading(average, f"{what}, mean of {n:,} examples; normal interval", mean_interval(average, deviation, n), n)


@metric("accuracy", label="Accuracy", unit="fraction", higher_is_better=True, needs={"targets", "classes"})
def accuracy(outcome: Outcome) -> Reading:
    """Share of examples whose largest logit is the target."""
    return share(outcome, outcome.correct, "answered right")


@metric(
    "top5_accuracy",
    label="Top-5 accuracy",
    unit="fraction",
    higher_is_better=True,
    needs={"targets", "classes", "many_classes"},
)
def top5_accuracy(outcome: Outcome) -> Reading:
    """Share of examples whose target is among the five largest logits."""
    top = outcome.logits.topk(5, dim=-1).indices  # (n, 5)
    hits = (top == outcome.known_targets[..., None]).any(-1)
    return share(outcome, hits, "have the target among the five largest logits")


@metric("loss", label="Loss", unit="nats", higher_is_better=False, needs={"targets", "classes"})
def loss(outcome: Outcome) -> Reading:
    """Cross entropy of the softmax of the logits."""
    log_p = torch.log_softmax(outcome.logits.double(), dim=-1)
    return mean(outcome, -of_targets(log_p, outcome.known_targets), "cross entropy")


@metric("perplexity", label="Perplexity", unit="classes", higher_is_better=False, needs={"targets", "classes"})
def perplexity(outcome: Outcome) -> Reading:
    """exp(loss): as unsure as among this many equally likely classes (Jelinek et al. 1977, doi:10.1121/1.2016299)."""
    found = loss(outcome)
    interval = None if found.interval is None else (_exp(found.interval[0]), _exp(found.interval[1]))
    return replace(found, value=_exp(found.value), interval=interval, how=f"exp of the {found.how}")


def _exp(value: float) -> float:
    """Return exp, bounded where a float ends."""
    return exp(min(value, LARGEST_LOSS))


@metric("agreement", label="Agreement with dense", unit="fraction", higher_is_better=True, needs={"dense", "scores"})
def agreement(outcome: Outcome) -> Reading:
    """Share of examples that the model and the dense model answer alike."""
    return share(outcome, outcome.answers == outcome.dense.answers, "answered as by the dense model")


@metric("kl", label="KL divergence from dense", unit="nats", higher_is_better=False, needs={"dense", "scores"})
def kl(outcome: Outcome) -> Reading:
    """KL(dense || pruned) of the softmax outputs."""
    return mean(outcome, kl_by_answer(outcome.dense.logits, outcome.logits), "KL(dense || pruned)")


def kl_by_answer(dense: Tensor, pruned: Tensor) -> Tensor:
    """Return KL(dense || pruned) in nats, float64 (n, ...), of logits (n, ..., classes); never below zero."""
    log_dense, log_pruned = (torch.log_softmax(logits.double(), dim=-1) for logits in (dense, pruned))
    return (log_dense.exp() * (log_dense - log_pruned)).sum(-1).clamp(min=0)


@metric(
    "accuracy_drop",
    label="Accuracy drop",
    unit="fraction",
    higher_is_better=False,
    needs={"targets", "classes", "dense"},
)
def accuracy_drop(outcome: Outcome) -> Reading:
    """Accuracy of the dense model minus that of this one, on the same examples."""
    before, after, n = outcome.dense.correct, outcome.correct, outcome.n
    gained, lost = (float(outcome.by_example(hits).sum()) for hits in (after & ~before, before & ~after))
    low, high = paired_difference(gained, lost, n)
    how = f"{lost:,.0f} of {n:,} examples lost, {gained:,.0f} gained; paired interval (Agresti and Min)"
    if outcome.by_position:
        how = f"{lost / n:.1%} of the positions of {n:,} examples lost, {gained / n:.1%} gained; paired interval"
    return Reading((lost - gained) / n, how, (-high, -low), n)
