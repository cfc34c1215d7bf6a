"""What a task is given by whoever runs it, a worker process or a thread."""

from typing import Any, Protocol

from explorer.loading import Subject
from pruning_core import Reference
from pruning_core.sensitivity.store import Store


class Task(Protocol):
    """The way back to the job that a task belongs to."""

    @property
    def paused_seconds(self) -> float:
        """How long it stood so far."""

    @property
    def store(self) -> Store | None:
        """Where sweeps keep what they measured; None: nowhere."""

    def reference(self, subject: Subject) -> Reference:
        """Return the loaded model and data; they are shared and may not be changed."""

    def cancelled(self) -> bool:
        """Whether to stop; waits here while other work goes first, so ask between two cells, holding nothing."""

    def note(self, progress: Any) -> None:
        """Tell how far it is."""
