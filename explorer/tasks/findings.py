"""What a sweep leaves open, as tasks: batch-norm statistics, layers pruned together, and what guesses were worth."""

from collections.abc import Sequence
from dataclasses import replace

from explorer.loading import Subject
from explorer.tasks.task import Task
from pruning_core.loaders.suggest import PreparingFinding, suggest_preprocessing
from pruning_core.plan import Plan
from pruning_core.sensitivity import Request, Sweep
from pruning_core.sensitivity.additivity import Additivity, additivity
from pruning_core.sensitivity.hints import HINTS, HintWorth, guesses_at, worth_of
from pruning_core.sensitivity.interactions import InteractionMap, interactions
from pruning_core.sensitivity.norm_statistics import check_norm_statistics

NORMS_EXAMPLES = 512  # of each split


def norms(task: Task, subject: Subject) -> str | None:
    """Return the sentence on batch-norm statistics that disagree with the data, or None.

    Few examples are enough to see what is worth a word, and a sweep that is asked for waits no longer than a second.
    """
    reference = task.reference(subject)
    assert reference.dataset is not None
    splits = {name: split.take(NORMS_EXAMPLES) for name, split in reference.dataset.splits.items()}
    finding = check_norm_statistics(reference.model, replace(reference.dataset, splits=splits), task.cancelled)
    return finding.sentence if finding else None


def preparing(task: Task, subject: Subject) -> PreparingFinding | None:
    """Return the way to prepare the inputs with which the model does much better, or None."""
    reference = task.reference(subject)
    assert reference.dataset is not None
    return next(iter(suggest_preprocessing(reference.model, reference.dataset)), None)


def together(task: Task, subject: Subject, plan: Plan, samples: int | None) -> Additivity:
    """Measure the rows of a plan alone and together."""
    return additivity(
        task.reference(subject),
        plan,
        samples=samples,
        cancelled=task.cancelled,
        on_progress=lambda done, total: task.note(done / total),
    )


def pairs(task: Task, subject: Subject, plan: Plan, layers: Sequence[str], samples: int) -> InteractionMap:
    """Measure all pairs of some layers, pruned as the plan says."""
    return interactions(
        task.reference(subject),
        plan,
        layers,
        samples=samples,
        cancelled=task.cancelled,
        on_progress=lambda done, total: task.note(done / total),
    )


def ranks(task: Task, subject: Subject, request: Request, level: float) -> dict[str, dict[str, float]]:
    """Return what each guess says of each layer, before anything is measured."""
    return guesses_at(level, request, task.reference(subject).ranking)


def guesses(task: Task, subject: Subject, found: Sweep) -> tuple[HintWorth, ...]:
    """Compare each guess without data with what the sweep measured."""
    ranking = task.reference(subject).ranking
    return tuple(worth_of(name, found, ranking) for name in HINTS)
