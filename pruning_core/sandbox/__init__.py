"""Stage 2 of opening a stranger's file: all of its loading is rehearsed in a process that can be killed.

`rehearse(spec, "model")` answers what was found, or refuses the file (`FileRefused`) however the process ended. Only
then does the caller load the same file himself.
"""

from pruning_core.sandbox.client import warm
from pruning_core.sandbox.rehearsal import rehearse

__all__ = ["rehearse", "warm"]
