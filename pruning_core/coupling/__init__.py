"""Coupling: the groups of channels that a structured removal must take together."""

from pruning_core.coupling.context import Options
from pruning_core.coupling.coupling import Coupling, couple
from pruning_core.errors import CannotRemove

__all__ = ["CannotRemove", "Coupling", "Options", "couple"]
