"""A recipe as bytes, sent once to each process that measures, and the worker that is made of them there."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from pruning_core.criteria import CRITERIA
from pruning_core.errors import WorkersError
from pruning_core.sensitivity.recipe import Recipe
from pruning_core.sensitivity.tasks import Result, Task
from pruning_core.sensitivity.worker import Worker

HERE = "measure in this process, with one worker and no cluster"


def packed(recipe: Recipe) -> bytes:
    """Return what another process makes its worker of. It uses as many threads: other sums have other last digits."""
    criterion = CRITERIA[recipe.request.criterion]
    if not criterion.needs and criterion.update is None:
        recipe = replace(recipe, calibration=None)
    try:
        return pickle.dumps((torch.get_num_threads(), recipe), pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise WorkersError(f"'{recipe.model.name}' cannot be sent to other processes ({error}); {HERE}") from None


class Measurer:
    """A worker made of what was packed, in the process that measures."""

    def __init__(self, content: bytes) -> None:
        try:
            self.threads, recipe = pickle.loads(content)
        except (AttributeError, ImportError) as error:
            raise WorkersError(
                f"the model's classes are not known to the processes that measure ({error}); put them into a module "
                f"that is installed there, or {HERE}"
            ) from None
        torch.set_num_threads(self.threads)
        self.worker: Worker = recipe.worker()[0]

    def measure(self, task: Task, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Result]:
        """Yield a result for each cell and chunk."""
        torch.set_num_threads(self.threads)  # each thread has a number of its own
        return self.worker.measure(task, cancelled)
