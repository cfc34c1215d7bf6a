"""Every error that a user can meet; each is one sentence: what, where, what would work.

PruningError                 E100  any request that cannot be met
├── UnknownName              E101  a name that no registry or model has (did you mean ...)
├── PlanError                E110  a plan that cannot be carried out
│   ├── GranularityError     E111  a block or pattern that does not fit a weight
│   ├── WrongModel           E112  a plan made for another model
│   └── CannotRemove         E113  channels that cannot leave the graph together
├── CriterionError           E120  a criterion that has no meaning for a layer, or lacks its data
├── ModelError               E200  a model that cannot be loaded, traced or trusted
├── DataError                E300  data that does not fit the model, or is not what it should be
├── FileRefused              E2xx, E3xx, E6xx  a file that is not opened, see refusals.py
├── ExportError              E400  an export that is not equal to what was measured
├── StoreError               E500  a store of measurements that is not to be read
├── WorkersError             E510  processes or machines that were to measure and cannot
└── Cancelled                E900  the user stopped the work
"""


class PruningError(Exception):
    """Root of all errors shown to users as they are; every other exception is a defect."""

    code = "E100"


class UnknownName(PruningError):
    """A name that no registry or model has."""

    code = "E101"


class PlanError(PruningError):
    """A plan that cannot be carried out."""

    code = "E110"


class GranularityError(PlanError):
    """A block or pattern that does not fit a weight."""

    code = "E111"


class WrongModel(PlanError):
    """A plan made for another model."""

    code = "E112"


class CannotRemove(PlanError):
    """Channels that cannot leave the graph together."""

    code = "E113"


class CriterionError(PruningError):
    """A criterion that has no meaning for a layer, or lacks its data."""

    code = "E120"


class ModelError(PruningError):
    """A model that cannot be loaded, traced or trusted."""

    code = "E200"


class DataError(PruningError):
    """Data that does not fit the model, or is not what it should be."""

    code = "E300"


class FileRefused(PruningError):
    """A file that is not opened; `pruning_core.refusals` lists the codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)  # both, so that it can be pickled
        self.code = code

    def __str__(self) -> str:
        return str(self.args[1])


class ModelRefused(FileRefused, ModelError):
    """A model file that is not opened."""


class DataRefused(FileRefused, DataError):
    """A data file that is not opened."""


class ExportError(PruningError):
    """An export that is not equal to what was measured."""

    code = "E400"


class StoreError(PruningError):
    """A store of measurements that is not to be read."""

    code = "E500"


class WorkersError(PruningError):
    """Processes or machines that were to measure and cannot."""

    code = "E510"


class Cancelled(PruningError):
    """The user stopped the work."""

    code = "E900"
