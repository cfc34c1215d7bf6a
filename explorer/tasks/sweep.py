"""The sweep as a task."""

from dataclasses import replace

from explorer.loading import Subject
from explorer.tasks.task import Task
from pruning_core.sensitivity import Progress, Request, Sweep, sweep


def run(task: Task, subject: Subject, request: Request) -> Sweep:
    """Sweep; each step is noted as a `Progress` whose seconds leave out those that the task stood."""

    def note(progress: Progress) -> None:
        task.note(replace(progress, seconds=progress.seconds - task.paused_seconds))

    reference = task.reference(subject)
    ranking = reference.ranking.under(request)
    found = sweep(
        reference.model,
        reference.dataset.validation,  # type: ignore[union-attr]
        request,
        ranking=ranking,
        replay=reference.replay_under(ranking.norms),
        store=task.store,
        cancelled=task.cancelled,
        on_progress=note,
    )
    return replace(found, seconds=found.seconds - task.paused_seconds)
